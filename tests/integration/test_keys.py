"""Writes with an idempotency key: a repeated one is answered with the first outcome and not done again."""

from typing import Any
from uuid import uuid4

from seatsync.core.timing import Timing
from tests.support.client import http
from tests.support.halls import Hall, held, make_hall, status_of
from tests.support.proxy import proxy_to
from tests.support.server import RunningServer, running_server

WRITE = "hall.update_seat_status"

QUICK = Timing(write_s=0.4)


def keyed(hall: Hall, status: str = "OCCUPIED", key: str | None = None, **more: Any) -> dict[str, Any]:
    """The data of a change to the hall's first seat, under a key."""
    return {"hall_id": hall.id, "seat_id": hall.seats[0], "status": status, "key": key or str(uuid4()), **more}


async def test_key_sent_again_gets_the_first_answer(server: RunningServer) -> None:
    """A write with a used key is answered with the first outcome, whatever the seat's present status."""
    hall = await make_hall(server)
    data = keyed(hall)
    async with server.client(await server.token("anna")) as anna:
        first = await anna.data(WRITE, data)
        await server.sql(f"update seat set status = 'VACANT' where id = {hall.seats[0]}")
        assert await anna.data(WRITE, data) == first
    assert await status_of(server, hall.seats[0]) == "VACANT"


async def test_key_holds_for_bulk_writes_and_over_http(server: RunningServer) -> None:
    """A key holds wherever the request is repeated: in bulk, on another connection, over HTTP."""
    hall = await make_hall(server)
    data = {
        "hall_id": hall.id,
        "key": str(uuid4()),
        "seats": [{"seat_id": s, "status": "OCCUPIED"} for s in hall.seats],
    }
    token = await server.token("anna")
    async with server.client(token) as anna:
        first = await anna.data("hall.update_seats", data)
    answer = await http(
        server.port, "POST", "/api/hall/update_seats", data, {"Authorization": f"Bearer {await server.token('anna')}"}
    )
    assert answer.json()["data"] == first


async def test_key_keeps_domain_errors(server: RunningServer) -> None:
    """A refusal is an outcome too: sent again, the write is refused again, even if it would succeed now."""
    hall = await make_hall(server)
    data = keyed(hall, "RESERVED")
    await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
    async with server.client(await server.token("anna")) as anna:
        first = await anna.call(WRITE, data)
        assert first["error"] == "SeatOccupied"
        await server.sql(f"update seat set status = 'VACANT' where id = {hall.seats[0]}")
        again = await anna.call(WRITE, data)
        assert (again["error"], again["message"]) == (first["error"], first["message"])


async def test_key_of_other_parameters(server: RunningServer) -> None:
    """The same key for another request is a ValidationError, and changes nothing."""
    hall = await make_hall(server)
    data = keyed(hall)
    async with server.client(await server.token("anna")) as anna:
        await anna.data(WRITE, data)
        for other in ({"status": "VACANT"}, {"seat_id": hall.seats[1]}, {"expected": "OCCUPIED"}, {"note": "n"}):
            assert (await anna.call(WRITE, data | other))["error"] == "ValidationError", other
        assert (await anna.data("hall.get", {"id": hall.id}))["rev"] == 2


async def test_key_belongs_to_its_user(server: RunningServer) -> None:
    """Two users may use the same key; neither gets the other's outcome."""
    hall = await make_hall(server)
    data = keyed(hall)
    async with server.client(await server.token("anna")) as anna, server.client(await server.token("bert")) as bert:
        await anna.data(WRITE, data)
        assert (await bert.call(WRITE, data))["error"] == "SeatOccupied"


async def test_keys_in_flight_together(server: RunningServer) -> None:
    """A second write under a key that is in flight waits for the first and gets its outcome."""
    hall = await make_hall(server)
    data = keyed(hall)
    token = await server.token("anna")
    async with server.client(token) as one, server.client(token) as two:
        async with held(server, f"update seat set status = 'VACANT', x = x + 1 where id = {hall.seats[0]}"):
            eids = [await one.send(WRITE, data), await one.send(WRITE, data)]
            other = await two.send(WRITE, data)
        answers = [await one.answer(eids[0]), await one.answer(eids[1]), await two.answer(other)]
    assert {answer["error"] for answer in answers} == {None}
    assert answers[0]["data"] == answers[1]["data"] == answers[2]["data"]
    assert answers[0]["data"]["rev"] == 2


async def test_key_never_keeps_service_unavailable(database_url: str) -> None:
    """ServiceUnavailable means an unknown outcome: a retry with the same key returns it or does the write."""
    async with running_server(database_url, timing=QUICK) as server:
        hall = await make_hall(server)
        data = keyed(hall)
        async with server.client(await server.token("anna")) as anna:
            async with held(server, f"select from seat where id = {hall.seats[0]} for update"):
                assert (await anna.call(WRITE, data))["error"] == "ServiceUnavailable"
            first = await anna.data(WRITE, data)
            assert await anna.data(WRITE, data) == first
        assert first["rev"] == 2


async def test_key_recovers_a_lost_answer(database_url: str) -> None:
    """A committed write whose answer was lost is done once; a retry with its key gets that answer."""
    async with (
        proxy_to(database_url) as proxy,
        running_server(proxy.url, timing=QUICK, LISTEN_URL=database_url) as server,
    ):
        hall = await make_hall(server)
        data = keyed(hall)
        async with server.client(await server.token("anna")) as anna:
            await anna.data(WRITE, keyed(hall, "RESERVED"))  # from now on the statement goes out in one piece
            proxy.freeze()
            assert (await anna.call(WRITE, data))["error"] == "ServiceUnavailable"
            proxy.thaw()
            first = await anna.data(WRITE, data)
            assert first["rev"] == 3
            await server.sql(f"update seat set status = 'VACANT' where id = {hall.seats[0]}")
            assert await anna.data(WRITE, data) == first


async def test_key_is_forgotten_after_ten_minutes(server: RunningServer) -> None:
    """Ten minutes after its first use a key may be used again."""
    hall = await make_hall(server)
    data = keyed(hall)
    async with server.client(await server.token("anna")) as anna:
        await anna.data(WRITE, data)
        await server.sql(f"update seat set status = 'VACANT' where id = {hall.seats[0]}")
        await server.sql("update write_key set created_at = created_at - interval '9 minutes 50 seconds'")
        assert (await anna.data(WRITE, data))["rev"] == 2
        await server.sql("update write_key set created_at = created_at - interval '11 seconds'")
        assert (await anna.data(WRITE, data))["rev"] == 4
    assert await status_of(server, hall.seats[0]) == "OCCUPIED"


async def test_ended_session_uses_no_key(server: RunningServer) -> None:
    """SessionExpired is not kept as an outcome: under a new session the same key does the write."""
    hall = await make_hall(server)
    data = keyed(hall)
    async with server.client(await server.token("anna")) as anna:
        await server.sql("delete from session")
        assert (await anna.call(WRITE, data))["error"] == "SessionExpired"
    async with server.client(await server.token("anna")) as anna:
        assert (await anna.data(WRITE, data))["rev"] == 2
