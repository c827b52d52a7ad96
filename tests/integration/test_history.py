"""The history over the wire: pages of events, newest revision first."""

from typing import Any

import pytest

from tests.support.client import Client, http
from tests.support.halls import Hall, make_hall
from tests.support.server import RunningServer


async def pages(client: Client, **wanted: Any) -> list[list[dict[str, Any]]]:
    """Every page of a history."""
    found: list[list[dict[str, Any]]] = []
    cursor = None
    while True:
        data = await client.data("hall.history", {**wanted, "cursor": cursor})
        assert data["id"] == wanted["id"]
        found.append(data["events"])
        cursor = data["cursor"]
        if cursor is None:
            return found


async def make_history(server: RunningServer, client: Client) -> Hall:
    """Revision 1 is the layout, 2 a request of ada's, 3 and 4 are SQL for all seats, 5 takes a seat away."""
    hall = await make_hall(server)
    seat = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "MAINTENANCE", "note": "Spring"}
    assert (await client.data("hall.update_seat_status", seat))["rev"] == 2
    await server.sql("update seat set status = 'OCCUPIED'")
    await server.sql("update seat set status = 'VACANT'")
    await server.sql(f"delete from seat where id = {hall.seats[3]}")
    return hall


async def test_what_changed_and_by_whom(server: RunningServer) -> None:
    """Status, note and user of each event; SQL has no user, and a change of layout no status."""
    async with server.client(await server.token("ada")) as client:
        hall = await make_history(server, client)
        first, *_ = await pages(client, id=hall.id)
        assert [event["rev"] for event in first] == [5, 4, 4, 4, 4, 3, 3, 3, 3, 2, 1, 1, 1, 1]
        assert [event["kind"] for event in first] == ["layout"] + ["status"] * 9 + ["layout"] * 4
        (written,) = (event for event in first if event["rev"] == 2)
        assert written | {"at": ""} == {
            "rev": 2,
            "at": "",
            "kind": "status",
            "seat_id": hall.seats[0],
            "old_status": "VACANT",
            "new_status": "MAINTENANCE",
            "note": "Spring",
            "hold_until": None,
            "by": "ada",
        }
        gone = first[0]
        assert (gone["seat_id"], gone["old_status"], gone["by"]) == (hall.seats[3], None, None)


@pytest.mark.parametrize("limit", [1, 3, 14, 15])
async def test_pages_are_the_whole_history(server: RunningServer, limit: int) -> None:
    """Whatever their size: also where a page ends within a revision, and at the end of the history."""
    async with server.client(await server.token("ada")) as client:
        hall = await make_history(server, client)
        found = await pages(client, id=hall.id, limit=limit)
        events = [(event["rev"], event["seat_id"]) for page in found for event in page]
        assert len(events) == len(set(events)) == 14
        assert events == sorted(events, reverse=True)
        assert {len(page) for page in found[:-1]} <= {limit}
        assert 1 <= len(found[-1]) <= limit


async def test_before_a_revision(server: RunningServer) -> None:
    """A cursor may name a revision, for the history before it, of a hall and of a seat."""
    async with server.client(await server.token("ada")) as client:
        hall = await make_history(server, client)
        for seat in (None, hall.seats[1]):
            page = await client.data("hall.history", {"id": hall.id, "seat_id": seat, "cursor": "4-0"})
            assert {event["rev"] for event in page["events"]} == ({3, 2, 1} if seat is None else {3, 1})


async def test_a_change_of_the_hall_itself_has_no_seat(server: RunningServer) -> None:
    """Its name, for example."""
    async with server.client(await server.token("ada")) as client:
        hall = await make_hall(server)
        await server.sql("update hall set name = 'Green'")
        ((event,), *rest) = await pages(client, id=hall.id, limit=1)
        assert (event["rev"], event["kind"], event["seat_id"]) == (2, "layout", None)
        assert [event["rev"] for (event,) in rest] == [1, 1, 1, 1]


async def test_the_history_of_a_seat(server: RunningServer) -> None:
    """In that hall alone, by pages, too; also of a seat that is gone, and of one that never was there."""
    async with server.client(await server.token("ada")) as client:
        hall = await make_history(server, client)
        other = await make_hall(server, name="Green")
        revs = [
            [event["rev"] for page in await pages(client, id=hall.id, seat_id=seat, limit=2) for event in page]
            for seat in (hall.seats[0], hall.seats[3], other.seats[0])
        ]
        assert revs == [[4, 3, 2, 1], [5, 4, 3, 1], []]
        await server.sql(f"update seat set hall_id = {other.id}, place = 99 where id = {hall.seats[0]}")
        (moved,) = await pages(client, id=other.id, seat_id=hall.seats[0])
        assert [event["rev"] for event in moved] == [2]


async def test_over_http(server: RunningServer) -> None:
    """The same data, for writers alone."""
    hall = await make_hall(server)
    headers = {"Authorization": f"Bearer {await server.token('ada')}"}
    answer = await http(server.port, "POST", "/api/hall/history", {"id": hall.id, "limit": 2}, headers=headers)
    data = answer.json()["data"]
    assert ([event["rev"] for event in data["events"]], data["cursor"]) == ([1, 1], f"1-{hall.seats[2]}")
    assert (await http(server.port, "POST", "/api/hall/history", {"id": hall.id})).json()["error"] == "Unauthorized"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "RequiredHallId"),
        ({"id": 999}, "HallNotFound"),
        ({"id": 999, "seat_id": 1}, "HallNotFound"),
        ({"id": 1, "limit": 0}, "ValidationError"),
        ({"id": 1, "limit": 501}, "ValidationError"),
        ({"id": 1, "cursor": "x"}, "ValidationError"),
        ({"id": 1, "cursor": "99999999999999999999-1"}, "ValidationError"),
        ({"id": 1, "seat_id": 0}, "ValidationError"),
    ],
)
async def test_what_is_refused(server: RunningServer, data: dict[str, Any], code: str) -> None:
    """Halls that do not exist, and parameters out of bounds."""
    async with server.client(await server.token("ada")) as client:
        assert (await client.call("hall.history", data))["error"] == code


async def test_a_viewer_may_not(server: RunningServer) -> None:
    """Names of users are for those who may write."""
    hall = await make_hall(server)
    async with server.client(await server.token("eve", "viewer")) as client:
        assert (await client.call("hall.history", {"id": hall.id}))["error"] == "Forbidden"
