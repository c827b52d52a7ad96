"""The list of cinemas: its object, its updates, and when a new snapshot comes."""

import re
from itertools import pairwise
from typing import Any

from tests.support.client import Client
from tests.support.halls import Hall, make_hall
from tests.support.server import RunningServer

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
GATHER_MS = 100


def counts(vacant: int, reserved: int = 0, occupied: int = 0, maintenance: int = 0) -> dict[str, int]:
    """The totals of a hall."""
    return {"VACANT": vacant, "RESERVED": reserved, "OCCUPIED": occupied, "MAINTENANCE": maintenance}


async def watch(client: Client) -> Any:
    """Subscribe under the eid ``c``; the snapshot's data."""
    answer = await client.call("cinemas.subscribe", eid="c")
    assert answer["status"] == "snapshot"
    return answer["data"]


async def update_with(client: Client, hall: Hall, **expected: int) -> Any:
    """The first update that has these totals of the hall; a snapshot on the way fails the test.

    It may have more of the hall than that: where the hall's own creation is announced late, both are one update.
    """
    while True:
        frame = await client.frame()
        assert (frame["type"], frame["status"]) == ("cinemas.subscribe", "update")
        if [(one["id"], one["seats_count"]) for one in frame["data"]["halls"]] == [(hall.id, counts(**expected))]:
            return frame["data"]


async def test_list_of_cinemas(server: RunningServer) -> None:
    """Cinemas by id, each with its halls by id and their totals over all four statuses, zeros for an empty hall."""
    first, second = await make_hall(server, name="Uno"), await make_hall(server, name="Due")
    await server.sql(f"insert into hall (cinema_id, name, rows, places) values ({first.cinema_id}, 'Empty', 3, 4)")
    await server.sql(f"update seat set status = 'RESERVED' where id = {first.seats[0]}")
    await server.sql(f"update seat set status = 'MAINTENANCE' where id = {first.seats[1]}")
    async with server.client() as client:
        cinemas = await client.data("cinemas.get_cinemas")
        assert cinemas == await client.data("cinema.get_cinemas")
        assert cinemas == await watch(client)
    assert all(TIME.fullmatch(cinema.pop("created_at")) for cinema in cinemas)
    blue = {"rows": 1, "places": 4}
    empty = {"id": second.id + 1, "name": "Empty", "rows": 3, "places": 4, "seats_count": counts(0)}
    assert cinemas == [
        {
            "id": first.cinema_id,
            "name": "Uno",
            "color": "#112233",
            "halls": [{"id": first.id, "name": "Uno", **blue, "seats_count": counts(2, 1, 0, 1)}, empty],
        },
        {
            "id": second.cinema_id,
            "name": "Due",
            "color": "#112233",
            "halls": [{"id": second.id, "name": "Due", **blue, "seats_count": counts(4)}],
        },
    ]


async def test_no_cinemas(server: RunningServer) -> None:
    """Without cinemas the list is empty, and the first one comes as a snapshot."""
    async with server.client() as client:
        assert await watch(client) == []
        hall = await make_hall(server)
        while not (frame := await client.frame())["data"]:
            assert frame["status"] == "snapshot"
        assert frame["data"][0]["id"] == hall.cinema_id


async def test_changed_seats_update_the_totals(server: RunningServer) -> None:
    """A change of seats comes as one object: the cinema's id and the changed hall with its total counts."""
    hall = await make_hall(server)
    await make_hall(server, name="Other")
    async with server.client() as client:
        await watch(client)
        await server.sql(f"update seat set status = 'OCCUPIED' where id in ({hall.seats[0]}, {hall.seats[1]})")
        while "name" in (update := await client.update("c")) or update["id"] != hall.cinema_id:
            pass  # both halls were new a moment ago
        assert update == {"id": hall.cinema_id, "halls": [{"id": hall.id, "seats_count": counts(2, 0, 2)}]}


async def test_updates_are_merged(server: RunningServer) -> None:
    """However often a hall changes, it has at most one update in 100 ms, and the last one has the final counts."""
    hall = await make_hall(server)
    async with server.client() as client:
        await watch(client)
        for _ in range(30):
            for status in ("OCCUPIED", "VACANT"):
                await server.sql(f"update seat set status = '{status}' where id = {hall.seats[0]}")
        await server.sql(f"update seat set status = 'MAINTENANCE' where hall_id = {hall.id}")
        times = []
        while True:
            frame = await client.frame()
            times.append(frame["ts"])
            if frame["data"]["halls"][0]["seats_count"] == counts(0, maintenance=4):
                break
    assert all(later - sooner >= GATHER_MS - 10 for sooner, later in pairwise(times))


async def test_new_seats_update_the_totals(server: RunningServer) -> None:
    """Seats added and removed count too."""
    hall = await make_hall(server)
    async with server.client() as client:
        await watch(client)
        await server.sql(f"delete from seat where id = {hall.seats[0]}")
        await update_with(client, hall, vacant=3)


async def test_added_and_renamed_halls_are_updates(server: RunningServer) -> None:
    """A new or renamed hall and a renamed or recoloured cinema are updates: a snapshot would reset the user's view."""
    hall = await make_hall(server, name="Old")
    entry = {"id": hall.id, "name": "Old", "rows": 1, "places": 4, "seats_count": counts(4)}
    async with server.client() as client:
        await watch(client)
        for statement, name, color, halls in (
            (f"update hall set name = 'New' where id = {hall.id}", "Old", "#112233", [entry | {"name": "New"}]),
            (f"update cinema set name = 'Lux' where id = {hall.cinema_id}", "Lux", "#112233", None),
            (f"update cinema set color = '#00ff00' where id = {hall.cinema_id}", "Lux", "#00ff00", None),
            (
                f"insert into hall (cinema_id, name, rows, places) values ({hall.cinema_id}, 'Second', 2, 2)",
                *("Lux", "#00ff00"),
                [
                    entry | {"name": "New"},
                    {"id": hall.id + 1, "name": "Second", "rows": 2, "places": 2, "seats_count": counts(0)},
                ],
            ),
        ):
            await server.sql(statement)
            frame = await client.frame()
            while "name" not in frame["data"]:  # the totals of a renamed hall may come besides
                frame = await client.frame()
            assert frame["status"] == "update"
            assert (frame["data"]["id"], frame["data"]["name"], frame["data"]["color"]) == (
                *(hall.cinema_id, name, color),
            )
            if halls is not None:
                assert frame["data"]["halls"] == halls


async def test_new_and_removed_cinemas_are_snapshots(server: RunningServer) -> None:
    """An update cannot express a new cinema or a removed cinema or hall: the whole list is sent."""
    hall = await make_hall(server)
    await server.sql(f"insert into hall (cinema_id, name, rows, places) values ({hall.cinema_id}, 'Second', 2, 2)")
    async with server.client() as client:
        await watch(client)
        for statement, cinemas, halls in (
            ("insert into cinema (name) values ('Lux')", 2, 2),
            (f"delete from hall where id = {hall.id}", 2, 1),
            ("delete from cinema where name = 'Lux'", 1, 1),
        ):
            await server.sql(statement)
            frame = await client.frame()
            while frame["status"] == "update":  # totals may still be on their way
                frame = await client.frame()
            assert (frame["type"], frame["status"]) == ("cinemas.subscribe", "snapshot")
            assert len(frame["data"]) == cinemas
            assert len(frame["data"][0]["halls"]) == halls


async def test_totals_are_exact_for_a_subscription_amid_changes(server: RunningServer) -> None:
    """A client that subscribes while seats change ends with the totals of the database."""
    hall = await make_hall(server, places=10)
    async with server.client() as one, server.client() as two, server.client() as three:
        for client, seats in ((one, hall.seats[:3]), (two, hall.seats[3:6]), (three, hall.seats[6:9])):
            await client.send("cinemas.subscribe", eid="c")
            for seat in seats:
                await server.sql(f"update seat set status = 'OCCUPIED' where id = {seat}")
        for client in (one, two, three):
            frame = await client.answer("c")
            totals = frame["data"][0]["halls"][0]["seats_count"]
            while totals != counts(1, 0, 9):
                totals = (await client.update("c"))["halls"][0]["seats_count"]
