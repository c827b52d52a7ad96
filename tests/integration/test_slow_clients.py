"""Slow clients: bounded memory, coalesced updates, and a close in the end."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import evolve

from seatsync.core.net.stream import SLOW_BYTES, Stream
from seatsync.core.timing import Timing
from tests.support.client import Frame
from tests.support.halls import Hall, make_hall
from tests.support.raw_socket import PING, PONG, TEXT, RawSocket, frame, raw_websocket
from tests.support.raw_socket import Frame as RawFrame
from tests.support.server import RunningServer
from tests.support.views import View, open_view
from tests.support.waiting import eventually, metric, metric_is

SMALL_BYTES = 4096


async def request(raw: RawSocket, type_: str, data: Any = None, eid: str = "h") -> Any:
    """Send a request and read its answer, which is the next frame."""
    await raw.send_frame(TEXT, json.dumps({"type": type_, "data": data, "eid": eid}).encode())
    return json.loads(await raw.receive_text())


@asynccontextmanager
async def slow_client(server: RunningServer) -> AsyncIterator[RawSocket]:
    """A client that reads only on demand, with small buffers."""
    async with raw_websocket(server.ws_port, receive_buffer_bytes=SMALL_BYTES) as raw:
        yield raw


async def repaint(server: RunningServer, hall: Hall, times: int) -> None:
    """Change all seats of the hall that often: as many revisions, each large."""
    for _ in range(times):
        await server.sql(
            f"update seat set status = case when status = 'VACANT' then 'OCCUPIED'::seat_status else 'VACANT' end"
            f" where hall_id = {hall.id}"
        )


async def flip(server: RunningServer, hall: Hall, times: int) -> int:
    """Change one seat of the hall that often, by small updates; returns the last revision."""
    for _ in range(times):
        await server.sql(
            f"update seat set status = case when status = 'VACANT' then 'OCCUPIED'::seat_status else 'VACANT' end"
            f" where id = {hall.seats[0]}"
        )
    rev: int = await server.value("select rev from hall where id = $1", hall.id)
    return rev


async def fall_behind(server: RunningServer, hall: Hall, quick: View | None = None) -> None:
    """Change the hall until the server counts a slow client; ``quick`` keeps up."""
    while await metric(server.port, "clients_behind") == 0:
        await repaint(server, hall, 1)
        if quick is not None:
            await quick.reach(await server.value("select rev from hall where id = $1", hall.id))


async def watch(raw: RawSocket, hall: Hall) -> View:
    """Subscribe to the hall under the eid ``h``."""
    return View((await request(raw, "hall.subscribe", {"id": hall.id}))["data"])


async def frame_of(raw: RawSocket, eid: str) -> Frame:
    """The next frame under that eid; others are skipped."""
    while True:
        received: Frame = json.loads(await raw.receive_text())
        if received["eid"] == eid:
            return received


async def catch_up(raw: RawSocket, view: View, rev: int) -> Frame:
    """Read until the view is at that revision; the frame that took it there."""
    while True:
        received = await frame_of(raw, "h")
        view.take(received)
        if view.rev >= rev:
            return received


async def test_merged_catch_up(server: RunningServer) -> None:
    """A client that fell behind gets its missed revisions as one update when it reads again; others get each."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw, server.client() as other:
        slow, quick = await watch(raw, hall), await open_view(other, hall.id)
        await fall_behind(server, hall, quick)
        await quick.reach(await flip(server, hall, 1))
        frames, merged = quick.frames, quick.merged
        rev = await flip(server, hall, 10)
        await quick.reach(rev)
        assert (quick.frames, quick.merged) == (frames + 10, merged)
        last = await catch_up(raw, slow, rev)
        assert last["data"]["from"] <= rev - 9
        await slow.is_true(server)
        await repaint(server, hall, 1)
        assert "from" not in (await catch_up(raw, slow, rev + 1))["data"]


async def test_memory_is_bounded(server: RunningServer) -> None:
    """A client that is behind takes no further memory, however many revisions follow."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw, server.client() as other:
        await watch(raw, hall)
        quick = await open_view(other, hall.id)
        await fall_behind(server, hall, quick)
        await quick.reach(await flip(server, hall, 1))
        frames = await metric(server.port, "frames_pushed_total")
        await quick.reach(await flip(server, hall, 40))
        assert await metric(server.port, "frames_pushed_total") == frames + 40


@pytest.mark.usefixtures("short_history")
async def test_snapshot_for_a_client_that_missed_too_much(server: RunningServer) -> None:
    """A client that missed more than the history holds gets a snapshot, and then updates."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw, server.client() as other:
        slow, quick = await watch(raw, hall), await open_view(other, hall.id)
        await fall_behind(server, hall, quick)
        await repaint(server, hall, 5)
        rev = await server.value("select rev from hall where id = $1", hall.id)
        await quick.reach(rev)
        assert (await catch_up(raw, slow, rev))["status"] == "snapshot"
        await slow.is_true(server)
        await repaint(server, hall, 1)
        assert (await catch_up(raw, slow, rev + 1))["status"] == "update"


@pytest.mark.parametrize("statement", ["update hall set epoch = default", "update seat set rotation = 1 where row = 1"])
async def test_new_layout_for_a_slow_client(server: RunningServer, statement: str) -> None:
    """A changed layout or epoch reaches a slow client as a snapshot."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw, server.client() as other:
        slow, quick = await watch(raw, hall), await open_view(other, hall.id)
        await fall_behind(server, hall, quick)
        await server.sql(statement)
        rev = await server.value("select rev from hall where id = $1", hall.id)
        await quick.reach(rev)
        assert (await catch_up(raw, slow, rev))["status"] == "snapshot"
        await repaint(server, hall, 1)
        await catch_up(raw, slow, rev + 1)
        await slow.is_true(server)


async def test_deleted_hall_for_a_slow_client(server: RunningServer) -> None:
    """A slow client is notified that its hall is deleted."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw:
        await watch(raw, hall)
        await fall_behind(server, hall)
        await server.sql(f"delete from hall where id = {hall.id}")
        while (received := await frame_of(raw, "h"))["error"] is None:
            pass
        assert received["error"] == "HallNotFound"


@pytest.mark.parametrize("removed", [False, True])
async def test_list_for_a_slow_client(server: RunningServer, removed: bool) -> None:
    """The list of cinemas reaches a slow client as updates, and as a snapshot after a removal."""
    hall, other_hall = await make_hall(server, rows=10, places=50), await make_hall(server, name="Other")
    async with slow_client(server) as raw, server.client() as other:
        await watch(raw, hall)
        assert (await request(raw, "cinemas.subscribe", eid="c"))["status"] == "snapshot"
        await other.call("cinemas.subscribe", eid="c")
        await fall_behind(server, hall)
        await server.sql(f"update seat set status = 'RESERVED' where id = {other_hall.seats[0]}")
        while (await other.update("c"))["halls"][0]["id"] != other_hall.id:
            pass
        if removed:
            await server.sql(f"delete from hall where id = {other_hall.id}")
            await other.answer("c")
        else:
            await server.sql(f"update seat set status = 'OCCUPIED' where id = {other_hall.seats[0]}")
            while (await other.update("c"))["halls"][0]["seats_count"]["OCCUPIED"] != 1:
                pass
        while (received := await frame_of(raw, "c"))["status"] == "update":
            if not removed and received["data"]["halls"][0]["seats_count"]["OCCUPIED"] == 1:
                return
        assert removed
        assert [len(cinema["halls"]) for cinema in received["data"]] == [1, 0]


async def test_unread_answers_stop_the_reading(server: RunningServer) -> None:
    """A client that does not read its answers is not read any further; all answers arrive in the end, in order."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw, server.client() as other, trio.open_nursery() as nursery:
        requests = [json.dumps({"type": "hall.get", "data": {"id": hall.id}, "eid": n}).encode() for n in range(100)]
        nursery.start_soon(raw.send, b"".join(frame(TEXT, request) for request in requests))
        await metric_is(server.port, "clients_behind", 1)
        await other.heartbeat()
        assert await metric(server.port, 'messages_total{method="hall.get",outcome="success"}') < 50
        for number in range(100):
            answer = json.loads(await raw.receive_text())
            assert (answer["eid"], len(answer["data"]["seats"])) == (str(number), 500)


async def test_flood_of_pings(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that pings without reading is not read any further; every ping is answered in the end."""
    push, most = Stream.push, 0

    def watched(stream: Stream, data: bytes) -> bool:
        nonlocal most
        has_room = push(stream, data)
        most = max(most, stream.unsent_bytes)
        return has_room

    async def is_full() -> bool:
        return most > SLOW_BYTES

    monkeypatch.setattr(Stream, "push", watched)
    payload = b"x" * 125
    async with slow_client(server) as raw, trio.open_nursery() as nursery:
        nursery.start_soon(raw.send, frame(PING, payload) * 20_000)
        await eventually(is_full)
        for _ in range(20_000):
            assert await raw.receive() == RawFrame(PONG, payload)
    assert most < 2 * SLOW_BYTES


QUICK = Timing(slow_for_s=0.5, ping_after_s=0.1, tick_s=0.02)
quick = pytest.mark.parametrize("timing", [QUICK], ids=[""])
"""A client that reads nothing is closed after half a second instead of two minutes."""


@quick
async def test_too_slow_even_for_merged_updates(server: RunningServer) -> None:
    """A client that does not read for too long is closed with 4008; the close frame arrives if it reads again."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw, server.client() as other:
        await watch(raw, hall)
        quick = await open_view(other, hall.id)
        await fall_behind(server, hall, quick)
        await metric_is(server.port, "slow_closes_total", 1)
        close = await raw.closed_cleanly()
        assert close.close_code == 4008
        assert json.loads(close.close_reason)["reason"] == "too slow"
        await quick.reach(await flip(server, hall, 1))


@pytest.mark.parametrize("timing", [evolve(QUICK, close_s=0.1)], ids=[""])
async def test_client_that_never_reads_again(server: RunningServer) -> None:
    """A client that does not read its close frame is dropped without a leak."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw:
        await watch(raw, hall)
        await fall_behind(server, hall)
        for name in ("connections", "subscriptions", "clients_behind"):
            await metric_is(server.port, name, 0)


@quick
async def test_client_without_subscriptions_can_be_too_slow(server: RunningServer) -> None:
    """A client without subscriptions that does not read its answers is closed with 4008."""
    hall = await make_hall(server, rows=10, places=50)
    async with slow_client(server) as raw:
        request = json.dumps({"type": "hall.get", "data": {"id": hall.id}}).encode()
        for _ in range(20):
            await raw.send_frame(TEXT, request)
        await metric_is(server.port, "slow_closes_total", 1)
        assert (await raw.receive_close()).close_code == 4008
