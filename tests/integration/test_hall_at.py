"""A hall as it was, over the wire."""

import json
from datetime import datetime
from typing import Any

import pytest
import trio

from seatsync.hall.history import LOOKS_BACK
from tests.support.client import http
from tests.support.halls import make_hall
from tests.support.server import RunningServer


def without(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    """All but these."""
    return {key: value for key, value in data.items() if key not in keys}


async def test_at_every_revision_it_is_the_hall_of_then(server: RunningServer) -> None:
    """The snapshot there, with the time of the revision; also of a layout and a name that are no more."""
    hall = await make_hall(server, 2, 3)
    changes = [
        "select 1",
        "update seat set status = 'MAINTENANCE', note = 'Spring'",
        f"delete from seat where id = {hall.seats[0]}",
        "update hall set name = 'Green'",
        "update seat_type set name = 'love seat' where name = 'vip'",
        "select hold_seats(array(select id from seat), 60)",
        "update seat set status = 'OCCUPIED', x = x + 1",
    ]
    async with server.client(await server.token("eve", "viewer")) as client:
        seen = []
        for change in changes:
            await server.sql(change)
            seen.append(json.loads(await server.value("select data from hall_snapshot($1)", hall.id)))
        assert [hall["rev"] for hall in seen] == [1, 2, 3, 4, 5, 5, 6]
        for snapshot in seen:
            found = await client.data("hall.at", {"id": hall.id, "rev": snapshot["rev"]})
            assert without(found, "at") == snapshot
        made = await server.value("select wire_time(max(at)) from seat_event where rev = 6")
        assert found["at"] == made


async def test_at_a_time(server: RunningServer) -> None:
    """The revision before the lowest that has a later event, with the time that was asked for, in UTC."""
    hall = await make_hall(server)
    await server.sql("update seat set status = 'OCCUPIED'")
    await server.sql("update seat set status = 'VACANT'")
    await server.sql("update hall_checkpoint set at = timestamptz '2026-01-01T09:00Z' + rev * interval '2 hours'")
    for rev in (1, 2, 3):
        await server.sql(f"update seat_event set at = '2026-01-01T1{rev}:00Z' where rev = {rev}")
    async with server.client(await server.token("ada")) as client:
        for time, rev, statuses in (
            ("2026-01-01T10:59:59.999999Z", 0, set()),
            ("2026-01-01T11:00:00Z", 1, {"VACANT"}),
            ("2026-01-01T12:59:59Z", 2, {"OCCUPIED"}),
            ("2026-01-01T14:30:00+02:30", 2, {"OCCUPIED"}),
            ("2999-01-01T00:00:00Z", 3, {"VACANT"}),
        ):
            data = await client.data("hall.at", {"id": hall.id, "at": time})
            assert (data["rev"], {seat["status"] for seat in data["seats"]}) == (rev, statuses)
            assert datetime.fromisoformat(data["at"]) == datetime.fromisoformat(time.replace("999999", "999"))
            assert data["at"].endswith("Z")
        answer = await client.call("hall.at", {"id": hall.id, "at": "2026-01-01T08:59:59Z"})
        assert answer["error"] == "HistoryNotFound"


async def test_before_the_epoch_and_after_the_present(server: RunningServer) -> None:
    """Revisions of another epoch do not compare, and those that are still to come are not known."""
    hall = await make_hall(server)
    await server.sql("update hall set epoch = default")
    async with server.client(await server.token("ada")) as client:
        codes = [(await client.call("hall.at", {"id": hall.id, "rev": rev}))["error"] for rev in range(4)]
        assert codes == ["HistoryNotFound", "HistoryNotFound", None, "HistoryNotFound"]
        answer = await client.call("hall.at", {"id": hall.id, "rev": 1})
        begun = await server.value("select wire_time(at) from hall_checkpoint where rev = 2")
        assert answer["message"] == f"The history of the hall goes from revision 2, of {begun}, to revision 2."


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"rev": 1}, "RequiredHallId"),
        ({"id": 999, "rev": 1}, "HallNotFound"),
        ({"id": 999, "at": "2026-01-01T12:00:00Z"}, "HallNotFound"),
        ({"id": 1}, "ValidationError"),
        ({"id": 1, "rev": 1, "at": "2026-01-01T12:00:00Z"}, "ValidationError"),
        ({"id": 1, "rev": -1}, "ValidationError"),
        ({"id": 1, "at": "yesterday"}, "ValidationError"),
        ({"id": 1, "at": "2026-01-01T12:00:00"}, "ValidationError"),
        ({"id": 1, "at": "2026-02-30T12:00:00Z"}, "ValidationError"),
        ({"id": 1, "at": "0001-01-01T00:00:00+12:00"}, "ValidationError"),
    ],
)
async def test_what_is_refused(server: RunningServer, data: dict[str, Any], code: str) -> None:
    """Halls that do not exist, both ways to say when or none, and what is no time."""
    await make_hall(server)
    async with server.client(await server.token("ada")) as client:
        assert (await client.call("hall.at", data))["error"] == code


async def test_for_users_alone(server: RunningServer) -> None:
    """Over HTTP, too; a guest has the present."""
    hall = await make_hall(server)
    wanted = {"id": hall.id, "rev": 1}
    assert (await http(server.port, "POST", "/api/hall/at", wanted)).json()["error"] == "Unauthorized"
    headers = {"Authorization": f"Bearer {await server.token('eve', 'viewer')}"}
    assert (await http(server.port, "POST", "/api/hall/at", wanted, headers=headers)).json()["data"]["rev"] == 1
    answer = await http(server.port, "POST", "/api/hall/at", {"id": hall.id, "rev": 9}, headers=headers)
    assert (answer.status, answer.json()["error"]) == (404, "HistoryNotFound")


async def test_few_look_back_at_once(server: RunningServer) -> None:
    """While the database is slow with it, others wait and are refused, and the live hall is served."""
    hall = await make_hall(server)
    token = await server.token("ada")
    codes: list[str | None] = []

    async def look_back(user: str) -> None:
        async with server.client(await server.token(user)) as client:
            codes.append((await client.call("hall.at", {"id": hall.id, "rev": 1}))["error"])

    async with server.db.session(timeout=60) as session, server.client(token) as client:
        await session.script("begin; lock table hall_checkpoint in access exclusive mode")
        async with trio.open_nursery() as nursery:
            for number in range(LOOKS_BACK + 3):
                nursery.start_soon(look_back, f"user-{number}")
            assert (await client.data("hall.get", {"id": hall.id}))["rev"] == 1
        await session.script("rollback")
        assert len(codes) == LOOKS_BACK + 3
        assert set(codes) <= {"TooManyRequests", "ServiceUnavailable"}
        assert codes.count("TooManyRequests") >= 3
        assert (await client.data("hall.at", {"id": hall.id, "rev": 1}))["rev"] == 1
