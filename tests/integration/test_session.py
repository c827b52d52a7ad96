"""One session, on a real PostgreSQL: types, sizes, statements, notifications, addresses."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
import trio
import trio.lowlevel
import trio.testing

from seatsync.core.postgres.faults import DatabaseGone, DatabaseRejected, DatabaseTooSlow
from seatsync.core.postgres.session import Session, address_fault
from tests.support.database import DatabaseServer, execute
from tests.support.pool import query

NAME = "seatsync test"
NOTIFY = query("select pg_notify('odds', $1), $1")
KILL = query(
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = current_database() and application_name = $1"
)


@pytest.fixture(scope="module")
def database_url(database_server: DatabaseServer, template_database: str) -> Iterator[str]:
    """One database for these tests, whose tables are temporary."""
    with database_server.database(template_database) as name:
        yield database_server.url(name)


@pytest.fixture
async def session(database_url: str) -> AsyncIterator[Session]:
    """An open session."""
    with closing(await Session.connect(database_url, application_name=NAME)) as session:
        yield session


# Values


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", None),
        ("bigint", -(2**63)),
        ("integer", 7),
        ("boolean", True),
        ("double precision", 0.1),
        ("text", "Zwölf 'Euro' \\ \"€\" {1,2}"),
        ("text", ""),
        ("text", "x" * 100_000),
        ("bytea", bytes(range(256))),
        ("bytea", b""),
        ("uuid", UUID(int=2**127 + 1)),
        ("timestamptz", datetime(2026, 10, 25, 1, 30, 0, 123456, tzinfo=UTC)),
        ("bigint[]", []),
        ("bigint[]", [1, None, 2**62]),
        ("bigint[]", [None, None]),
        ("text[]", ["", None, "NULL", "a,b", '"', "\\", "{}", "ö €", " x "]),
        ("bytea[]", [b"\\x00", None, bytes(range(256)), b""]),
        ("uuid[]", [UUID(int=1), None]),
        ("boolean[]", [True, False, None]),
        ("timestamptz[]", [datetime(2026, 3, 29, 1, tzinfo=UTC), None]),
        ("seat_status", "MAINTENANCE"),
        ("json", '{"a": [1, null, "é"]}'),
    ],
)
async def test_values_return_as_they_were(session: Session, kind: str, value: Any) -> None:
    """Each type of the schema makes the round trip, whatever the session's settings."""
    await session.script("set timezone = 'Pacific/Chatham'; set datestyle = 'German'; set bytea_output = 'escape'")
    found = await session.fetchval(query(f"select $1::{kind}"), value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("value", ["a\0b", "\ud800", [1, "a"], (1, 2), 2**70, object()])
async def test_value_that_does_not_fit_is_rejected(session: Session, value: Any) -> None:
    """A value that the driver or PostgreSQL refuses rejects the statement; the session goes on."""
    with pytest.raises(DatabaseRejected) as caught:
        await session.fetchval(
            query("select $1::bigint[]" if isinstance(value, (list, tuple)) else "select $1::bigint"), value
        )
    assert caught.value.is_about_data
    assert await session.fetchval(query("select 1")) == 1


async def test_result_and_argument_of_twenty_megabytes(session: Session) -> None:
    """Sizes beyond every buffer pass in both directions; other tasks run meanwhile."""
    turns, size = 0, 20_000_000

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        text = await session.fetchval(query("select repeat('x', $1)"), size)
        assert len(text) == size
        assert await session.fetchval(query("select length($1)"), text) == size
        nursery.cancel_scope.cancel()
    assert turns > 100


@pytest.mark.parametrize(
    ("text", "year"), [("infinity", 9999), ("12000-01-01", 9999), ("-infinity", 1), ("0044-03-15 BC", 1)]
)
async def test_time_beyond_pythons_is_its_first_or_last(session: Session, text: str, year: int) -> None:
    """SQL may set one, such as the end of what has none: a list that has it is shown all the same."""
    row = await session.fetchrow(query(f"select '{text}'::timestamptz as at, array['{text}'::timestamptz] as several"))
    assert row is not None
    assert (row["at"].year, row["at"].utcoffset()) == (year, UTC.utcoffset(None))
    assert row["several"] == [row["at"]]


@pytest.mark.parametrize(
    "value",
    [
        "'0044-03-15 BC'::date",
        "'(1,2)'::point",
        "array['VACANT']::seat_status[]",
        "'1'::money",
    ],
)
async def test_result_that_cannot_be_read_is_rejected(session: Session, value: str) -> None:
    """A value without a form in Python, and one of a type that the driver does not know, is an error and no garbage."""
    for call in (session.fetch, session.fetchval):
        with pytest.raises(DatabaseRejected, match="cannot be read"):
            await call(query(f"select {value}"))
    assert session.idle


async def test_answer_that_comes_with_the_last_flush(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq may have received the whole answer when it has sent the rest of a large statement."""
    statement, text = query("select length($1)"), "x" * 5_000_000
    await session.execute(statement, "prepared")
    wait_writable = trio.lowlevel.wait_writable

    async def wait_until_answered(fd: int) -> None:
        while session.silent:  # send the rest, so that the next consume_input finds the answer
            if session._libpq.flush():
                await wait_writable(fd)

    monkeypatch.setattr(trio.lowlevel, "wait_writable", wait_until_answered)
    with trio.fail_after(5):
        assert await session.fetchval(statement, text) == 5_000_000


async def test_many_rows(session: Session) -> None:
    """All rows of a result, in order, by name."""
    rows = await session.fetch(query("select n, n::text as t from generate_series(1, 50000) n"))
    assert [row["n"] for row in rows] == list(range(1, 50001))
    assert rows[-1] == {"n": 50000, "t": "50000"}


# Statements


async def test_error_has_its_sqlstate_and_detail(session: Session) -> None:
    """The error has PostgreSQL's code, message and detail, also in the middle of a result and of a script."""
    await session.script("create temporary table t (n int unique)")
    with pytest.raises(DatabaseRejected) as caught:
        await session.script("insert into t values (1); insert into t values (1); insert into t values (2)")
    assert caught.value.sqlstate == "23505"
    assert caught.value.message.startswith("duplicate key")
    assert caught.value.detail == "Key (n)=(1) already exists."
    with pytest.raises(DatabaseRejected) as caught:
        await session.fetch(query("select 1 / (5000 - n) from generate_series(1, 10000) n"))
    assert caught.value.sqlstate == "22012"
    assert await session.fetchval(query("select count(*) from t")) == 0
    assert session.idle


async def test_statement_is_prepared_once(session: Session) -> None:
    """A statement is parsed at its first use only."""
    for number in range(5):
        assert await session.fetchval(query("select $1::int"), number) == number
    names = await session.fetch(query("select name from pg_prepared_statements where statement = 'select $1::int'"))
    assert len(names) == 1


async def test_statement_that_no_longer_fits_is_prepared_anew(session: Session) -> None:
    """A migration changes the columns of a result, or a pooler discards the statements: the next query works."""
    all_of_t = query("select * from t")
    await session.script("create temporary table t as select 1 as a")
    assert await session.fetch(all_of_t) == [{"a": 1}]
    await session.script("alter table t add b int default 2")
    assert await session.fetch(all_of_t) == [{"a": 1, "b": 2}]
    await session.script("deallocate all")
    assert await session.fetch(all_of_t) == [{"a": 1, "b": 2}]
    await session.script("begin; alter table t add c int")
    with pytest.raises(DatabaseRejected):  # inside a transaction, which it has ended
        await session.fetch(all_of_t)
    await session.reset()
    assert await session.fetch(all_of_t) == [{"a": 1, "b": 2}]


@pytest.mark.parametrize("statement", ["copy cinema to stdout", "copy cinema from stdin"])
async def test_copy_ends_the_session(session: Session, statement: str) -> None:
    """COPY would leave the protocol in a state of its own: the session closes."""
    with pytest.raises(DatabaseGone, match="COPY"):
        await session.script(statement)
    assert not session.idle


async def test_notices_are_ignored(session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    """Notices beside a result are not in it, nor on stderr."""
    await session.script("do $$ begin for n in 1..1000 loop raise notice 'odd %', n; end loop; end $$")
    assert await session.fetchval(query("select 1")) == 1
    assert capfd.readouterr().err == ""


# Notifications


async def test_notifications_beside_results(session: Session) -> None:
    """Those that arrive with the answers to queries are delivered afterwards, in order; a cancellation loses none."""
    received: list[str] = []
    await session.script("listen odds")
    for number in range(5):
        assert await session.fetchval(NOTIFY, str(number)) == ""
    assert received == []
    with trio.move_on_after(0):
        await session.notifications(received.append)
    for number in range(5, 10):
        await session.execute(NOTIFY, str(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.notifications, received.append)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert received == [str(number) for number in range(10)]


async def test_other_tasks_run_between_two_notifications(session: Session) -> None:
    """A thousand notifications at once do not delay other tasks."""
    received: list[str] = []
    received_by_turn: list[int] = []
    await session.script("listen odds; select pg_notify('odds', n::text) from generate_series(1, 1000) n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.notifications, received.append)
        while len(received) < 1000:
            received_by_turn.append(len(received))
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert max(after - before for before, after in pairwise(received_by_turn)) <= 2


async def test_ended_connection_ends_the_wait(session: Session, database_url: str) -> None:
    """A wait for notifications raises at once when the connection is terminated."""
    with closing(await Session.connect(database_url, application_name="other")) as other:
        with trio.fail_after(5):
            await other.execute(KILL, NAME)
            with pytest.raises(DatabaseGone):
                await session.notifications(lambda _: None)
        assert not session.idle


# Deadlines and cancellations


async def test_statement_timeout_is_too_slow(session: Session) -> None:
    """A statement that PostgreSQL itself ends for its length is late, and the session goes on."""
    await session.script("set statement_timeout = 50")
    with pytest.raises(DatabaseTooSlow, match="statement timeout"):
        await session.execute(query("select pg_sleep(10)"))
    assert session.idle


async def test_reset_after_a_cancelled_statement(session: Session) -> None:
    """A cancelled statement ends on the server, its transaction with it; the session is as before."""
    await session.script("create temporary table t (n int)")
    await session.script("begin; insert into t values (1)")
    with trio.move_on_after(0.05):
        await session.execute(query("select pg_sleep(30)"))
    assert not session.idle
    with trio.fail_after(5):
        await session.reset()
    assert session.idle
    assert await session.fetchval(query("select count(*) from t")) == 0


async def test_reset_of_a_half_sent_statement(session: Session) -> None:
    """A statement that is cancelled while it is sent is not executed: the session closes."""
    statement, text = query("select pg_notify('odds', left($1, 5))"), "x" * 50_000_000
    await session.execute(statement, "prepared")
    with trio.CancelScope() as scope:
        scope.cancel()
        await session.execute(statement, text)
    assert scope.cancelled_caught
    await session.reset()
    assert not session.idle
    with pytest.raises(DatabaseGone):
        await session.execute(statement, "again")


# Addresses


async def test_refused_connection_raises() -> None:
    """A refused connection raises with libpq's message."""
    with pytest.raises(DatabaseGone, match="refused"):
        await Session.connect("postgresql://127.0.0.1:1/nothing", application_name=NAME)


async def test_database_that_is_not_utf8_is_refused(database_server: DatabaseServer) -> None:
    """The message names the encoding found and the one needed."""
    name = "seatsync_test_latin1"
    execute(database_server.dsn, f"create database {name} encoding latin1 locale 'C' template template0")
    try:
        with pytest.raises(DatabaseGone, match="LATIN1; it has to be UTF8"):
            await Session.connect(database_server.url(name), application_name=NAME)
    finally:
        execute(database_server.dsn, f"drop database {name} with (force)")


async def test_search_path_is_ours(empty_database_url: str) -> None:
    """A search path of the database puts no other table in the place of ours."""
    statement = "execute format('alter database %I set search_path = odd', current_database())"
    execute(empty_database_url, f"do $$ begin {statement}; end $$")
    with closing(await Session.connect(empty_database_url, application_name=NAME)) as session:
        assert await session.fetchval(query("show search_path")) == "public, pg_temp"


def test_addresses() -> None:
    """The message names what libpq does not know, and never a password."""
    assert address_fault("postgresql://seats:hidden@[::1]:5432/seats?sslmode=require&load_balance_hosts=random") is None
    fault = address_fault("postgresql://seats:hidden@db/seats?role=owner")
    assert fault is not None
    assert "role" in fault
    assert "hidden" not in fault
