"""Changes by SQL, as subscribers receive them: transactions, rollbacks, statements of every size and text."""

from typing import Any

import pytest

from tests.support.halls import make_hall
from tests.support.server import RunningServer
from tests.support.views import open_view

TEXTS = [
    'wet "paint"',
    "back\\slash",
    "line\nbreak\ttab",
    "it's",
    "{}",
    "hall 1 2",
    "é€🎬",
    "a\u2028b\u2029c",
    "x" * 200,
]


async def test_transaction_of_many_statements(server: RunningServer) -> None:
    """Every statement of a transaction is a revision; all of them arrive, in order, when it commits."""
    halls = [await make_hall(server, rows=2, name=name) for name in ("Red", "Blue")]
    async with server.client() as client:
        views = [await open_view(client, hall.id, hall_eid) for hall, hall_eid in zip(halls, "rb", strict=True)]
        async with server.db.transaction() as session:
            for place in range(4):
                for hall in halls:
                    await session.script(f"update seat set status = 'OCCUPIED' where id = {hall.seats[place]}")
            await session.script("update seat set status = 'VACANT' where row = 1")
            await client.heartbeat()
            assert client.unread == []
        for view in views:
            await view.reach(6)
            assert (view.frames, view.merged) == (6, 0)
            await view.is_true(server)


async def test_layout_and_seats_in_one_transaction(server: RunningServer) -> None:
    """Changes of layout and of seats, mixed in one transaction, leave subscribers with the current state."""
    hall = await make_hall(server, rows=2)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await server.sql(
            f"""
            begin;
            update seat set status = 'OCCUPIED' where id = {hall.seats[0]};
            update seat set rotation = 5 where id = {hall.seats[0]};
            update seat set status = 'RESERVED' where id = {hall.seats[1]};
            delete from seat where id = {hall.seats[7]};
            update hall set name = 'New' where id = {hall.id};
            update seat set status = 'VACANT' where id = {hall.seats[0]};
            commit
            """
        )
        await view.reach(7)
        await view.is_true(server)


async def test_rolled_back_changes_are_not_sent(server: RunningServer) -> None:
    """Changes of a rolled-back transaction or savepoint are not sent; their revisions are reused."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await server.sql(
            f"""
            begin;
            update seat set status = 'OCCUPIED' where hall_id = {hall.id};
            rollback;
            begin;
            update seat set status = 'RESERVED' where id = {hall.seats[0]};
            savepoint here;
            update seat set status = 'MAINTENANCE' where id = {hall.seats[1]};
            rollback to here;
            update seat set status = 'OCCUPIED' where id = {hall.seats[2]};
            commit
            """
        )
        await view.reach(3)
        assert view.frames == 3
        await view.is_true(server)


async def test_updates_of_every_size(server: RunningServer) -> None:
    """Each arrives whole, also around the size at which an update no longer fits into a notification."""
    hall = await make_hall(server, rows=4, places=50)
    sizes = [1, 2, 10, *range(80, 112, 2), 200]
    async with server.client() as client:
        view = await open_view(client, hall.id)
        for rev, size in enumerate(sizes, 2):
            seats = ",".join(map(str, hall.seats[:size]))
            status = ("OCCUPIED", "VACANT")[rev % 2]
            await server.sql(f"update seat set status = '{status}', note = null where id in ({seats})")
            await view.reach(rev)
        await view.is_true(server)


@pytest.mark.parametrize("by", ["sql", "client"])
async def test_notes_of_every_kind(server: RunningServer, by: str) -> None:
    """Quotes, line breaks and all of Unicode in notes arrive unchanged."""
    hall = await make_hall(server, places=len(TEXTS))
    async with server.client(await server.token("anna")) as anna:
        view = await open_view(anna, hall.id)
        for rev, (seat, text) in enumerate(zip(hall.seats, TEXTS, strict=True), 2):
            if by == "sql":
                await server.rows("update seat set status = 'MAINTENANCE', note = $2 where id = $1", seat, text)
            else:
                data = {"hall_id": hall.id, "seat_id": seat, "status": "MAINTENANCE", "note": text}
                answer = await anna.data("hall.update_seat_status", data)
                assert answer["seats"][0]["note"] == text
            await view.reach(rev)
        assert [seat["note"] for seat in view.data["seats"]] == TEXTS
        await view.is_true(server)


async def test_names_of_every_kind(server: RunningServer) -> None:
    """Any text in the names of halls and cinemas arrives unchanged."""
    async with server.client() as client:
        for text in TEXTS:
            hall = await make_hall(server, name=text)
            assert (await client.data("hall.get", {"id": hall.id}))["name"] == text
        cinemas: list[dict[str, Any]] = await client.data("cinemas.get_cinemas")
    assert [cinema["name"] for cinema in cinemas] == [cinema["halls"][0]["name"] for cinema in cinemas] == TEXTS


@pytest.mark.parametrize("statement", ["truncate seat", "delete from seat"])
async def test_hall_that_is_emptied(server: RunningServer, statement: str) -> None:
    """A hall without seats is a hall; its subscribers receive that it is empty."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await server.sql(statement)
        await view.reach(2)
        assert view.data["seats"] == view.data["seat_types"] == []
        await view.is_true(server)


@pytest.mark.parametrize("statement", ["truncate hall cascade", "truncate cinema cascade"])
async def test_truncated_halls(server: RunningServer, statement: str) -> None:
    """Truncated halls are deleted halls."""
    hall = await make_hall(server)
    async with server.client() as client:
        await client.call("cinemas.subscribe", eid="c")
        await open_view(client, hall.id)
        await server.sql(statement)
        assert (await client.of("h"))["error"] == "HallNotFound"
        frame = await client.of("c")
        while frame["status"] == "update" or any(cinema["halls"] for cinema in frame["data"]):
            frame = await client.of("c")  # of the hall's creation, which may still have been in flight
        assert [cinema["halls"] for cinema in frame["data"]] in ([], [[]])
