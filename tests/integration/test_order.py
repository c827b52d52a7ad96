"""Order and concurrency of requests, and the effect of locks on writes."""

import trio

from seatsync.core.timing import Timing
from seatsync.hall.writes import BLOCKED
from tests.support.client import Client
from tests.support.halls import Hall, held, make_hall, status_of, waits_for_a_lock
from tests.support.server import RunningServer, running_server

WRITES = 64


def lock(hall: Hall) -> str:
    """A statement on the last seat that locks the hall."""
    return f"update seat set status = 'MAINTENANCE' where id = {hall.seats[-1]}"


async def send_writes(client: Client, hall: Hall, count: int) -> list[str]:
    """Send that many writes, each to a seat of its own; return their eids."""
    return [
        await client.send(
            "hall.update_seat_status", {"hall_id": hall.id, "seat_id": seat, "status": "OCCUPIED"}, eid=f"w{seat}"
        )
        for seat in hall.seats[:count]
    ]


async def test_messages_are_answered_in_order(server: RunningServer) -> None:
    """Reads sent without waiting are answered in the order they were sent."""
    hall = await make_hall(server)
    methods = ["hall.get", "user.status", "cinemas.get_cinemas", "no.method", "hall.subscribe", "hall.get"] * 5
    async with server.client() as client:
        eids = [await client.send(method, {"id": hall.id}, eid=n) for n, method in enumerate(methods)]
        assert [(await client.frame())["eid"] for _ in eids] == eids


async def test_read_after_an_answer_sees_the_write(server: RunningServer) -> None:
    """A read sent after a write was answered sees it, on any connection."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna, server.client() as guest:
        await guest.call("hall.subscribe", {"id": hall.id})
        for number in range(20):
            status = ("OCCUPIED", "VACANT")[number % 2]
            data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": status}
            rev = (await anna.data("hall.update_seat_status", data))["rev"]
            for client in (anna, guest):
                seen = await client.data("hall.get", {"id": hall.id})
                assert (seen["rev"], seen["seats"][0]["status"]) == (rev, status)


async def test_writes_of_a_connection_happen_in_order(server: RunningServer) -> None:
    """Writes of a connection to one seat are executed in the order sent."""
    hall = await make_hall(server)
    statuses = ["RESERVED", "OCCUPIED", "VACANT"] * 20
    async with server.client(await server.token("anna")) as anna:
        eids = [
            await anna.send("hall.update_seat_status", {"hall_id": hall.id, "seat_id": hall.seats[0], "status": status})
            for status in statuses
        ]
        answers = [(await anna.answer(eid))["data"] for eid in eids]
    assert [answer["seats"][0]["status"] for answer in answers] == statuses
    assert [answer["rev"] for answer in answers] == list(range(2, 2 + len(statuses)))


async def test_reads_overtake_waiting_writes(server: RunningServer) -> None:
    """Up to 64 writes are in flight together: with 63 that wait for a lock, a read behind them is answered first."""
    hall = await make_hall(server, places=WRITES + 1)
    async with server.client(await server.token("anna")) as anna:
        async with held(server, lock(hall)):
            eids = await send_writes(anna, hall, WRITES - 1)
            await anna.send("user.status", eid="read")
            assert (await anna.frame())["eid"] == "read"
        assert {(await anna.answer(eid))["error"] for eid in eids} == {None}


async def test_no_more_is_read_behind_64_writes(server: RunningServer) -> None:
    """With 64 writes outstanding the server stops reading: later messages wait without an error."""
    hall = await make_hall(server, places=WRITES + 1)
    async with server.client(await server.token("anna")) as anna:
        async with held(server, lock(hall)):
            eids = await send_writes(anna, hall, WRITES)
            await anna.send("user.status", eid="read")
            await waits_for_a_lock(server)
            await anna.heartbeat()
            assert anna.unread == []
        frames = [await anna.frame() for _ in range(WRITES + 1)]
    assert frames[0]["eid"] in eids
    assert {frame["eid"] for frame in frames} == {*eids, "read"}
    assert {frame["error"] for frame in frames} == {None}


async def test_flood_behind_64_writes_loses_nothing(server: RunningServer) -> None:
    """Hundreds of messages behind blocked writes wait, mostly in the peer's buffers, and all are answered."""
    hall = await make_hall(server, places=WRITES + 1)
    sent = [f"r{number}" for number in range(400)]

    async def flood(client: Client) -> None:
        for eid in sent:
            await client.send("user.status", {"pad": "x" * 4000}, eid)

    async with server.client(await server.token("anna")) as anna, trio.open_nursery() as nursery:
        async with held(server, lock(hall)):
            await send_writes(anna, hall, WRITES)
            nursery.start_soon(flood, anna)
            await waits_for_a_lock(server)
        frames = [await anna.frame() for _ in range(WRITES + len(sent))]
    assert [frame["eid"] for frame in frames if frame["type"] == "user.status"] == sent
    assert {frame["error"] for frame in frames} == {None}


async def test_locked_hall_ends_in_service_unavailable(database_url: str) -> None:
    """A write to a hall locked by another session ends in ServiceUnavailable with retry_after, in its deadline."""
    async with running_server(database_url, timing=Timing(write_s=0.7)) as server:
        hall = await make_hall(server)
        data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        async with server.client(await server.token("anna")) as anna:
            async with held(server, lock(hall)):
                started = trio.current_time()
                answer = await anna.call("hall.update_seat_status", data)
                seconds = trio.current_time() - started
            assert (answer["error"], answer["message"]) == ("ServiceUnavailable", BLOCKED)
            assert answer["retry_after"] > 0
            assert 0.3 < seconds < 2.0
            assert (await anna.call("hall.update_seat_status", data))["error"] is None
        assert await status_of(server, hall.seats[0]) == "OCCUPIED"


async def test_lock_that_goes_in_time_costs_nothing(server: RunningServer) -> None:
    """A write blocked by a lock is done as soon as the lock is released, before its deadline."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        async with held(server, lock(hall)):
            eids = await send_writes(anna, hall, 3)
            await waits_for_a_lock(server)
        assert {(await anna.answer(eid))["error"] for eid in eids} == {None}


async def test_locked_halls_do_not_stall_others(server: RunningServer) -> None:
    """However many halls are locked, writes to another hall are answered long before their deadline."""
    halls = [await make_hall(server, name=f"Hall {number}") for number in range(9)]
    *locked, free = halls
    async with (
        server.client(await server.token("anna")) as anna,
        server.client(await server.token("bert")) as bert,
        held(server, f"update seat set status = 'MAINTENANCE' where hall_id <> {free.id}"),
    ):
        for hall in locked:
            await send_writes(anna, hall, 1)
        await waits_for_a_lock(server)
        for seat in free.seats:
            data = {"hall_id": free.id, "seat_id": seat, "status": "OCCUPIED"}
            started = trio.current_time()
            assert (await bert.call("hall.update_seat_status", data))["error"] is None
            assert trio.current_time() - started < 1.0


async def test_rejected_change_fails_alone(server: RunningServer) -> None:
    """A constraint that rejects one of the writes committed together fails that one alone."""
    hall = await make_hall(server, places=12)
    bad = hall.seats[5]
    await server.sql(f"alter table seat add constraint never check (id <> {bad} or status <> 'OCCUPIED')")
    async with server.client(await server.token("anna")) as anna:
        async with held(server, lock(hall)):
            eids = await send_writes(anna, hall, 10)
            await waits_for_a_lock(server)
        answers = {eid: (await anna.answer(eid))["error"] for eid in eids}
    assert answers == {eid: "InvalidSeatData" if eid == f"w{bad}" else None for eid in eids}
    assert await status_of(server, bad) == "VACANT"
