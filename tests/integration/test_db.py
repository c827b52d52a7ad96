"""The pool on a real PostgreSQL: queries, transactions, errors, deadlines and cancellations."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
import trio
import trio.testing

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from tests.support.pool import MY_PID, ONE, OUR_BACKENDS, SIZE, SLEEP, SLEEPERS, query, unavailable, works
from tests.support.waiting import eventually

# Queries


async def test_four_kinds_of_query(db: Database) -> None:
    """All rows, the first, one value, none; columns by name."""
    rows = await db.fetch(query("select n, n * n as square from generate_series($1::int, $2::int) n"), 2, 3)
    assert [(row["n"], row["square"]) for row in rows] == [(2, 4), (3, 9)]
    first = await db.fetchrow(query("select 7 as seven"))
    assert first is not None
    assert first["seven"] == 7
    assert await db.fetchrow(query("select 1 where false")) is None
    assert await db.fetchval(query("select null")) is None
    await db.execute(query("select 1"))


async def test_types_are_python_s_own(db: Database) -> None:
    """UUIDs, times with their zone, and JSON as the text that PostgreSQL made."""
    row = await db.fetchrow(query("""select gen_random_uuid() as id, now() as at, '{"a": 1}'::json as data"""))
    assert row is not None
    assert isinstance(row["id"], UUID)
    assert isinstance(row["at"], datetime)
    assert row["at"].utcoffset() == timedelta(0)
    assert row["data"] == '{"a": 1}'


async def test_rejected_statement_keeps_its_sqlstate_and_its_connection(db: Database) -> None:
    """A rejected statement is no outage: the connection is reused."""
    pid = await db.fetchval(MY_PID)
    for sql, sqlstate, about_data in (
        ("select * from nothing", "42P01", False),
        ("select 1 / 0", "22012", True),
        ("insert into cinema (name) values ('')", "23514", True),
        ("do $$ begin raise exception 'no'; end $$", "P0001", True),
    ):
        with pytest.raises(DatabaseRejected) as caught:
            await db.execute(query(sql))
        assert (caught.value.sqlstate, caught.value.is_about_data) == (sqlstate, about_data)
        assert await db.fetchval(MY_PID) == pid


async def test_argument_that_does_not_fit_is_rejected(db: Database) -> None:
    """A value that the driver refuses to encode rejects the statement and keeps the connection."""
    pid = await db.fetchval(MY_PID)
    with pytest.raises(DatabaseRejected):
        await db.fetchval(query("select $1::bigint"), 2**70)
    assert await db.fetchval(MY_PID) == pid


# The pool


async def test_pool_opens_no_more_than_its_size(db: Database, other: Database) -> None:
    """Later queries wait for a slot; idle connections are reused, the newest first."""
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(db.fetchval, query("select pg_sleep(0.01)"))
    assert len(await other.fetch(OUR_BACKENDS)) == SIZE
    assert len({await db.fetchval(MY_PID) for _ in range(5)}) == 1


async def test_wait_for_a_slot_counts(db: Database) -> None:
    """The deadline includes the wait for a slot, and an abandoned wait uses no slot."""
    async with trio.open_nursery() as nursery:
        for _ in range(SIZE):
            nursery.start_soon(db.fetchval, query("select pg_sleep(0.5)"))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await unavailable(db.fetchval(ONE, timeout=0.1)) < 0.4
    await works(db)


async def test_deadline_ends_a_query(db: Database, other: Database) -> None:
    """A query ends at its deadline, on the server too; the next query works."""
    assert await unavailable(db.fetchval(SLEEP, timeout=0.1)) < 1
    assert await db.fetchval(ONE) == 1

    async def none_sleeps() -> bool:
        return bool(await other.fetchval(SLEEPERS) == 0)

    await eventually(none_sleeps)


async def test_closed_pool_leaves_no_connection(database_url: str, other: Database) -> None:
    """Closing the pool closes all its connections."""
    async with Database.open(database_url, size=SIZE) as db:
        await works(db)

    async def closed() -> bool:
        return not await other.fetch(OUR_BACKENDS)

    await eventually(closed)


IN_TRANSACTION = query(
    "select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
)


async def test_storm_of_cancellations_leaks_nothing(db: Database, other: Database) -> None:
    """A cancellation during the wait, the connect, a query or a commit leaks no slot and no connection."""

    async def use(after_s: float, number: int) -> None:
        with trio.move_on_after(after_s):
            if number % 2:
                await db.fetchval(query("select pg_sleep(0.003)"))
            else:
                async with db.transaction() as session:
                    await session.execute(query("insert into seat_type (name) values ($1)"), str(number))
                    await session.fetchval(query("select pg_sleep(0.001)"))

    for round_ in range(15):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(use, number * 0.0007, round_ * 20 + number)
    await works(db)

    async def only_ours() -> bool:
        return len(await other.fetch(OUR_BACKENDS)) == SIZE

    await eventually(only_ours)
    assert not await other.fetch(IN_TRANSACTION)


# Transactions


async def count(db: Database) -> int:
    """The number of rows."""
    counted: int = await db.fetchval(query("select count(*) from seat_type"))
    return counted


ADD = query("insert into seat_type (name) values ('x')")


async def test_transaction_commits_at_its_end(db: Database) -> None:
    """The whole block is committed at its end and invisible before."""
    async with db.transaction() as session:
        await session.execute(ADD)
        assert await count(db) == 0
    assert await count(db) == 1


@pytest.mark.parametrize("fault", [errors.SeatConflict(), RuntimeError("a bug")])
async def test_error_in_a_transaction_rolls_it_back(db: Database, fault: Exception) -> None:
    """The error is raised to the caller, and the transaction is rolled back."""

    async def fail() -> None:
        async with db.transaction() as session:
            await session.execute(ADD)
            raise fault

    with pytest.raises(type(fault)):
        await fail()
    assert await count(db) == 0
    await works(db)


async def test_rejected_statement_rolls_the_transaction_back(db: Database) -> None:
    """The transaction is rolled back, and the connection is reused."""
    pid = await db.fetchval(MY_PID)

    async def fail() -> None:
        async with db.transaction() as session:
            await session.execute(ADD)
            await session.execute(query("select 1 / 0"))

    with pytest.raises(DatabaseRejected):
        await fail()
    assert await db.fetchval(MY_PID) == pid
    assert await count(db) == 0


async def test_failed_transaction_is_not_committed(db: Database) -> None:
    """A block that goes on after an error cannot commit; PostgreSQL would answer the COMMIT without an error."""

    async def go_on() -> None:
        async with db.transaction() as session:
            await session.execute(ADD)
            with pytest.raises(DatabaseRejected):
                await session.execute(query("select 1 / 0"))

    with pytest.raises(DatabaseRejected) as caught:
        await go_on()
    assert caught.value.sqlstate == "25P02"
    await works(db)


async def test_commit_that_is_rejected_is_an_error(db: Database) -> None:
    """A deferred constraint is checked at the commit."""
    async with db.session() as session:
        await session.script("create table t (n int unique deferrable initially deferred)")
    with pytest.raises(DatabaseRejected) as caught:
        async with db.transaction() as session:
            await session.script("insert into t values (1), (1)")
    assert caught.value.sqlstate == "23505"
    await works(db)


async def test_cancelled_transaction_is_rolled_back(db: Database, other: Database) -> None:
    """A cancellation rolls back, in the middle of a statement too; no session is left idle in a transaction."""
    for statement in (None, SLEEP):
        with trio.move_on_after(0.1) as scope:
            async with db.transaction() as session:
                await session.execute(ADD)
                if statement is not None:
                    await session.execute(statement)
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert await count(other) == 0
    await works(db)
