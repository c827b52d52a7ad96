"""Migrations beside other sessions: locks that they wait for, and those that run outside a transaction."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
import trio
from structlog.testing import capture_logs

from seatsync.core.postgres.migrate import Migration, migrate
from seatsync.core.postgres.pool import Database
from seatsync.core.timing import Timing
from seatsync.errors import Failure, ServiceUnavailable
from tests.support.database import open_session
from tests.support.sql import Session
from tests.support.waiting import eventually

TIMING = Timing(migrate_lock_s=0.2, first_migrate_pause_s=0.05, last_migrate_pause_s=0.1)
IMPATIENT = Timing(migrate_lock_s=0.1, first_migrate_pause_s=0.05, migrate_s=1.0)

SLOW_MACHINE_S = 3.0

TABLE = Migration("0001_table", "create table one (id integer); insert into one values (1), (2)")
COLUMN = Migration("0002_column", "alter table one add column name text")
MAKE_INDEX = "-- online\ncreate index concurrently if not exists one_id_idx on one (id);\n"
INDEX = Migration("0002_index", f"{MAKE_INDEX}analyze one;")

TAKE_LOCK = "select pg_advisory_lock(hashtext('seatsync'), hashtext('migration'))"
APPLIED = "select string_agg(name, ' ' order by name) from schema_migration"
INDEXES = (
    "select string_agg(c.relname || case when i.indisvalid then '' else ' invalid' end, ', ' order by c.relname)"
    " from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = 'one'::regclass"
)
BACKENDS = (
    "from pg_stat_activity where datname = current_database() and application_name = 'seatsync migrate'"
    " and state = 'active'"
)


@pytest.fixture
def holder(empty_database_url: str) -> Iterator[Session]:
    """A session that holds locks."""
    with open_session(empty_database_url) as session:
        session.do("set application_name = 'a report'")
        yield session


@pytest.fixture
def observer(empty_database_url: str) -> Iterator[Session]:
    """A session that looks on."""
    with open_session(empty_database_url) as session:
        yield session


async def run(dsn: str, *known: Migration, timing: Timing = TIMING) -> list[str]:
    """Migrate as a server does when it starts; a refusal comes out as it is."""
    async with Database.open(dsn, size=1) as db:
        try:
            return await migrate(db, known, timing=timing)
        except Failure as error:
            refusal = error
    raise refusal


async def is_blocked(observer: Session, seconds: float = 0) -> None:
    """Wait until a statement of a migration has run for so long and waits for a lock."""

    async def check() -> bool:
        ran = f"clock_timestamp() - query_start > interval '{seconds} s'"
        return bool(observer.value(f"select count(*) {BACKENDS} and wait_event_type = 'Lock' and {ran}"))

    await eventually(check)


async def reads(session: Session) -> None:
    """Read the table that a migration changes; fails the test when that takes much longer than the lock timeout."""
    with trio.fail_after(TIMING.migrate_lock_s + SLOW_MACHINE_S):
        await trio.to_thread.run_sync(session.do, "select from one", abandon_on_cancel=True)


async def while_blocked(observer: Session, work: Callable[[], Awaitable[object]], dsn: str, *known: Migration) -> None:
    """Migrate, and do that work once the migration waits for a lock."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run, dsn, *known))
        await is_blocked(observer)
        await work()


async def test_readers_wait_no_longer_than_the_lock_timeout(
    empty_database_url: str, holder: Session, observer: Session
) -> None:
    """One open transaction does not make a migration block every reader; it is applied once that transaction ends."""
    await run(empty_database_url, TABLE)
    holder.do("begin")
    assert holder.value("select count(*) from one") == 2

    async def read() -> None:
        for _ in range(3):
            await reads(observer)
        assert observer.value(APPLIED) == TABLE.name
        holder.do("commit")

    with capture_logs() as logs:
        await while_blocked(observer, read, empty_database_url, TABLE, COLUMN)
    assert observer.value(APPLIED) == f"{TABLE.name} {COLUMN.name}"
    (blocked,) = (line for line in logs if line["event"] == "migration_blocked")
    assert (blocked["pid"], blocked["application"]) == (holder.connection.info.backend_pid, "a report")
    assert blocked["transaction_start"] <= blocked["query_start"]


@pytest.mark.parametrize("migration", [COLUMN, INDEX], ids=["in a transaction", "online"])
async def test_a_lock_that_is_kept_is_named(
    empty_database_url: str, holder: Session, observer: Session, migration: Migration
) -> None:
    """A migration that gets no lock in time fails with the process that has it, and leaves no statement running."""
    await run(empty_database_url, TABLE)
    holder.do("begin; insert into one values (3)")
    pid = holder.connection.info.backend_pid
    with pytest.raises(
        Failure,
        match=rf"^The migration {migration.name} has waited for a lock for 1 s: process {pid} \(a report, role \w+\), "
        r"in a transaction since 2\S+ \S+, is in its way\.$",
    ):
        await run(empty_database_url, TABLE, migration, timing=IMPATIENT)
    assert observer.value(f"select count(*) {BACKENDS}") == 0
    holder.do("commit")
    assert await run(empty_database_url, TABLE, migration) == [migration.name]


@pytest.mark.parametrize("error", ["deadlock_detected", "lock_not_available"])
async def test_a_migration_without_a_lock_is_run_again(empty_database_url: str, holder: Session, error: str) -> None:
    """Each run is a transaction of its own; what the failed ones did is rolled back."""
    holder.do("create sequence runs")
    again = f"if nextval('runs') < 3 then raise exception 'no lock' using errcode = '{error}'; end if;"
    script = f"create table two (id integer); do $$ begin {again} end $$"
    assert await run(empty_database_url, Migration("0001_two", script)) == ["0001_two"]
    assert holder.value("select last_value from runs") == 3


async def test_a_migration_that_takes_too_long_is_ended(empty_database_url: str, observer: Session) -> None:
    """It fails with its time, and its statement is cancelled."""
    with pytest.raises(Failure, match=r"^The migration 0001_slow has run for 1 s\.$"):
        await run(empty_database_url, Migration("0001_slow", "select pg_sleep(60)"), timing=IMPATIENT)
    assert observer.value(f"select count(*) {BACKENDS}") == 0


async def test_a_statement_timeout_does_not_end_a_migration(empty_database_url: str) -> None:
    """A role or a database may have one, which is meant for queries."""
    dsn = empty_database_url + ("&" if "?" in empty_database_url else "?") + "options=-c%20statement_timeout%3D50"
    assert await run(dsn, Migration("0001_slow", "select pg_sleep(0.2)")) == ["0001_slow"]


async def test_a_lost_connection_is_an_unavailable_database(empty_database_url: str, observer: Session) -> None:
    """As for any query: the caller says so in a sentence, and the next start runs the migration again."""

    async def end() -> None:
        kill = f"select pg_terminate_backend(pid) {BACKENDS} and query like '%pg_sleep%'"
        await eventually(partial(trio.to_thread.run_sync, observer.value, kill))

    async with Database.open(empty_database_url, size=1) as db, trio.open_nursery() as nursery:
        nursery.start_soon(end)
        with pytest.raises(ServiceUnavailable, match="terminating connection"):
            await migrate(db, [Migration("0001_slow", "select pg_sleep(60)")])


async def test_one_server_migrates_at_a_time(empty_database_url: str, holder: Session, observer: Session) -> None:
    """A server waits while another migrates, and names it when it takes too long."""
    holder.do(TAKE_LOCK)
    pid = holder.connection.info.backend_pid
    with (
        capture_logs() as logs,
        pytest.raises(Failure, match=rf"for 1 s another server has migrated it, process {pid} \(a report, "),
    ):
        await run(empty_database_url, TABLE, timing=IMPATIENT)
    assert [(line["event"], line["pid"]) for line in logs] == [("migration_waits", pid)]
    assert observer.value("select to_regclass('schema_migration')") is None
    holder.do("select pg_advisory_unlock_all()")
    assert await run(empty_database_url, TABLE) == [TABLE.name]


async def test_an_online_migration_runs_outside_a_transaction(empty_database_url: str, observer: Session) -> None:
    """Several servers may start at once: it is applied by one, and does not wait for those that wait."""
    applied: list[str] = []

    async def start() -> None:
        applied.extend(await run(empty_database_url, TABLE, INDEX))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(start)
    assert applied == [TABLE.name, INDEX.name]
    assert observer.value(INDEXES) == "one_id_idx"


async def test_an_online_migration_is_recorded_when_all_of_it_has_run(
    empty_database_url: str, observer: Session
) -> None:
    """After a failure its first statements stay, and all of it is run again."""
    broken, mended = (Migration(INDEX.name, f"{MAKE_INDEX}select 1 / {divisor};") for divisor in (0, 1))
    with pytest.raises(Failure, match=r"^The migration 0002_index failed \(division by zero\)\.$"):
        await run(empty_database_url, TABLE, broken)
    assert observer.value(INDEXES) == "one_id_idx"
    assert observer.value(APPLIED) == TABLE.name
    assert await run(empty_database_url, TABLE, mended) == [INDEX.name]


async def test_an_invalid_index_is_made_anew(empty_database_url: str, holder: Session, observer: Session) -> None:
    """An interrupted ``create index concurrently`` leaves an index that ``if not exists`` would take for a good one.

    Invalid indexes that the migration does not name stay: somebody else may be making them.
    """
    await run(empty_database_url, TABLE)
    holder.do("begin; insert into one values (3)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, empty_database_url, TABLE, INDEX)
        await is_blocked(observer)
        nursery.cancel_scope.cancel()
    assert observer.value(INDEXES) == "one_id_idx invalid"
    holder.do("commit")
    holder.do("create index one_other_idx on one (id)")
    holder.do("update pg_index set indisvalid = false where indexrelid = 'one_other_idx'::regclass")
    assert await run(empty_database_url, TABLE, INDEX) == [INDEX.name]
    assert observer.value(INDEXES) == "one_id_idx, one_other_idx invalid"


async def test_concurrently_waits_for_as_long_as_it_takes(
    empty_database_url: str, holder: Session, observer: Session
) -> None:
    """It holds nobody up: to give up after the lock timeout would only begin the work anew."""
    await run(empty_database_url, TABLE)
    holder.do("begin; insert into one values (3)")

    async def wait() -> None:
        await is_blocked(observer, 3 * TIMING.migrate_lock_s)
        observer.do("update one set id = 4 where id = 1")
        holder.do("commit")

    with capture_logs() as logs:
        await while_blocked(observer, wait, empty_database_url, TABLE, INDEX)
    assert [line["event"] for line in logs] == ["migration_blocked", "migrated"]


async def test_other_online_statements_give_up_their_locks(
    empty_database_url: str, holder: Session, observer: Session
) -> None:
    """An online statement that blocks others is bound by the lock timeout, and run again."""
    await run(empty_database_url, TABLE)
    holder.do("begin")
    assert holder.value("select count(*) from one") == 2

    async def read() -> None:
        await reads(observer)
        holder.do("commit")

    online = Migration(COLUMN.name, "-- online\nalter table one add column if not exists name text;")
    await while_blocked(observer, read, empty_database_url, TABLE, online)
    assert observer.value(APPLIED) == f"{TABLE.name} {COLUMN.name}"


async def test_a_complete_schema_needs_no_lock(empty_database_url: str, holder: Session) -> None:
    """Any role may take the lock of migrations: a server with nothing to migrate starts all the same."""
    await run(empty_database_url, TABLE)
    holder.do(TAKE_LOCK)
    assert await run(empty_database_url, TABLE, timing=IMPATIENT) == []
