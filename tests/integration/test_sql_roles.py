"""A role that serves and owns nothing: everything that the server does, and nothing else."""

import os
from collections.abc import Iterator
from functools import partial

import pytest
from psycopg import errors

from seatsync.core.postgres.migrate import Migration, grant, migrate, migrations
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query, load
from seatsync.errors import Failure
from seatsync.user.encryption import rotate
from seatsync.user.keyring import Keyring
from tests.support.halls import make_hall
from tests.support.people import CHEAP, SECRETS_KEY, Phone, open_users
from tests.support.server import running_server
from tests.support.sql import World
from tests.support.views import open_view
from tests.support.waiting import eventually

RECOVER, REGISTER, LOGIN = "user.recover", "user.register", "user.login"


@pytest.fixture
def server_role(world: World) -> Iterator[str]:
    """A role with the grants of the server."""
    role = f"seatsync_test_server_{os.getpid()}"
    world.do(f"create role {role}")
    world.do(load("system")["grant_server"].sql, role)
    try:
        yield role
    finally:
        world.do(f"reset role; drop owned by {role}; drop role {role}")


@pytest.fixture
def server_url(database_url: str, server_role: str) -> str:
    """The DSN of the database, as that role."""
    return f"{database_url}{'&' if '?' in database_url else '?'}options=-c%20role%3D{server_role}"


async def test_the_server_serves_halls(database_url: str, server_url: str) -> None:
    """Watching, resuming, writing, blocked writes, the list, and pruning."""
    async with running_server(database_url) as owner:
        hall = await make_hall(owner)
        token = await owner.token("ada")
        async with running_server(server_url, PUBLIC_VIEW="true") as server, server.client(token) as client:
            view = await open_view(client, hall.id)
            await client.data("cinemas.subscribe", eid="c")
            write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
            assert (await client.data("hall.update_seat_status", write))["rev"] == 2
            await owner.sql(f"update seat set status = 'MAINTENANCE' where id = {hall.seats[1]}")
            await view.reach(3)
            resumed = {"id": hall.id, "since": 1, "epoch": view.data["epoch"]}
            await client.send("hall.subscribe", resumed, eid="again")
            assert (await client.of("again"))["data"]["resumed"]
            await view.is_true(owner)
            hall_queries = load("hall")
            assert (await client.data("hall.at", {"id": hall.id, "rev": 1}))["rev"] == 1
            assert (await client.data("hall.history", {"id": hall.id}))["events"] != []
            assert await server.db.fetchval(load("history")["keep_checkpoints"], 50) == 0
            report = {"id": hall.id, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z", "bucket": "hour"}
            assert await server.db.fetchval(load("history")["roll_up_occupancy"], 1000) == 0
            assert len(await client.data("hall.report", {**report, "tz": "Europe/Berlin"})) == 1
            assert await server.db.fetchval(hall_queries["keep_history"], 30) == 0
            assert await server.db.fetchval(load("history")["index_history"]) == 0
            assert await server.db.fetchval(hall_queries["prune_keys"], 100) == 0
            assert await server.db.fetchval(load("user")["prune"], 100) == 0
            assert await server.db.fetchval(load("user")["prune_idle"], 100, 48) == 0
            (session,) = await client.data("user.sessions")
            assert session["address"] is not None
            assert await server.db.fetchval(load("user")["keep_auth_events"], 90, 100) == 0
            await eventually(partial(server.value, "select not exists (select from auth_event_pending)"))
            assert await server.db.fetch(hall_queries["unlocked"], [hall.id], hall.seats) != []


async def test_the_server_ends_holds(database_url: str, server_url: str) -> None:
    """It makes them for clients, and frees their seats."""
    async with running_server(database_url) as owner:
        hall = await make_hall(owner)
        token = await owner.token("ada")
    async with running_server(server_url) as server, server.client(token) as client:
        view = await open_view(client, hall.id)
        hold = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "RESERVED", "hold_s": 1}
        await client.data("hall.update_seat_status", hold)
        await view.reach(3)
        assert [seat["status"] for seat in view.data["seats"]] == ["VACANT"] * 4


async def test_the_server_of_the_version_before_goes_on(empty_database_url: str) -> None:
    """Between the migration of holds and the next grant it may write as before."""
    role = f"seatsync_test_before_{os.getpid()}"
    async with Database.open(empty_database_url, size=1) as db:
        await migrate(db, [one for one in migrations() if one.name < "0021"])
        await execute(db, f"create role {role}")
        try:
            await grant(db, role)
            await migrate(db)
            for right in (
                "has_column_privilege($1, 'seat', 'hold_until', 'update')",
                "(select has_function_privilege($1, oid, 'execute') from pg_proc where proname = 'write_seats')",
                "has_function_privilege($1, 'expire_holds(integer)', 'execute')",
            ):
                assert await db.fetchval(Query("right", f"select {right}"), role), right
        finally:
            await execute(db, f"drop owned by {role}; drop role {role}")


async def execute(db: Database, statements: str) -> None:
    """Run SQL as the owner."""
    async with db.session() as session:
        await session.script(statements)


async def test_the_server_signs_people_in(server_url: str) -> None:
    """Registering, phrases, recovery, login and logout, and another key for the secrets."""
    async with open_users(server_url, CHEAP) as users:
        browser = users.browser()
        phone = await users.register("ada", browser)
        phrase = (await browser("user.recovery_phrase", code=phone.code()))["phrase"]
        await browser("user.save_recovery_phrase", phrase=phrase)
        await browser("user.logout")
        users.clock.next_code()
        other = users.browser()
        phone = Phone.scan(users.clock, await other(RECOVER, username="ada", phrase=phrase))
        await other(REGISTER, username="ada", code=phone.code())
        users.clock.next_code()
        await users.browser()(LOGIN, username="ada", code=phone.code())
        await users.browser()("user.auth_start", username="eve")
        assert await rotate(users.db, Keyring(["a new key of 32 bytes for the secrets", SECRETS_KEY])) == 2
        assert await users.value("select count(*) from session") == 2
        assert await other("user.end_sessions") == {"ended": 1}


async def test_the_server_checks_the_schema(server_url: str, database_url: str) -> None:
    """A server that does not own a complete schema starts; of one that is not, it names what is missing."""
    async with Database.open(server_url, size=1) as db:
        assert await migrate(db) == []
        newer = [*migrations(), Migration("9999_newer", "create table newer (id int)")]
        with pytest.raises(Failure, match=r"lacks the migration 9999_newer.* as its owner"):
            await migrate(db, newer)
        with pytest.raises(Failure, match="may not"):
            await grant(db, "pg_monitor")
    async with Database.open(database_url, size=1) as db:
        with pytest.raises(Failure, match='role "nobody_such" does not exist'):
            await grant(db, "nobody_such")


@pytest.mark.parametrize(
    "statement",
    [
        "update app_user set role = 'admin'",
        "update app_user set disabled_at = null",
        "select reset_user(1, '', '')",
        "select delete_user(1, '')",
        "insert into cinema (name) values ('Mine')",
        "update cinema set name = 'Mine'",
        "delete from hall",
        "update hall set rev = 0",
        "update hall set epoch = default",
        "insert into seat (hall_id, seat_type_id, row, place) select hall_id, seat_type_id, 9, 9 from seat limit 1",
        "update seat set hall_id = 1",
        "delete from seat",
        "truncate seat",
        "insert into seat_event (hall_id, rev, kind) values (1, 99, 'layout')",
        "delete from seat_event",
        "insert into auth_event (event, reason) values ('auth.deleted', 'sql')",
        "update auth_event set username = 'eve'",
        "delete from auth_event",
        "truncate auth_event cascade",
        "delete from auth_event_pending",
        "select record_auth_event('auth.deleted', 1, 'eve')",
        "update hall_count set seats = 0",
        "delete from occupancy_hour",
        "update feed_key set key = ''",
        "select announce('cinemas')",
        "select announce_layout('{1}')",
        "select announce_unannounced()",
        "insert into schema_migration (name, checksum) values ('9999', '')",
        "alter table seat disable trigger user",
        "drop table seat",
        "create table public.mine (id int)",
    ],
)
def test_the_server_may_do_nothing_else(world: World, hall: int, server_role: str, statement: str) -> None:
    """A server that is taken over changes no layout, no role, no history and no schema."""
    world.do(f"set role {server_role}")
    with pytest.raises(errors.InsufficientPrivilege):
        world.do(statement)
    assert world.rev(hall) == 1


def test_a_reporter_reads(world: World, hall: int) -> None:
    """The grants of the page: counts and history, and nobody's secrets."""
    role = f"seatsync_test_reporter_{os.getpid()}"
    tables = "cinema, hall, seat_type, seat, seat_event, seat_count, auth_event, occupancy_hour, occupancy_by_hour"
    world.do(f"create role {role}; grant select on {tables} to {role}")
    world.user("ada")
    world.do(f"set role {role}")
    try:
        assert world.value("select vacant from seat_count where hall_id = $1", hall) == 6
        assert world.value("select count(*) from seat_event where hall_id = $1", hall) == 6
        assert world.value("select rev from hall_snapshot($1)", hall) == 1
        assert world.values("select seats from occupancy_by_hour where hall_id = $1", hall) == []
        assert world.values("select username from auth_event") == ["ada"]
        for statement in (
            "update seat set status = 'OCCUPIED'",
            "select change_seats('{1}', 'OCCUPIED')",
            "select totp_secret from app_user",
            "table session",
            "delete from auth_event",
            "update auth_event set address = null",
            "truncate auth_event",
            "select roll_up_occupancy(1)",
            "select take_auth_events(1)",
            "select keep_auth_events(1, 1)",
            "table feed_key",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                world.do(statement)
    finally:
        world.do(f"reset role; drop owned by {role}; drop role {role}")


@pytest.mark.parametrize("days", [0, -9])
def test_the_server_cannot_drop_what_is_new(world: World, hall: int, server_role: str, days: int) -> None:
    """A server that is taken over does not remove its traces: the history of a day stays."""
    world.do(f"set role {server_role}")
    with pytest.raises(errors.InvalidParameterValue):
        world.value("select keep_history($1::int)", days)
    with pytest.raises(errors.InvalidParameterValue):
        world.value("select keep_auth_events($1::int, 100)", days)
    assert world.value("select keep_history(1)") == 0
    assert world.value("select count(*) from seat_event where hall_id = $1", hall) == 6
