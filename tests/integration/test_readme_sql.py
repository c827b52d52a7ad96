"""The SQL page: its statements run exactly as printed, with the described effects."""

import re
from collections.abc import AsyncIterator

import pytest
from psycopg import errors

from seatsync import seed
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.timing import Timing
from tests.support.readme import PROTOCOL, SQL, Page, names, read_page
from tests.support.server import RunningServer
from tests.support.sql import World

HALL = 3


@pytest.fixture(scope="module")
def page() -> Page:
    """The page."""
    return read_page(SQL)


@pytest.fixture
async def demo(server: RunningServer) -> AsyncIterator[RunningServer]:
    """A server with the demo cinemas; a role that the page makes is gone afterwards."""
    await seed.demo(server.db)
    try:
        yield server
    finally:
        await server.sql(
            "do $$ declare r regrole; begin"
            " for r in select oid from pg_roles where rolname in ('usher', 'reporter') loop"
            " execute format('drop owned by %s', r); execute format('drop role %s', r); end loop; end $$"
        )


async def test_every_statement_runs(demo: RunningServer, page: Page) -> None:
    """The printed statements run from top to bottom on the demo data."""
    await demo.token("eve")
    for statements in page.code("sql"):
        await demo.sql(statements)


async def test_each_statement_is_one_update(demo: RunningServer, page: Page) -> None:
    """A statement is one update for every subscriber, however many seats it changes."""
    (printed,) = page.code("sql", "Change a seat and watch")
    async with demo.client() as client:
        hall = await client.data("hall.subscribe", {"id": HALL}, "h")
        for number, statement in enumerate(printed.split("\n\n"), start=1):
            await demo.sql(statement)
            assert (await client.update("h"))["rev"] == hall["rev"] + number


async def test_a_new_cinema_is_live(demo: RunningServer, page: Page) -> None:
    """Subscribers of the list get it, and its hall has the seats that the page describes."""
    made, moved = page.code("sql", "A new cinema")
    async with demo.client() as client:
        await client.data("cinemas.subscribe", eid="list")
        await demo.sql(made)
        while (await client.answer("list"))["data"][-1]["name"] != "Roxy":
            pass  # the demo was new a moment ago
        hall = await client.data("hall.get", {"id": await demo.value("select max(id) from hall")})
        assert [len(hall["seats"]), hall["seats"][16]["x"], hall["seats"][16]["y"]] == [50, 240, 40]
        await client.data("hall.subscribe", {"id": hall["id"]}, "h")
        await demo.sql(moved)
        assert (await client.answer("h"))["data"]["seats"][16]["x"] == 288


async def test_an_usher_may_change_seats_and_nothing_else(demo: RunningServer, page: Page) -> None:
    """The grants are enough for a live change, and no more than that."""
    grants, reporter = page.code("sql", "A role that may only change seats")
    await demo.sql(grants)
    as_usher = "begin; set local role usher; {}; commit"
    async with demo.client() as client:
        await client.data("hall.subscribe", {"id": HALL}, "h")
        await demo.sql(as_usher.format("update seat set status = 'MAINTENANCE', note = 'Dusty' where id = 612"))
        assert [seat["note"] for seat in (await client.update("h"))["seats"]] == ["Dusty"]
    await demo.sql(reporter)
    await demo.sql("begin; set local role reporter; select * from seat_count; table seat_event; commit")
    with pytest.raises(DatabaseRejected, match="permission denied"):
        await demo.sql("begin; set local role reporter; update seat set status = 'VACANT'; commit")
    for forbidden in ("update seat set place = 9", "delete from seat", "update hall set name = 'x'", "table app_user"):
        with pytest.raises(DatabaseRejected, match="permission denied"):
            await demo.sql(as_usher.format(forbidden))


async def test_triggers_may_be_disabled(demo: RunningServer, page: Page) -> None:
    """The new epoch in the same transaction sends clients the hall anew."""
    disabled, *_ = page.code("sql", "Disabled triggers")
    (restored,) = page.code("sql", "Restoring a dump")
    async with demo.client() as client:
        hall = await client.data("hall.subscribe", {"id": HALL}, "h")
        await demo.sql(disabled)
        relaid = (await client.answer("h"))["data"]
        assert relaid["epoch"] != hall["epoch"]
        assert {seat["status"] for seat in relaid["seats"]} == {"VACANT"}
        await demo.sql(restored)
        assert (await client.answer("h"))["data"]["epoch"] != relaid["epoch"]


@pytest.mark.parametrize("timing", [Timing(login_close_s=0.1, revoked_wait_s=0.1)], ids=[""])
async def test_a_restore_ends_all_sessions(demo: RunningServer, page: Page) -> None:
    """The statements for after a restore close the sockets of users."""
    (restored,) = page.code("sql", "Restoring a dump")
    async with demo.client(await demo.token("eve")) as client:
        await client.heartbeat()
        await demo.sql(restored)
        assert (await client.closed())[0] == 4001


def test_the_table_of_changes_is_that_of_the_schema(world: World) -> None:
    """The rules are in SQL; the protocol page has the same, for one's own seats and for others'."""
    rows = [(names(row[0])[0], *row[1:]) for row in read_page(PROTOCOL).rows("Methods", 1)]
    statuses = [status for status, *_ in rows]
    for status, *cells in rows:
        for wanted, cell in zip(statuses, cells, strict=True):
            code = (*names(cell), None)[0]
            refusals = [world.value(f"select seat_refusal('{status}', '{wanted}', {own})") for own in (True, False)]
            assert refusals == [None if "one's own" in cell else code, code], (status, wanted)


@pytest.mark.usefixtures("database_url")
def test_repeatable_read_fails_beside_others(world: World, hall: int, page: Page) -> None:
    """A conflict under REPEATABLE READ fails with the page's SQLSTATE."""
    world.do("begin isolation level repeatable read")
    world.value("select count(*) from seat")
    world.session().do("update seat set status = 'OCCUPIED' where hall_id = $1 and place = 1", hall)
    with pytest.raises(errors.SerializationFailure) as failed:
        world.do("update seat set status = 'OCCUPIED' where hall_id = $1 and place = 2", hall)
    assert f"`{failed.value.sqlstate}`" in page.prose("Transactions and locks")


@pytest.mark.parametrize(
    ("statement", "revisions"),
    [
        (
            "merge into seat using (values (1, null), (2, 'OCCUPIED'), (9, 'VACANT')) as w (place, status)"
            " on seat.row = 1 and seat.place = w.place and seat.hall_id = {hall}"
            " when matched and w.status is null then delete"
            " when matched then update set status = w.status::seat_status"
            " when not matched then insert (hall_id, seat_type_id, row, place)"
            " values ({hall}, (select id from seat_type), 1, w.place)",
            3,
        ),
        (
            "insert into seat (id, hall_id, seat_type_id, row, place)"
            " select id, hall_id, seat_type_id, row, place from seat where row = 1 and place = 1"
            " union all select 999, {hall}, id, 9, 9 from seat_type"
            " on conflict (id) do update set status = 'OCCUPIED'",
            2,
        ),
    ],
    ids=["merge", "on conflict"],
)
def test_a_statement_of_several_kinds_is_several_revisions(
    world: World, hall: int, statement: str, revisions: int
) -> None:
    """Inserts, updates and deletes of one statement are one revision each, as the table states."""
    before = world.rev(hall)
    world.do(statement.format(hall=hall))
    assert world.rev(hall) - before == revisions


@pytest.mark.usefixtures("database_url")
def test_every_notification_is_in_the_table(world: World, hall: int, page: Page) -> None:
    """The payloads of all triggers, with ids and the like replaced by the words of the page."""
    big = world.hall(rows=30, places=30)
    other = world.cinema("Roxy")
    user = world.user("eve")
    world.notifications()
    for statement in (
        f"update seat set status = 'OCCUPIED' where hall_id = {hall}",
        f"update seat set status = 'OCCUPIED' where hall_id = {big}",
        f"update seat set x = x + 1 where hall_id = {hall}",
        f"update hall set name = 'Another' where id = {hall}",
        f"update hall set cinema_id = {other} where id = {hall}",
        f"delete from hall where id = {hall}",
        f"delete from session where user_id = {user.id}",
    ):
        world.do(statement)
    assert {_shape(payload) for payload in world.notifications()} | {
        "visitor <time> <alias> <JSON>",
        "probe <nonce>",
    } == {names(payload)[0] for payload, _ in page.rows("Notifications")}


def _shape(payload: str) -> str:
    shape = re.sub(r"\{.*\}$", "<JSON>", payload)
    shape = re.sub(r"^(hall \d+) (\d+)", r"\1 <epoch> \2", shape)  # `World.notifications` leaves the epoch out
    shape = re.sub(r"[0-9a-f]{64}", "<alias>", shape)
    return re.sub(r"\d+", "<rev>", re.sub(r"\d+", "<id>", shape, count=1))


def test_every_function_has_the_printed_arguments(world: World, page: Page) -> None:
    """Each function has the printed argument names, in order."""
    for cell, _ in page.rows("Functions"):
        function, _, arguments = names(cell)[0].rstrip(")").partition("(")
        printed = world.value("select proargnames[1:pronargs] from pg_proc where proname = $1", function)
        required = world.value("select pronargs - pronargdefaults from pg_proc where proname = $1", function)
        assert [name for name in arguments.split(", ") if name] == (printed or [])[:required]


async def test_every_table_is_named(demo: RunningServer, page: Page) -> None:
    """The page names every table, and only existing columns."""
    columns: dict[str, set[str]] = {}
    query = (
        "select c.table_name, c.column_name from information_schema.columns c where c.table_schema = 'public'"
        " and not (select relispartition from pg_class where oid = format('%I', c.table_name)::regclass)"
    )
    for row in await demo.rows(query):
        columns.setdefault(row["table_name"], set()).add(row["column_name"])
    rows = page.rows("The tables")
    view = re.findall(r"view `(\w+)`", page.prose("The tables"))
    assert {*(name for cell, _, _ in rows for name in names(cell)), *view} == set(columns)
    for cell, allowed, kept in rows:
        for table in names(cell):
            assert {*names(allowed), *names(kept)} <= columns[table]
