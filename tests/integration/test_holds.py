"""Holds over the wire: what a client asks for, what all are shown, and the end that comes by itself."""

from typing import Any
from uuid import uuid4

import pytest
import trio

from tests.support.database import execute
from tests.support.halls import Hall, held, make_hall, status_of
from tests.support.server import RunningServer, running_server
from tests.support.views import open_view
from tests.support.waiting import eventually, metric, metric_is

LATE_S = 1.0

_LATE = """
select extract(epoch from max(e.at - h.hold_until))
from seat_event e
join seat_event h on h.hall_id = e.hall_id and h.seat_id = e.seat_id and h.rev < e.rev
where e.kind = 'expired' and h.hold_until is not null
"""


def reserve(hall: Hall, place: int = 0, **more: Any) -> dict[str, Any]:
    """The data of a reservation."""
    return {"hall_id": hall.id, "seat_id": hall.seats[place], "status": "RESERVED", **more}


async def expired(server: RunningServer, count: int) -> None:
    """Wait until so many holds have ended."""

    async def check() -> bool:
        return bool(await server.value("select count(*) = $1 from seat_event where kind = 'expired'", count))

    await eventually(check)


async def test_a_hold_ends_by_itself(server: RunningServer) -> None:
    """Every subscriber is shown its end, then the vacant seat, at most a second late."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna, server.client() as guest:
        view = await open_view(guest, hall.id)
        data = await anna.data("hall.update_seat_status", reserve(hall, 1, hold_s=1))
        until = data["seats"][0]["hold_until"]
        await view.reach(data["rev"])
        assert view.data["seats"][1]["hold_until"] == until
        await view.reach(data["rev"] + 1)
        seat = view.data["seats"][1]
        assert (seat["status"], seat["hold_until"]) == ("VACANT", None)
        assert seat["updated_at"] >= until
        await view.is_true(server)
        assert await server.value(_LATE) < LATE_S
        await metric_is(server.port, "holds_expired_total", 1)


async def test_a_hold_is_extended_made_lasting_and_ended(server: RunningServer) -> None:
    """Reserving again has its user's new end, or none; each is an update, and no change of one's own is refused."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna, server.client(await server.token("bert")) as bert:
        view = await open_view(bert, hall.id)
        ends = []
        for hold_s in (60, 120, None, None):
            data = await anna.data("hall.update_seat_status", reserve(hall, hold_s=hold_s))
            ends.append((data["rev"], data["seats"][0]["hold_until"]))
        assert [rev for rev, _ in ends] == [2, 3, 4, 4]
        assert ends[0][1] < ends[1][1]
        assert ends[2][1] is ends[3][1] is None
        await view.reach(4)
        await view.is_true(server)
        assert (await bert.call("hall.update_seat_status", reserve(hall, hold_s=9)))["error"] == "SeatReserved"
        await anna.data("hall.update_seat_status", reserve(hall, hold_s=9))
        (seat,) = (await bert.data("hall.update_seat_status", reserve(hall) | {"status": "OCCUPIED"}))["seats"]
        assert seat["hold_until"] is None


@pytest.mark.parametrize("hold_s", [0, -1, 86_401, 1.5, True, "60"])
async def test_a_hold_that_cannot_be(server: RunningServer, hold_s: Any) -> None:
    """A hold lasts a whole number of seconds, a day at most."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as client:
        answer = await client.call("hall.update_seat_status", reserve(hall, hold_s=hold_s))
        assert (answer["error"], "hold_s" in answer["message"]) == ("ValidationError", True)


@pytest.mark.parametrize("status", ["VACANT", "occupied", "MAINTENANCE"])
async def test_only_a_reservation_is_held(server: RunningServer, status: str) -> None:
    """`hold_s` with another status is refused; `null` is none."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as client:
        change = {"seat_id": hall.seats[0], "status": status, "hold_s": 5}
        answer = await client.call("hall.update_seats", {"hall_id": hall.id, "seats": [change]})
        assert answer["error"] == "ValidationError"
        await client.data("hall.update_seats", {"hall_id": hall.id, "seats": [change | {"hold_s": None}]})


async def test_a_bulk_change_with_holds_is_one_revision(server: RunningServer) -> None:
    """New holds, extensions and other changes together; one that is refused leaves all as it was."""
    hall = await make_hall(server)
    first, second, third, last = hall.seats
    async with server.client(await server.token("anna")) as client:
        await client.data("hall.update_seat_status", reserve(hall, hold_s=60))
        view = await open_view(client, hall.id)
        seats = [
            {"seat_id": first, "status": "RESERVED", "hold_s": 600},
            {"seat_id": second, "status": "RESERVED", "hold_s": 60},
            {"seat_id": third, "status": "MAINTENANCE", "note": "wet"},
        ]
        data = await client.data("hall.update_seats", {"hall_id": hall.id, "seats": seats})
        assert data["rev"] == view.rev + 1
        assert [seat["hold_until"] is not None for seat in data["seats"]] == [True, True, False]
        await view.reach(data["rev"])
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {last}")
        refused = [*seats[:2], {"seat_id": last, "status": "RESERVED", "hold_s": 5}]
        answer = await client.call("hall.update_seats", {"hall_id": hall.id, "seats": refused})
        assert answer["error"] == "SeatOccupied"
        await view.reach(data["rev"] + 1)
        await view.is_true(server)


async def test_a_key_stands_for_its_hold(server: RunningServer) -> None:
    """Sent again, a write does not extend the hold; with another hold it is another request."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as client:
        keyed = reserve(hall, hold_s=60, key=str(uuid4()))
        first = await client.data("hall.update_seat_status", keyed)
        assert await client.data("hall.update_seat_status", keyed) == first
        for other in (keyed | {"hold_s": 61}, {name: keyed[name] for name in keyed if name != "hold_s"}):
            assert (await client.call("hall.update_seat_status", other))["error"] == "ValidationError"


async def test_who_resumes_is_shown_holds(server: RunningServer) -> None:
    """A changed end is a change that can be missed."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as client:
        seen = await client.data("hall.get", {"id": hall.id})
        await server.value("select hold_seats($1::bigint[], 60)", hall.seats[:1])
        await server.value("select hold_seats($1::bigint[], 600)", hall.seats[:1])
        since = {"id": hall.id, "since": seen["rev"], "epoch": seen["epoch"]}
        await client.send("hall.subscribe", since, "h")
        while (update := await client.update("h"))["rev"] < seen["rev"] + 2:
            pass  # the server has heard of the first only
        now = await client.data("hall.get", {"id": hall.id})
        assert [seat["hold_until"] for seat in update["seats"]] == [now["seats"][0]["hold_until"]]


async def test_two_nodes_end_each_hold_once(server: RunningServer) -> None:
    """Both wake for the same holds; the history and their counters have each once."""
    halls = [await make_hall(server, rows=5, places=20, name=f"Hall {number}") for number in range(4)]
    async with running_server(server.settings.database_url or "") as other, other.client() as client:
        views = [await open_view(client, hall.id, f"h{hall.id}") for hall in halls]
        await server.sql("select hold_seats(array(select id from seat), 1)")
        await expired(server, 400)
        assert await server.value("select count(distinct seat_id) from seat_event where kind = 'expired'") == 400
        assert await server.value(_LATE) < LATE_S

        async def counted() -> bool:
            return sum([await metric(node.port, "holds_expired_total") for node in (server, other)]) == 400

        await eventually(counted)
        for hall, view in zip(halls, views, strict=True):
            await view.reach(await server.value("select rev from hall where id = $1", hall.id))
            await view.is_true(server)


async def test_a_locked_hall_holds_up_no_other(server: RunningServer) -> None:
    """Its own holds end when the lock is gone."""
    hall, other = await make_hall(server), await make_hall(server, name="Red")
    for one in (hall, other):
        await server.value("select hold_seats($1::bigint[], 1)", one.seats[:1])
    async with held(server, f"update hall set name = 'Locked' where id = {hall.id}"):
        await expired(server, 1)
        assert await status_of(server, other.seats[0]) == "VACANT"
        assert await server.value(_LATE) < LATE_S
        assert await status_of(server, hall.seats[0]) == "RESERVED"
    await expired(server, 2)


async def test_holds_end_whatever_connections_are_lost(server: RunningServer) -> None:
    """PostgreSQL ends all connections of the server, again and again; what was due meanwhile ends afterwards."""
    hall = await make_hall(server)
    await server.value("select hold_seats($1::bigint[], 1)", hall.seats)
    with trio.move_on_after(1.2):
        while True:
            await server.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name like 'seatsync%' and pid <> pg_backend_pid()"
            )
    await expired(server, 4)
    assert await server.value("select count(*) from seat_event where kind = 'expired'") == 4


async def test_a_server_that_starts_ends_what_is_due(database_url: str) -> None:
    """As after an outage of an hour: holds that are long due end at once, the others in their time."""
    async with running_server(database_url) as server:
        hall = await make_hall(server)
        await server.value("select hold_seats($1::bigint[], 3600)", hall.seats)
    execute(database_url, f"update seat set hold_until = now() - interval '1 hour' where id = {hall.seats[0]}")
    async with running_server(database_url) as server:
        await expired(server, 1)
        await metric_is(server.port, "holds", 3)


@pytest.mark.parametrize("clock", ["forward", "back"])
async def test_the_clock_of_a_server_does_not_matter(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """The database's decides; a server knows how long it waits, and not what time it is."""
    hall = await make_hall(server)
    monkeypatch.setattr("time.time", lambda: 4e9 if clock == "forward" else 1e9)
    await server.value("select hold_seats($1::bigint[], 1)", hall.seats[:1])
    await expired(server, 1)
    assert 0 <= await server.value(_LATE) < LATE_S
