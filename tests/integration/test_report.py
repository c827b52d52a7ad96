"""Reports over the wire: how full a hall was, or a cinema, by hours and by days of any time zone."""

from typing import Any

import pytest

from seatsync.core.postgres.queries import load
from seatsync.core.timing import Timing
from seatsync.hall import report
from seatsync.hall.report import ROLL_UP_EVENTS
from tests.support.client import http
from tests.support.halls import Hall, make_hall
from tests.support.server import RunningServer
from tests.support.waiting import eventually

ROLL_UP = load("history")["roll_up_occupancy"]

SPAN = {"from": "2026-03-27T22:00:00Z", "to": "2026-03-28T02:00:00Z", "bucket": "hour"}

NOTHING = [None] * 6


async def make_past(server: RunningServer) -> Hall:
    """Four seats, two OCCUPIED from 23:15; of those one RESERVED from 23:45, the other in MAINTENANCE from 1:30."""
    hall = await make_hall(server)
    for seats, status in ((hall.seats[:2], "OCCUPIED"), (hall.seats[:1], "RESERVED"), (hall.seats[1:2], "MAINTENANCE")):
        await server.sql(f"update seat set status = '{status}' where id = any('{{{','.join(map(str, seats))}}}')")
    times = ("22:00", "23:15", "23:45", "25:30")
    await server.sql(f"update hall_checkpoint set at = '2026-03-27T22:00Z' where hall_id = {hall.id}")
    for rev, time in enumerate(times, start=1):
        await server.sql(
            f"update seat_event set at = timestamptz '2026-03-27T00:00Z' + interval '{time}' "
            f"where hall_id = {hall.id} and rev = {rev}"
        )
    assert await server.db.fetchval(ROLL_UP, ROLL_UP_EVENTS) == 0
    return hall


def values(buckets: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The figures by the beginning."""
    return {bucket.pop("from"): [*bucket.values()] for bucket in buckets}


async def test_hours(server: RunningServer) -> None:
    """Averages are weighted by time; hours without a change are as the one before ended; before, nothing is known."""
    hall = await make_past(server)
    async with server.client(await server.token("ada")) as client:
        found = await client.data("hall.report", {**SPAN, "id": hall.id, "from": "2026-03-27T21:59:59Z"})
        assert list(found[0]) == [
            *("from", "seats_count", "occupied_avg", "occupied_peak", "reserved_avg", "maintenance_avg", "changes")
        ]
        assert values(found) == {
            "2026-03-27T21:00:00.000Z": NOTHING,
            "2026-03-27T22:00:00.000Z": [4, 0, 0, 0, 0, 0],
            "2026-03-27T23:00:00.000Z": [4, 1.25, 2, 0.25, 0, 3],
            "2026-03-28T00:00:00.000Z": [4, 1, 1, 1, 0, 0],
            "2026-03-28T01:00:00.000Z": [4, 0.5, 1, 1, 0.5, 1],
        }


@pytest.mark.parametrize(
    ("zone", "begins", "hours"),
    [
        ("UTC", ["2026-03-28T00:00:00.000Z", "2026-03-29T00:00:00.000Z"], [24, 24]),
        ("Europe/Berlin", ["2026-03-27T23:00:00.000Z", "2026-03-28T23:00:00.000Z"], [24, 23]),
        ("Asia/Kolkata", ["2026-03-27T19:00:00.000Z", "2026-03-28T19:00:00.000Z"], [24, 24]),
    ],
)
async def test_days_are_those_of_the_time_zone(
    server: RunningServer, zone: str, begins: list[str], hours: list[int]
) -> None:
    """Whole ones, whenever in them the report begins and ends; the day on which summer begins has 23 hours.

    One seat that is OCCUPIED for one hour of a day says how many hours the day has.
    """
    hall = await make_hall(server)
    for day in (28, 29):
        for status in ("OCCUPIED", "VACANT"):
            await server.sql(f"update seat set status = '{status}' where id = {hall.seats[0]}")
            rev = await server.value(f"select rev from hall where id = {hall.id}")
            hour = 12 if status == "OCCUPIED" else 13
            await server.sql(f"update seat_event set at = '2026-03-{day}T{hour}:00Z' where rev = {rev}")
    await server.sql("update hall_checkpoint set at = '2026-03-01T00:00Z'")
    await server.sql("update seat_event set at = '2026-03-01T00:00Z' where rev = 1")
    assert await server.db.fetchval(ROLL_UP, ROLL_UP_EVENTS) == 0
    span = {"from": "2026-03-28T10:00:00Z", "to": "2026-03-29T12:00:00Z", "bucket": "day", "tz": zone}
    async with server.client(await server.token("ada")) as client:
        found = await client.data("hall.report", {**span, "id": hall.id})
    assert [bucket["from"] for bucket in found] == begins
    assert [bucket["occupied_avg"] for bucket in found] == [round(1 / length, 3) for length in hours]
    assert [bucket["changes"] for bucket in found] == [2, 2]


async def test_clocks_that_go_back_to_midnight(server: RunningServer) -> None:
    """Of the two midnights the day has the first."""
    hall = await make_past(server)
    span = {"from": "2026-10-31T12:00:00Z", "to": "2026-11-02T12:00:00Z", "bucket": "day", "tz": "America/Havana"}
    async with server.client(await server.token("ada")) as client:
        found = await client.data("hall.report", {**span, "id": hall.id})
    assert [bucket["from"] for bucket in found] == [
        *("2026-10-31T04:00:00.000Z", "2026-11-01T04:00:00.000Z", "2026-11-02T05:00:00.000Z")
    ]


async def test_a_cinema_is_its_halls_together(server: RunningServer) -> None:
    """Peaks, too, are added up. One without halls has nothing to report."""
    hall = await make_past(server)
    await make_past(server)
    await server.sql(f"update hall set cinema_id = {hall.cinema_id}")
    async with server.client(await server.token("ada")) as client:
        found = values(await client.data("hall.report", {**SPAN, "cinema_id": hall.cinema_id}))
        assert found["2026-03-27T23:00:00.000Z"] == [8, 2.5, 4, 0.5, 0, 6]
        found = values(await client.data("hall.report", {**SPAN, "cinema_id": hall.cinema_id + 1}))
        assert list(found.values()) == [NOTHING] * 4


async def test_the_buckets_of_all_halls_are_bounded(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal says how many there may be in a cinema of so many halls."""
    monkeypatch.setattr(report, "MAX_HALL_BUCKETS", 100)
    hall = await make_past(server)
    await make_past(server)
    await server.sql(f"update hall set cinema_id = {hall.cinema_id}")
    data = {"cinema_id": hall.cinema_id, "from": "2026-03-01T00:00:00Z", "to": "2026-03-03T02:00:00Z", "bucket": "hour"}
    async with server.client(await server.token("ada")) as client:
        assert len(await client.data("hall.report", data)) == 50
        answer = await client.call("hall.report", {**data, "to": "2026-03-03T03:00:00Z"})
        assert answer["error"] == "ValidationError"
        assert answer["message"] == "to: at most 50 hours after from are allowed."


@pytest.mark.parametrize("timing", [Timing(prune_s=0.05)])
async def test_a_server_keeps_it_up(server: RunningServer) -> None:
    """The hour that is not over yet is in it, and what comes after is not."""
    hall = await make_hall(server)
    await server.sql("update seat set status = 'OCCUPIED'")
    times = "select wire_time(now() + n * interval '2 hours') as time from generate_series(0, 1) n"
    begins, ends = [row["time"] for row in await server.rows(times)]
    span = {"id": hall.id, "from": begins, "to": ends, "bucket": "hour"}
    async with server.client(await server.token("ada")) as client:

        async def is_there() -> bool:
            (bucket, *_, after) = await client.data("hall.report", span)
            assert list(after.values())[1:] == NOTHING
            return bool(bucket["changes"] == 4 and bucket["occupied_peak"] == 4)

        await eventually(is_there)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "RequiredHallId"),
        ({"id": 1, "cinema_id": 1}, "ValidationError"),
        ({"id": 999}, "HallNotFound"),
        ({"cinema_id": 999}, "CinemaNotFound"),
        ({"id": 1, "bucket": "week"}, "ValidationError"),
        ({"id": 1, "bucket": None}, "ValidationError"),
        ({"id": 1, "from": "2026-03-28T02:00:00Z"}, "ValidationError"),
        ({"id": 1, "from": "today"}, "ValidationError"),
        ({"id": 1, "to": "2026-02-30T00:00:00Z"}, "ValidationError"),
        ({"id": 1, "tz": "Mars/Utopia"}, "ValidationError"),
        ({"id": 1, "tz": "XYZ+3"}, "ValidationError"),
        ({"id": 1, "tz": "\0"}, "ValidationError"),
        ({"id": 1, "from": "2026-02-14T10:00:00Z"}, None),
        ({"id": 1, "from": "2026-02-14T09:59:59Z"}, "ValidationError"),
        ({"id": 1, "from": "2023-07-03T00:00:00Z", "bucket": "day"}, None),
        ({"id": 1, "from": "2023-07-02T23:00:00Z", "bucket": "day"}, "ValidationError"),
        ({"id": 1, "from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z", "bucket": "day"}, "ValidationError"),
        ({"id": 1, "from": "9999-12-31T00:00:00Z", "to": "9999-12-31T23:59:59Z", "bucket": "day"}, None),
    ],
)
async def test_what_is_refused(server: RunningServer, data: dict[str, Any], code: str | None) -> None:
    """What does not exist, what is no time, and more than 1,000 buckets."""
    await make_hall(server)
    async with server.client(await server.token("ada")) as client:
        answer = await client.call("hall.report", {**SPAN, **data})
        assert answer["error"] == code
        if "from" in data and "today" in data["from"]:
            assert answer["message"].startswith("from: ")
        if code is None:
            assert len(answer["data"]) in {1, 1000}


async def test_for_writers_alone(server: RunningServer) -> None:
    """Over HTTP, too."""
    hall = await make_past(server)
    wanted = {**SPAN, "id": hall.id}
    assert (await http(server.port, "POST", "/api/hall/report", wanted)).json()["error"] == "Unauthorized"
    for role, error in (("viewer", "Forbidden"), ("operator", None)):
        headers = {"Authorization": f"Bearer {await server.token(role, role)}"}
        assert (await http(server.port, "POST", "/api/hall/report", wanted, headers=headers)).json()["error"] == error
