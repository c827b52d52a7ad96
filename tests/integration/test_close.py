"""Ends of connections: close codes, clean shutdowns, and no effect on other connections."""

import json
from collections.abc import Iterable

import pytest
import trio

from seatsync.core.timing import Timing
from tests.support.halls import held, make_hall, waits_for_a_lock
from tests.support.raw_socket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    frame,
    head,
    mask,
    raw_websocket,
)
from tests.support.server import RunningServer, running_server
from tests.support.waiting import metric_is

MAX_BYTES = 262_144
NORMAL = (1000).to_bytes(2)


async def ends_with(raw: RawSocket, code: int, sent: str = "") -> None:
    """The server closes with that code and JSON advice, and shuts down cleanly."""
    close = await raw.closed_cleanly()
    assert close.close_code == code, sent
    assert len(close.payload) <= 125
    assert json.loads(close.close_reason)["reason"]


async def answers(raw: RawSocket) -> None:
    """The connection still answers."""
    await raw.send_frame(TEXT, b"1")
    while (received := await raw.receive()).payload != b"1":
        assert received.opcode != CLOSE


BROKEN_FRAMES = {
    "unmasked": frame(TEXT, b"{}", masked=False),
    "reserved bit": frame(TEXT, b"{}", reserved=4),
    "reserved opcode": frame(3, b"{}"),
    "reserved control opcode": frame(0xB, b""),
    "continuation of nothing": frame(CONTINUATION, b"{}"),
    "message inside a message": frame(TEXT, b"{", last=False) + frame(TEXT, b"}"),
    "continuation after the end": frame(TEXT, b"{}") + frame(CONTINUATION, b"{}"),
    "ping in fragments": frame(PING, b"", last=False),
    "ping too long": frame(PING, b"x" * 126),
    "unmasked close": frame(CLOSE, NORMAL, masked=False),
    "close of one byte": frame(CLOSE, b"\x03"),
    "close with a code that may not be sent": frame(CLOSE, (1005).to_bytes(2)),
    "close with a code out of range": frame(CLOSE, (999).to_bytes(2)),
    "length not in its shortest form": bytes([0x81, 0x80 | 126]) + (2).to_bytes(2) + bytes(4) + b"{}",
}

BAD_UTF8 = {
    "not UTF-8": frame(TEXT, b'{"a":"\xff"}'),
    "cut off": frame(TEXT, "é".encode()[:1]),
    "a surrogate": frame(TEXT, b"\xed\xa0\x80"),
    "overlong": frame(TEXT, b"\xc0\x80"),
    "beyond Unicode": frame(TEXT, b"\xf4\x90\x80\x80"),
    "in a fragment": frame(TEXT, b'{"a":"', last=False) + frame(CONTINUATION, b'\xff"}'),
    "in a close reason": frame(CLOSE, NORMAL + b"\xff"),
}

BINARY_FRAMES = {
    "binary": frame(BINARY, b"{}"),
    "empty": frame(BINARY),
    "in fragments": frame(BINARY, b"{", last=False) + frame(CONTINUATION, b"}"),
}


async def test_frames_that_break_the_protocol(server: RunningServer) -> None:
    """A frame against RFC 6455 ends in 1002, bad UTF-8 in 1007, a binary one in 1003, each with a clean close."""
    for frames, code in ((BROKEN_FRAMES, 1002), (BAD_UTF8, 1007), (BINARY_FRAMES, 1003)):
        for name, data in frames.items():
            async with raw_websocket(server.ws_port) as raw:
                await raw.send(data)
                await ends_with(raw, code, name)


def fragments(payload: bytes, size: int) -> Iterable[bytes]:
    """A text message in frames of at most that size."""
    starts = range(0, len(payload), size)
    for start in starts:
        opcode = TEXT if start == 0 else CONTINUATION
        yield frame(opcode, payload[start : start + size], last=start == starts[-1])


@pytest.mark.parametrize(
    "frames",
    [
        [frame(TEXT, b"x" * (MAX_BYTES + 1))],
        [frame(TEXT, "€".encode() * (MAX_BYTES // 3 + 1))],
        [*fragments(b"x" * (MAX_BYTES + 1), 1000)],
        [*fragments("é".encode() * (MAX_BYTES // 2 + 1), 4096)],
        [head(TEXT, 2**62), mask(b"x" * (MAX_BYTES + 4))],
        [frame(TEXT, b"x" * (4 * MAX_BYTES))],
    ],
    ids=["one frame", "bytes, not characters", "fragments", "fragments of bytes", "announced only", "far too big"],
)
@pytest.mark.parametrize("timing", [Timing(close_s=0.3)], ids=[""])  # a peer cannot answer within its own frame
async def test_message_too_big(server: RunningServer, frames: list[bytes]) -> None:
    """A message of more than MAX_MESSAGE_BYTES bytes ends in 1009, and the close frame arrives though more is sent."""
    async with raw_websocket(server.ws_port) as raw:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raw.send, b"".join(frames))
            close = await raw.receive_close()
        await raw.send_frame(CLOSE, close.payload)
        await raw.ends()
    assert close.close_code == 1009


async def test_message_of_the_maximum_size(server: RunningServer) -> None:
    """A message of exactly MAX_MESSAGE_BYTES bytes is accepted, in one frame or in fragments."""
    start, end = b'{"type":"user.status","eid":"big","data":{"pad":"', b'"}}'
    message = start + b"x" * (MAX_BYTES - len(start) - len(end)) + end
    async with raw_websocket(server.ws_port) as raw:
        for data in (frame(TEXT, message), b"".join(fragments(message, 1500))):
            await raw.send(data)
            assert json.loads(await raw.receive_text())["eid"] == "big"


async def test_size_limit_is_the_setting(database_url: str) -> None:
    """MAX_MESSAGE_BYTES moves the limit."""
    async with running_server(database_url, MAX_MESSAGE_BYTES="2000") as server, raw_websocket(server.ws_port) as raw:
        await raw.send_frame(TEXT, b" " * 2000)
        assert json.loads(await raw.receive_text())["error"] == "BadRequest"
        await raw.send_frame(TEXT, b" " * 2001)
        await ends_with(raw, 1009)


async def test_fragments_with_a_ping_in_between(server: RunningServer) -> None:
    """A message may come in fragments, some of them empty, with control frames between; the ping is answered."""
    async with raw_websocket(server.ws_port) as raw:
        await raw.send_frame(TEXT, b'{"type":"user.st', last=False)
        await raw.send_frame(PING, b"now")
        await raw.send_frame(CONTINUATION, b"", last=False)
        await raw.send_frame(PONG, b"")
        await raw.send_frame(CONTINUATION, b'atus","eid":"x"}')
        assert await raw.receive() == Frame(PONG, b"now")
        assert json.loads(await raw.receive_text())["eid"] == "x"


async def test_character_cut_by_fragments(server: RunningServer) -> None:
    """A UTF-8 character may span two frames or two TCP segments."""
    message = '{"type":"user.status","eid":"é€🎬"}'.encode()
    async with raw_websocket(server.ws_port) as raw:
        for size in (1, 2, 3):
            await raw.send(b"".join(fragments(message, size)))
            assert json.loads(await raw.receive_text())["eid"] == "é€🎬"
        for byte in frame(TEXT, message):
            await raw.send(bytes([byte]))
        assert json.loads(await raw.receive_text())["eid"] == "é€🎬"


async def test_ping_is_answered_with_its_payload(server: RunningServer) -> None:
    """A ping is answered with a pong that carries the same bytes."""
    async with raw_websocket(server.ws_port) as raw:
        for payload in (b"", b"\x00\xff", b"x" * 125):
            await raw.send_frame(PING, payload)
            assert await raw.receive() == Frame(PONG, payload)


async def test_close_of_the_client_is_answered(server: RunningServer) -> None:
    """A client's close is answered with its own code, and the server ends the stream."""
    for payload in (NORMAL, NORMAL + b"bye", (4999).to_bytes(2), b""):
        async with raw_websocket(server.ws_port) as raw:
            await raw.send_frame(CLOSE, payload)
            close = await raw.receive()
            assert close.opcode == CLOSE
            assert close.payload[:2] == payload[:2]
            await raw.ends()


async def test_requests_before_a_close_are_answered(server: RunningServer) -> None:
    """Requests before a close are executed, requests after it are not."""
    hall = await make_hall(server)
    async with raw_websocket(server.ws_port, {"Authorization": f"Bearer {await server.token('anna')}"}) as raw:
        for seat in hall.seats[:2]:
            data = {"hall_id": hall.id, "seat_id": seat, "status": "OCCUPIED"}
            write = json.dumps({"type": "hall.update_seat_status", "data": data}).encode()
            await raw.send(frame(TEXT, write) + (frame(CLOSE, NORMAL) if seat == hall.seats[0] else b""))
        await raw.receive_close()
        await raw.ends()
    assert await server.value("select count(*) from seat where status = 'OCCUPIED'") == 1


@pytest.mark.parametrize("timing", [Timing(close_s=0.2)], ids=[""])
async def test_peer_that_does_not_answer_a_close(server: RunningServer) -> None:
    """The wait for a peer that does not answer the close is bounded."""
    async with raw_websocket(server.ws_port) as raw:
        await raw.send_frame(BINARY)
        assert (await raw.receive_close()).close_code == 1003
        await raw.ends()
        await metric_is(server.port, "connections", 0)


async def test_peer_that_vanishes_while_it_subscribes(server: RunningServer) -> None:
    """A peer that disconnects before its snapshot is read leaves no subscription."""
    hall = await make_hall(server)
    request = json.dumps({"type": "hall.subscribe", "eid": "h", "data": {"id": hall.id}}).encode()
    async with raw_websocket(server.ws_port) as raw:
        async with held(server, "lock table seat in access exclusive mode"):
            await raw.send_frame(TEXT, request)
            await waits_for_a_lock(server)
            raw.reset()
        for name in ("connections", "subscriptions"):
            await metric_is(server.port, name, 0)


@pytest.mark.parametrize("way", ["reset", "end of stream", "in the middle of a frame"])
async def test_peer_that_vanishes(server: RunningServer, way: str) -> None:
    """A peer that disconnects without a close is removed with its subscriptions; other connections are not affected."""
    hall = await make_hall(server)
    async with server.client() as other:
        await other.call("hall.subscribe", {"id": hall.id}, eid="h")
        async with raw_websocket(server.ws_port) as raw:
            request = {"type": "hall.subscribe", "eid": "h", "data": {"id": hall.id}}
            await raw.send_frame(TEXT, json.dumps(request).encode())
            await raw.receive_text()
            await metric_is(server.port, "subscriptions", 2)
            if way == "reset":
                raw.reset()
            elif way == "end of stream":
                await raw.stream.send_eof()
                await metric_is(server.port, "connections", 1)
            else:
                await raw.send(head(TEXT, 1000) + b"x")
        await metric_is(server.port, "connections", 1)
        await metric_is(server.port, "subscriptions", 1)
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        await other.update("h")


async def test_peer_that_vanishes_amid_updates(server: RunningServer) -> None:
    """Peers that reset during a broadcast do not affect other subscribers."""
    hall = await make_hall(server)
    subscribe = json.dumps({"type": "hall.subscribe", "eid": "h", "data": {"id": hall.id}}).encode()
    async with server.client() as other:
        await other.call("hall.subscribe", {"id": hall.id}, eid="h")
        for number in range(10):
            async with raw_websocket(server.ws_port) as raw:
                await raw.send_frame(TEXT, subscribe)
                raw.reset()
            status = ("OCCUPIED", "VACANT")[number % 2]
            await server.sql(f"update seat set status = '{status}' where hall_id = {hall.id}")
        revs = [(await other.update("h"))["rev"] for _ in range(10)]
        assert revs == list(range(2, 12))
        await metric_is(server.port, "connections", 1)


async def test_protocol_error_closes_one_connection(server: RunningServer) -> None:
    """A protocol error closes its own connection only."""
    async with raw_websocket(server.ws_port) as good:
        for data in (frame(BINARY), frame(3), frame(TEXT, b"\xff"), frame(TEXT, b"x" * (MAX_BYTES + 1))):
            async with raw_websocket(server.ws_port) as bad:
                await bad.send(data)
                await bad.closed_cleanly()
        await answers(good)
