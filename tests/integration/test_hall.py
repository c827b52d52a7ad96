"""Halls: reads, subscriptions, changes and access rights."""

import re
from typing import Any

import pytest
import trio

from seatsync.core.timing import Timing
from tests.support.client import Client, http
from tests.support.halls import Hall, make_hall, status_of
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def change(hall: Hall, place: int = 0, status: str = "OCCUPIED", **more: Any) -> dict[str, Any]:
    """The data of a change to the hall's seat at that index."""
    return {"hall_id": hall.id, "seat_id": hall.seats[place], "status": status, **more}


def bulk(hall: Hall, *changes: tuple[int, str]) -> dict[str, Any]:
    """The data of a change to several seats of the hall."""
    seats = [{"seat_id": hall.seats[place], "status": status} for place, status in changes]
    return {"hall_id": hall.id, "seats": seats}


async def code_of(client: Client, type_: str, data: Any) -> str | None:
    """The error code of a request."""
    code: str | None = (await client.call(type_, data))["error"]
    return code


async def test_hall_object(server: RunningServer) -> None:
    """A hall has its own fields, then its seats by row and place, then its seat types by id with full counts."""
    hall = await make_hall(server, rows=2, places=2, name="Red")
    await server.sql(f"update seat set status = 'MAINTENANCE', note = 'wet' where id = {hall.seats[3]}")
    async with server.client() as client:
        data = await client.data("hall.get", {"id": hall.id})
    assert list(data) == [
        *("id", "cinema_id", "name", "rows", "places", "created_at", "rev", "epoch", "seats", "seat_types")
    ]
    assert (data["id"], data["cinema_id"], data["name"], data["rows"], data["places"]) == (
        *(hall.id, hall.cinema_id, "Red", 2, 2),
    )
    assert TIME.fullmatch(data["created_at"])
    assert data["rev"] == 2
    assert isinstance(data["epoch"], str)
    assert [seat["id"] for seat in data["seats"]] == hall.seats
    assert data["seats"][3].pop("updated_at") != data["seats"][0]["updated_at"]
    assert data["seats"][3] == {
        "id": hall.seats[3],
        **{"section": None, "row": 2, "row_label": "2", "place": 2, "place_label": "2"},
        **{"x": 80, "y": 80, "width": 32, "height": 32, "rotation": 0},
        **{"status": "MAINTENANCE", "note": "wet", "hold_until": None, "seat_type": {"id": hall.vip, "name": "vip"}},
    }
    assert data["seats"][0]["note"] is None
    assert TIME.fullmatch(data["seats"][0]["updated_at"])
    vacant = {"VACANT": 2, "RESERVED": 0, "OCCUPIED": 0, "MAINTENANCE": 0}
    assert data["seat_types"] == [
        {"id": hall.standard, "name": "standard", "seats_count": 2, "seats": vacant},
        {"id": hall.vip, "name": "vip", "seats_count": 2, "seats": vacant | {"VACANT": 1, "MAINTENANCE": 1}},
    ]


@pytest.mark.parametrize("method", ["hall.get", "hall.subscribe"])
async def test_hall_needs_an_id_that_exists(server: RunningServer, method: str) -> None:
    """No id is RequiredHallId; one that no hall has is HallNotFound."""
    async with server.client() as client:
        assert await code_of(client, method, {}) == "RequiredHallId"
        assert await code_of(client, method, {"id": None}) == "RequiredHallId"
        assert await code_of(client, method, {"id": 12345}) == "HallNotFound"


async def test_snapshot_is_the_hall(server: RunningServer) -> None:
    """The snapshot of a subscription is what hall.get answers."""
    hall = await make_hall(server)
    async with server.client() as client:
        answer = await client.call("hall.subscribe", {"id": hall.id})
        assert answer["status"] == "snapshot"
        assert answer["data"] == await client.data("hall.get", {"id": hall.id})


async def test_update_from_sql_reaches_every_subscriber(server: RunningServer) -> None:
    """An UPDATE in psql is live: subscribers get the changed seats and the full counts of their types only."""
    hall = await make_hall(server, rows=2, places=2)
    async with server.client() as one, server.client() as two:
        for client in (one, two):
            await client.call("hall.subscribe", {"id": hall.id}, eid="h")
        await server.sql(f"update seat set status = 'RESERVED' where id in ({hall.seats[0]}, {hall.seats[1]})")
        updates = [await one.update("h"), await two.update("h")]
    assert updates[0] == updates[1]
    assert all(TIME.fullmatch(seat.pop("updated_at")) for seat in updates[0]["seats"])
    assert updates[0] == {
        "id": hall.id,
        "rev": 2,
        "seats": [{"id": seat, "status": "RESERVED", "note": None, "hold_until": None} for seat in hall.seats[:2]],
        "seat_types": [
            {
                "id": hall.standard,
                "seats_count": 2,
                "seats": {"VACANT": 0, "RESERVED": 2, "OCCUPIED": 0, "MAINTENANCE": 0},
            }
        ],
    }


async def test_write_is_answered_and_sent_to_every_subscriber(server: RunningServer) -> None:
    """A change is answered with the hall's new revision and the seat; every subscriber gets the update."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna, server.client() as guest:
        for client in (anna, guest):
            await client.call("hall.subscribe", {"id": hall.id}, eid="h")
        data = await anna.data("hall.update_seat_status", change(hall, 1, "RESERVED"))
        updates = [await anna.update("h"), await guest.update("h")]
    assert list(data) == ["id", "rev", "seats"]
    assert (data["id"], data["rev"]) == (hall.id, 2)
    (seat,) = data["seats"]
    assert list(seat) == ["id", "status", "updated_at", "note", "hold_until"]
    assert (seat["id"], seat["status"], seat["note"]) == (hall.seats[1], "RESERVED", None)
    for update in updates:
        assert update["rev"] == 2
        assert update["seats"] == [seat]


async def test_write_over_http_is_live_too(server: RunningServer) -> None:
    """A change over HTTP is answered and published like one over a WebSocket."""
    hall = await make_hall(server)
    token = await server.token("anna")
    async with server.client() as guest:
        await guest.call("hall.subscribe", {"id": hall.id}, eid="h")
        headers = {"Authorization": f"Bearer {token}"}
        answer = await http(server.port, "POST", "/api/hall/update_seat_status", change(hall), headers)
        data = answer.json()["data"]
        update = await guest.update("h")
    assert (data["rev"], data["seats"]) == (update["rev"], update["seats"])


async def test_answered_write_is_committed(server: RunningServer) -> None:
    """A write is answered when its transaction has committed: another session sees it at once."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        for status in ("RESERVED", "OCCUPIED", "VACANT"):
            await anna.data("hall.update_seat_status", change(hall, 0, status))
            assert await status_of(server, hall.seats[0]) == status


async def test_bulk_write_is_one_revision(server: RunningServer) -> None:
    """Several seats changed by one request are one revision, answered in the order of the request."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        await anna.call("hall.subscribe", {"id": hall.id}, eid="h")
        data = await anna.data("hall.update_seats", bulk(hall, (2, "OCCUPIED"), (0, "RESERVED")))
        update = await anna.update("h")
    assert data["rev"] == update["rev"] == 2
    assert [(seat["id"], seat["status"]) for seat in data["seats"]] == [
        (hall.seats[2], "OCCUPIED"),
        (hall.seats[0], "RESERVED"),
    ]
    assert {seat["id"]: seat for seat in update["seats"]} == {seat["id"]: seat for seat in data["seats"]}


async def test_thousand_seats_at_once(server: RunningServer) -> None:
    """A bulk change takes up to 1000 seats, no more and not none."""
    hall = await make_hall(server, rows=20, places=51)
    everything = [(place, "OCCUPIED") for place in range(1000)]
    async with server.client(await server.token("anna")) as anna:
        assert await code_of(anna, "hall.update_seats", bulk(hall)) == "ValidationError"
        too_many = bulk(hall, *everything, (1000, "OCCUPIED"))
        assert await code_of(anna, "hall.update_seats", too_many) == "ValidationError"
        data = await anna.data("hall.update_seats", bulk(hall, *everything))
    assert (len(data["seats"]), data["rev"]) == (1000, 2)


async def test_bulk_write_names_a_seat_once(server: RunningServer) -> None:
    """The seats of a bulk change are different ones."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        twice = bulk(hall, (0, "OCCUPIED"), (0, "VACANT"))
        assert await code_of(anna, "hall.update_seats", twice) == "ValidationError"


async def test_bulk_write_is_all_or_nothing(server: RunningServer) -> None:
    """A bulk change with a failing item changes nothing and ends in the code of its first failing item."""
    hall, other = await make_hall(server), await make_hall(server, name="Other")
    await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[2]}")
    async with server.client(await server.token("anna")) as anna:
        seats = bulk(hall, (0, "OCCUPIED"), (2, "RESERVED"))["seats"]
        stranger = {"seat_id": other.seats[0], "status": "VACANT"}
        first = {"hall_id": hall.id, "seats": [*seats, stranger]}
        assert await code_of(anna, "hall.update_seats", first) == "SeatOccupied"
        second = {"hall_id": hall.id, "seats": [seats[0], stranger, seats[1]]}
        assert await code_of(anna, "hall.update_seats", second) == "SeatNotFound"
        assert (await anna.data("hall.get", {"id": hall.id}))["rev"] == 2
    assert await status_of(server, hall.seats[0]) == "VACANT"


async def test_write_to_a_missing_hall_or_seat_is_refused(server: RunningServer) -> None:
    """HallNotFound, SeatNotFound (also for a seat of another hall) and RequiredHallId are distinct."""
    hall, other = await make_hall(server), await make_hall(server, name="Other")
    async with server.client(await server.token("anna")) as anna:
        for wrong, code in (
            ({"hall_id": 12345}, "HallNotFound"),
            ({"hall_id": None}, "RequiredHallId"),
            ({"seat_id": 12345}, "SeatNotFound"),
            ({"seat_id": other.seats[0]}, "SeatNotFound"),
            ({"seat_id": None}, "ValidationError"),
            ({"status": None}, "ValidationError"),
            ({"status": "GONE"}, "ValidationError"),
            ({"expected": "GONE"}, "ValidationError"),
            ({"key": "no uuid"}, "ValidationError"),
            ({"key": 5}, "ValidationError"),
            ({"note": 5}, "ValidationError"),
            ({"note": "x" * 201}, "ValidationError"),
        ):
            assert await code_of(anna, "hall.update_seat_status", change(hall) | wrong) == code, wrong
        assert await code_of(anna, "hall.update_seats", {"hall_id": hall.id}) == "ValidationError"
        assert await code_of(anna, "hall.update_seats", {"seats": bulk(hall, (0, "VACANT"))["seats"]}) == (
            "RequiredHallId"
        )


async def test_status_in_any_case(server: RunningServer) -> None:
    """Requests may write statuses in any case; answers have them in upper case."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        data = await anna.data("hall.update_seat_status", change(hall, 0, "oCCupied", expected="vacant"))
    assert data["seats"][0]["status"] == "OCCUPIED"


async def test_expected_is_checked_first(server: RunningServer) -> None:
    """Not the expected status: SeatConflict with the current one in the message, whatever the change would be."""
    hall = await make_hall(server)
    await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
    async with server.client(await server.token("anna")) as anna:
        for wanted in ("VACANT", "RESERVED", "OCCUPIED"):
            data = change(hall, 0, wanted, expected="VACANT")
            answer = await anna.call("hall.update_seat_status", data)
            assert answer["error"] == "SeatConflict"
            assert "OCCUPIED" in answer["message"]
        await anna.data("hall.update_seat_status", change(hall, 0, "VACANT", expected="OCCUPIED"))


async def test_note_lives_as_long_as_the_maintenance(server: RunningServer) -> None:
    """A note is kept in MAINTENANCE, replaced by a new one, dropped by an empty one, and gone with the status."""
    hall = await make_hall(server)
    steps: list[tuple[dict[str, Any], str | None, int]] = [
        ({"status": "MAINTENANCE", "note": "ä" * 200}, "ä" * 200, 2),
        ({"status": "MAINTENANCE"}, "ä" * 200, 2),
        ({"status": "MAINTENANCE", "note": "wet"}, "wet", 3),
        ({"status": "MAINTENANCE", "note": "wet"}, "wet", 3),
        ({"status": "MAINTENANCE", "note": ""}, None, 4),
        ({"status": "MAINTENANCE", "note": "dry"}, "dry", 5),
        ({"status": "VACANT", "note": "ignored"}, None, 6),
        ({"status": "MAINTENANCE"}, None, 7),
    ]
    async with server.client(await server.token("anna")) as anna:
        for more, note, rev in steps:
            data = await anna.data("hall.update_seat_status", change(hall) | more)
            assert (data["seats"][0]["note"], data["rev"]) == (note, rev), more


async def test_same_changes_nothing(server: RunningServer) -> None:
    """A change to the current state succeeds with the current revision and is not published."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        await anna.call("hall.subscribe", {"id": hall.id}, eid="h")
        first = await anna.data("hall.update_seat_status", change(hall))
        again = await anna.data("hall.update_seat_status", change(hall))
        await anna.data("hall.update_seat_status", change(hall, 1))
        revs = [(await anna.update("h"))["rev"], (await anna.update("h"))["rev"]]
    assert again == first
    assert revs == [2, 3]


async def test_seat_set_by_sql_has_no_owner(server: RunningServer) -> None:
    """A seat occupied by plain SQL cannot be changed by its former owner."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        await anna.data("hall.update_seat_status", change(hall))
        await server.sql(f"update seat set status = 'VACANT' where id = {hall.seats[0]}")
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        assert await code_of(anna, "hall.update_seat_status", change(hall)) == "SeatOccupied"


async def test_rights_to_change_seats(server: RunningServer) -> None:
    """A guest gets Unauthorized, or what is wrong with its token, a viewer Forbidden; all others may."""
    hall = await make_hall(server)
    methods = {"hall.update_seat_status": change(hall), "hall.update_seats": bulk(hall, (0, "VACANT"))}
    tokens = {role: await server.token(role, role) for role in ("viewer", "operator", "admin")}
    for token, expected in (
        (None, "Unauthorized"),
        ("no token", "TokenInvalid"),
        (tokens["viewer"], "Forbidden"),
        (tokens["operator"], None),
        (tokens["admin"], None),
    ):
        async with server.client(token) as client:
            codes = {await code_of(client, method, data) for method, data in methods.items()}
            assert codes == {expected}


async def test_rights_to_read(database_url: str) -> None:
    """Without PUBLIC_VIEW a guest may neither read nor subscribe, and every user may."""
    reads = ("hall.get", "hall.subscribe", "cinemas.get_cinemas", "cinema.get_cinemas", "cinemas.subscribe")
    async with running_server(database_url, PUBLIC_VIEW="false") as server:
        hall = await make_hall(server)
        async with server.client() as guest, server.client(await server.token("vera", "viewer")) as viewer:
            for method in reads:
                assert await code_of(guest, method, {"id": hall.id}) == "Unauthorized"
                assert await code_of(viewer, method, {"id": hall.id}) is None
            assert await code_of(guest, "user.status", {}) is None
            assert await code_of(guest, "user.subscribe", {}) is None


@pytest.mark.parametrize("timing", [Timing(query_s=20)], ids=["patient"])
async def test_reads_leave_connections_to_writes_and_sign_in(server: RunningServer) -> None:
    """While slow reads use all their connections, a user signs in and changes a seat."""
    halls = [await make_hall(server, rows=1, places=1) for _ in range(server.settings.db_pool_size + 1)]
    await server.sql(
        """
        create or replace function hall_snapshot(hall_id bigint) returns table (rev bigint, epoch text, data text)
        language sql as 'select 1::bigint, text ''e'', text ''{}'' from pg_sleep(30)'
        """
    )

    sleeping = "from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"

    async def reading() -> bool:
        return bool(await server.value(f"select count(*) {sleeping}") == server.settings.db_pool_size)

    async with trio.open_nursery() as readers:
        for hall in halls[1:]:
            readers.start_soon(http, server.port, "POST", "/api/hall/get", {"id": hall.id})
        await eventually(reading)
        async with server.client(await server.token("ada")) as anna:
            assert await code_of(anna, "hall.update_seat_status", change(halls[0])) is None
        assert await reading()
        await server.sql(f"select pg_cancel_backend(pid) {sleeping}")
