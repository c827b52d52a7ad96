"""The README's "Seats by SQL": its statements run exactly as printed, and do what it says."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from seatsync.cinema import seed
from seatsync.core.postgres.pool import DatabaseRejected
from tests.support.readme import Page, names, read_page
from tests.support.server import RunningServer
from tests.support.sql import open_world

HALL = 3


@pytest.fixture(scope="module")
def page() -> Page:
    """The README."""
    return read_page()


@pytest.fixture
async def demo(server: RunningServer) -> AsyncIterator[RunningServer]:
    """A server with the demo cinemas; a role that the page makes is gone afterwards."""
    await seed.demo(server.db)
    try:
        yield server
    finally:
        await server.sql(
            "do $$ begin if to_regrole('usher') is not null then"
            " execute 'drop owned by usher'; execute 'drop role usher'; end if; end $$"
        )


def blocks(page: Page, heading: str) -> list[str]:
    """The SQL under a heading."""
    return [block.text for block in page.code("sql") if block.heading == heading]


async def test_every_statement_runs(demo: RunningServer, page: Page) -> None:
    """All of them, from top to bottom, on the demo data."""
    await demo.token("eve")
    for block in page.code("sql"):
        await demo.sql(block.text)


async def test_each_statement_is_one_update(demo: RunningServer, page: Page) -> None:
    """However many seats it changes; and everybody who watches the hall gets it."""
    (printed,) = blocks(page, "Change a seat and watch")
    async with demo.client() as client:
        hall = await client.data("hall.subscribe", {"id": HALL}, "h")
        for number, statement in enumerate(printed.split("\n\n"), start=1):
            await demo.sql(statement)
            assert (await client.update("h"))["rev"] == hall["rev"] + number


async def test_a_new_cinema_is_told(demo: RunningServer, page: Page) -> None:
    """Who watches the list hears of it, and its hall has the seats that were asked for."""
    made, moved = blocks(page, "A new cinema")
    async with demo.client() as client:
        await client.data("cinemas.subscribe", eid="list")
        await demo.sql(made)
        cinemas = (await client.answer("list"))["data"]
        assert cinemas[-1]["name"] == "Roxy"
        hall = await client.data("hall.get", {"id": await demo.value("select max(id) from hall")})
        assert [len(hall["seats"]), hall["seats"][16]["x"], hall["seats"][16]["y"]] == [50, 240, 40]
        await client.data("hall.subscribe", {"id": hall["id"]}, "h")
        await demo.sql(moved)
        assert (await client.answer("h"))["data"]["seats"][16]["x"] == 288


async def test_an_usher_may_change_seats_and_nothing_else(demo: RunningServer, page: Page) -> None:
    """The grants are enough for a live change, and no more than that."""
    (grants,) = blocks(page, "A role that may only change seats")
    await demo.sql(grants)
    as_usher = "begin; set local role usher; {}; commit"
    async with demo.client() as client:
        await client.data("hall.subscribe", {"id": HALL}, "h")
        await demo.sql(as_usher.format("update seat set status = 'MAINTENANCE', note = 'Dusty' where id = 612"))
        assert [seat["note"] for seat in (await client.update("h"))["seats"]] == ["Dusty"]
    for forbidden in ("update seat set place = 9", "delete from seat", "update hall set name = 'x'", "table app_user"):
        with pytest.raises(DatabaseRejected, match="permission denied"):
            await demo.sql(as_usher.format(forbidden))


async def test_triggers_may_be_disabled(demo: RunningServer, page: Page) -> None:
    """Clients then get the hall anew, which the last statement before the commit sees to."""
    disabled, restored = blocks(page, "What to know")
    async with demo.client() as client:
        hall = await client.data("hall.subscribe", {"id": HALL}, "h")
        await demo.sql(disabled)
        relaid = (await client.answer("h"))["data"]
        assert relaid["epoch"] != hall["epoch"]
        assert {seat["status"] for seat in relaid["seats"]} == {"VACANT"}
        await demo.sql(restored)
        assert (await client.answer("h"))["data"]["epoch"] != relaid["epoch"]


async def test_the_end_of_all_sessions_is_told(demo: RunningServer, page: Page) -> None:
    """What one runs after a restore closes the sockets of those who were signed in."""
    _, restored = blocks(page, "What to know")
    async with demo.client(await demo.token("eve")) as client:
        await client.heartbeat()
        await demo.sql(restored)
        assert (await client.closed())[0] == 4001


def test_the_table_of_changes_is_that_of_the_schema(database_url: str, page: Page) -> None:
    """What the protocol allows is decided in SQL; the page shows the same, for one's own seats and for others'."""
    statuses = [names(row[0])[0] for row in page.rows("Methods", 1)]
    with open_world(database_url) as world:
        for status, *cells in ((names(row[0])[0], *row[1:]) for row in page.rows("Methods", 1)):
            for wanted, cell in zip(statuses, cells, strict=True):
                code = (*names(cell), None)[0]
                refusals = [world.value(f"select seat_refusal('{status}', '{wanted}', {own})") for own in (True, False)]
                assert refusals == [None if "one's own" in cell else code, code], (status, wanted)


def test_repeatable_read_fails_beside_others(database_url: str, page: Page) -> None:
    """With the SQLSTATE that the page names."""
    assert "40001" in page.prose("What to know")
    with open_world(database_url) as world:
        hall = world.hall()
        world.do("begin isolation level repeatable read")
        world.value("select count(*) from seat")
        world.session().do("update seat set status = 'OCCUPIED' where hall_id = $1 and place = 1", hall)
        with pytest.raises(asyncpg.SerializationError) as failed:
            world.do("update seat set status = 'OCCUPIED' where hall_id = $1 and place = 2", hall)
        assert failed.value.sqlstate == "40001"


async def test_every_table_is_named(demo: RunningServer, page: Page) -> None:
    """With columns that it has, if any are named."""
    columns: dict[str, set[str]] = {}
    query = "select table_name, column_name from information_schema.columns where table_schema = 'public'"
    for row in await demo.rows(query):
        columns.setdefault(row["table_name"], set()).add(row["column_name"])
    rows = page.rows("The tables")
    view = re.findall(r"view `(\w+)`", page.prose("The tables"))
    assert {*(name for cell, _, _ in rows for name in names(cell)), *view} == set(columns)
    for cell, allowed, kept in rows:
        for table in names(cell):
            assert {*names(allowed), *names(kept)} <= columns[table]
