"""Heartbeats, pings and silent peers."""

import json

import pytest
import trio

from seatsync.core.timing import Timing
from tests.support.client import PATIENCE_S
from tests.support.halls import held, make_hall
from tests.support.raw_socket import CLOSE, PING, PONG, TEXT, RawSocket, raw_websocket
from tests.support.server import RunningServer
from tests.support.waiting import metric_is

PING_AFTER_S, DROP_AFTER_S = 0.1, 0.4


QUICK = Timing(ping_after_s=PING_AFTER_S, drop_after_s=DROP_AFTER_S, tick_s=0.02, close_s=0.2)
quick = pytest.mark.parametrize("timing", [QUICK], ids=[""])
"""Pings after 0.1 instead of 25 seconds, the end after 0.4 instead of 60."""


async def pinged(raw: RawSocket) -> bytes:
    """Wait for a ping; its payload."""
    received = await raw.receive()
    assert received.opcode == PING
    return received.payload


async def test_heartbeat_is_answered(server: RunningServer) -> None:
    """The text frame `1` is answered with the text frame `1`, every time."""
    async with raw_websocket(server.ws_port) as raw:
        for _ in range(3):
            await raw.send_frame(TEXT, b"1")
            assert await raw.receive_text() == "1"


async def test_heartbeat_in_fragments(server: RunningServer) -> None:
    """A message is a heartbeat by its text, not by its frames."""
    async with raw_websocket(server.ws_port) as raw:
        await raw.send_frame(TEXT, b"", last=False)
        await raw.send_frame(0, b"1", last=False)
        await raw.send_frame(0, b"")
        assert await raw.receive_text() == "1"


async def test_only_the_exact_text_is_a_heartbeat(server: RunningServer) -> None:
    """Any text but `1` is an ordinary message, here an invalid one."""
    async with server.client() as client:
        for text in ("1 ", " 1", "01", "1.0", "11", "2", '"1"'):
            await client.raw(text)
            assert (await client.frame())["error"] == "BadRequest", text


async def test_heartbeat_overtakes_slow_writes(server: RunningServer) -> None:
    """A heartbeat is answered ahead of 64 writes that wait for a locked hall."""
    hall = await make_hall(server, places=65)
    async with raw_websocket(server.ws_port, {"Authorization": f"Bearer {await server.token('anna')}"}) as raw:
        async with held(server, f"update seat set status = 'OCCUPIED' where id = {hall.seats[-1]}"):
            for seat in hall.seats[:64]:
                data = {"hall_id": hall.id, "seat_id": seat, "status": "OCCUPIED"}
                request = {"type": "hall.update_seat_status", "eid": seat, "data": data}
                await raw.send_frame(TEXT, json.dumps(request).encode())
            for _ in range(3):
                await raw.send_frame(TEXT, b"1")
                assert await raw.receive_text() == "1"
        answers = [json.loads(await raw.receive_text()) for _ in range(64)]
    assert {frame["eid"] for frame in answers} == {str(seat) for seat in hall.seats[:64]}
    assert {frame["error"] for frame in answers} == {None}


@quick
async def test_silent_connection_is_pinged(server: RunningServer) -> None:
    """A silent connection is pinged, and stays open as long as it answers."""
    async with raw_websocket(server.ws_port) as raw:
        started = trio.current_time()
        while trio.current_time() - started < 2 * DROP_AFTER_S:
            await raw.send_frame(PONG, await pinged(raw))
        await raw.send_frame(TEXT, b"1")
        assert await raw.receive_text() == "1"


@quick
async def test_anything_counts_as_a_sign_of_life(server: RunningServer) -> None:
    """A message, a heartbeat, a ping or an unsolicited pong: each keeps a connection alive."""

    async def live_on(opcode: int, payload: bytes) -> None:
        async with raw_websocket(server.ws_port) as raw:
            started = trio.current_time()
            while trio.current_time() - started < 2 * DROP_AFTER_S:
                await raw.send_frame(opcode, payload)
                await trio.sleep(PING_AFTER_S / 2)
            await raw.send_frame(TEXT, b'{"type":"user.status","eid":"last"}')
            while b'"last"' not in (received := await raw.receive()).payload:
                assert received.opcode != CLOSE

    async with trio.open_nursery() as nursery:
        for opcode, payload in ((PONG, b"unsolicited"), (PING, b"mine"), (TEXT, b"1"), (TEXT, b"{}")):
            nursery.start_soon(live_on, opcode, payload)


@quick
async def test_silent_peer_is_dropped(server: RunningServer) -> None:
    """A peer that sends nothing, not even pongs, is closed with 1001."""
    async with raw_websocket(server.ws_port) as raw:
        started = trio.current_time()
        assert await pinged(raw) == b""
        close = await raw.closed_cleanly()
        assert trio.current_time() - started >= DROP_AFTER_S * 0.9
    assert close.close_code == 1001
    assert json.loads(close.close_reason)["reason"] == "silent"


@quick
async def test_browser_that_never_sends_a_heartbeat_stays(server: RunningServer) -> None:
    """A browser answers pings by itself and needs nothing else to stay connected."""
    async with server.client() as client:
        with trio.move_on_after(3 * DROP_AFTER_S):
            raise AssertionError(await client.closed())
        await client.heartbeat()


@quick
async def test_peer_that_the_server_does_not_read_is_not_dropped(server: RunningServer) -> None:
    """Silence does not count while the server itself has stopped reading because of 64 writes in flight."""
    hall = await make_hall(server, places=65)
    token = await server.token("anna")
    async with server.client(token) as anna:
        async with held(server, f"update seat set status = 'OCCUPIED' where id = {hall.seats[-1]}"):
            eids = [
                await anna.send(
                    "hall.update_seat_status", {"hall_id": hall.id, "seat_id": seat, "status": "OCCUPIED"}, eid=seat
                )
                for seat in hall.seats[:64]
            ]
            fill = [await anna.send("user.status", {"pad": "x" * 1000}, eid=f"r{n}") for n in range(100)]
            await trio.sleep(2 * DROP_AFTER_S)
        for eid in [*eids, *fill]:
            assert (await anna.answer(eid))["error"] is None
        with trio.move_on_after(2 * DROP_AFTER_S):
            raise AssertionError(await anna.closed())
        await anna.heartbeat()


@quick
async def test_vanished_peer_is_dropped(server: RunningServer) -> None:
    """A peer that vanished and does not answer its close either is removed."""
    async with raw_websocket(server.ws_port):
        with trio.fail_after(PATIENCE_S):
            await metric_is(server.port, "connections", 1)
            await metric_is(server.port, "connections", 0)
