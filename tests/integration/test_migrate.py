"""Migrations on a real PostgreSQL: applied once, wholly or not at all, also by several servers at once."""

import pytest
import trio

from seatsync.core.postgres.migrate import Migration, migrate, migrations
from seatsync.core.postgres.pool import Database
from seatsync.errors import Failure
from tests.support.database import execute, fetchval

APPLIED = "select string_agg(name, ' ' order by name) from schema_migration"


async def run(dsn: str, *known: Migration) -> list[str]:
    """Migrate as a server does when it starts; a refusal comes out as it is, not in the loop's exception group."""
    async with Database.open(dsn, size=2) as db:
        try:
            return await migrate(db, known or None)
        except Failure as error:
            refusal = error
    raise refusal


async def test_an_empty_database_gets_everything_once(empty_database_url: str) -> None:
    """The first run applies all, the second none."""
    assert await run(empty_database_url) == [migration.name for migration in migrations()]
    assert await run(empty_database_url) == []


async def test_several_servers_may_start_at_once(empty_database_url: str) -> None:
    """Each migration is applied by one server; every server returns with the complete schema."""
    applied: list[str] = []

    async def start() -> None:
        applied.extend(await migrate(db))

    async with Database.open(empty_database_url, size=3) as db, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(start)
    assert sorted(applied) == [migration.name for migration in migrations()]


async def test_a_failed_migration_leaves_nothing(empty_database_url: str) -> None:
    """Its statements are rolled back with its row; those before it stay, and it is tried again next time."""
    good = Migration("0001_good", "create table one (id int)")
    bad = Migration("0002_bad", "create table two (id int); select 1 / 0")
    with pytest.raises(Failure, match=r"^The migration 0002_bad failed \(division by zero\)\.$"):
        await run(empty_database_url, good, bad)
    assert await trio.to_thread.run_sync(fetchval, empty_database_url, APPLIED) == "0001_good"
    assert await run(empty_database_url, good, Migration("0002_bad", "create table two (id int)")) == ["0002_bad"]


async def test_a_newer_database_is_refused(database_url: str) -> None:
    """A server of an older version does not touch it."""
    with pytest.raises(Failure, match="a newer version of seatsync is needed"):
        await run(database_url, *migrations()[:1])


async def test_a_role_without_rights_is_refused(empty_database_url: str) -> None:
    """Missing rights are reported with PostgreSQL's own message."""
    dsn = empty_database_url + ("&" if "?" in empty_database_url else "?") + "options=-c%20role%3Dpg_monitor"
    with pytest.raises(Failure, match=r"^The database role may not create the schema \(.*permission denied.*\)\.$"):
        await run(dsn)


async def test_a_role_without_rights_finds_nothing_to_do(database_url: str) -> None:
    """A schema that is up to date needs no more than the right to read the list of migrations."""
    await trio.to_thread.run_sync(execute, database_url, "grant select on schema_migration to pg_monitor")
    assert await run(database_url + ("&" if "?" in database_url else "?") + "options=-c%20role%3Dpg_monitor") == []


async def test_the_schema_is_made_in_public(empty_database_url: str) -> None:
    """The schema is created in ``public`` whatever the role's search path."""
    await trio.to_thread.run_sync(execute, empty_database_url, "create schema elsewhere")
    dsn = empty_database_url + ("&" if "?" in empty_database_url else "?") + "options=-c%20search_path%3Delsewhere"
    await run(dsn)
    assert await trio.to_thread.run_sync(fetchval, empty_database_url, "select to_regclass('public.seat') is not null")
    assert await run(dsn) == []


async def test_the_history_is_parted_when_it_is_migrated(empty_database_url: str) -> None:
    """Nothing of it is left for a server to move, which has two seconds for a statement."""
    old = [migration for migration in migrations() if migration.name < "0010"]
    await run(empty_database_url, *old)
    await trio.to_thread.run_sync(
        execute,
        empty_database_url,
        "insert into seat_event (hall_id, rev, kind, at) "
        "select 1, n, 'layout', now() - n * interval '7 hours' from generate_series(1, 50) n",
    )
    await run(empty_database_url)
    counts = "select (select count(*) from seat_event) || ' ' || (select count(*) from seat_event_default)"
    assert await trio.to_thread.run_sync(fetchval, empty_database_url, counts) == "50 0"
    assert await trio.to_thread.run_sync(fetchval, empty_database_url, "select keep_history(10)") in {4, 5}
