"""A real server survives any bytes on its ports without errors or leaks."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import trio
from structlog.typing import EventDict, WrappedLogger

from seatsync.core.websocket.frames import CloseCode
from tests.fuzz.inputs import each
from tests.fuzz.strategies import frames, requests, variants
from tests.support.client import http
from tests.support.halls import make_hall
from tests.support.raw_socket import CLOSE, PING, PONG, TEXT, Frame
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually, metric_is

PATIENCE_S = 15.0

KEYS = {"type", "status", "data", "error", "eid", "ts"}
CLOSES = {CloseCode.NORMAL, CloseCode.PROTOCOL_ERROR, CloseCode.UNSUPPORTED, CloseCode.INVALID_UTF8, CloseCode.TOO_BIG}

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %b\r\n\r\n"
)


@contextmanager
def no_faults() -> Iterator[None]:
    """Capture the log of the block; fail if it has an error."""
    found: list[EventDict] = []

    def keep(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
        if level in {"error", "exception", "critical"}:
            found.append(event)
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = processors.copy()
    processors[:] = [keep]
    try:
        yield
    finally:
        processors[:] = before
    if found:
        raise AssertionError("\n".join(map(repr, found)))


def read_frames(data: bytes) -> list[Frame]:
    """The frames that a server sent; fails where they are not as RFC 6455 and our own protocol have them."""
    found = []
    while data:
        opcode, size = data[0] & 0x0F, data[1]
        assert data[0] & 0xF0 == 0x80
        assert opcode in {TEXT, CLOSE, PING, PONG}
        head = 2
        if size == 126:
            head, size = 4, int.from_bytes(data[2:4])
            assert size >= 126
        elif size == 127:
            head, size = 10, int.from_bytes(data[2:10])
            assert size >= 1 << 16
        assert len(data) >= head + size, "a frame was cut off"
        found.append(Frame(opcode, data[head : head + size]))
        data = data[head + size :]
    return found


def check_frames(received: list[Frame]) -> None:
    """Messages are envelopes, none is a server error, and nothing follows a close."""
    for number, one in enumerate(received):
        if one.opcode == TEXT and one.payload != b"1":
            message = json.loads(one.payload)
            assert set(message) >= KEYS
            assert message["error"] != "InternalServerError", message
        if one.opcode == CLOSE:
            assert number == len(received) - 1
            assert len(one.payload) <= 125
            assert one.close_code in CLOSES or not one.close_reason.startswith('{"reason"')


def converse(port: int, sent: bytes) -> bytes:
    """Send these bytes and the end of the stream; returns the answers, and fails when the server does not close."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65536):
                received += data
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has closed before it had everything
    return bytes(received)


async def is_as_before(server: RunningServer, tasks: int, descriptors: int) -> None:
    """No connection, subscription, task or descriptor is leaked, and requests are answered."""
    await metric_is(server.port, "connections", 0)
    await metric_is(server.port, "subscriptions", 0)

    async def check() -> bool:
        return _tasks() <= tasks and _descriptors() <= descriptors

    await eventually(check)
    assert (await http(server.port, "GET", "/readyz")).status == 200
    assert b"InternalServerError" not in (await http(server.port, "GET", "/metrics")).body


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def _descriptors() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


async def test_server_survives_any_bytes(database_url: str) -> None:
    """Messages of a signed-in operator, HTTP requests and noise."""
    async with running_server(database_url) as server:
        for name in ("Blue", "Red"):
            await make_hall(server, places=3, name=name)
        handshake = HANDSHAKE % (await server.token("anna")).encode()

        def check_websocket(sent: bytes) -> None:
            head, _, received = converse(server.ws_port, handshake + sent).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            check_frames(read_frames(received))

        def check_http(sent: bytes) -> None:
            received = converse(server.port, sent)
            assert b"HTTP/1.1 500" not in received
            assert b"InternalServerError" not in received

        await trio.to_thread.run_sync(check_websocket, b"")
        await metric_is(server.port, "connections", 0)
        tasks, descriptors = _tasks(), _descriptors()
        with no_faults():
            await trio.to_thread.run_sync(each, variants(frames()), check_websocket, 0.15)
            await trio.to_thread.run_sync(each, variants(requests()), check_http, 0.03)
            late = 2 * server.settings.db_pool_size  # database connections are opened when needed: a descriptor, a task
            await is_as_before(server, tasks + late, descriptors + late)
