"""A real server takes whatever comes on its ports, and is as good as new afterwards."""

import os
import socket
from pathlib import Path

import trio

from tests.fuzz.faults import no_faults
from tests.fuzz.inputs import each
from tests.fuzz.strategies import frames, requests, variants
from tests.fuzz.test_frames import check_frames, read_frames
from tests.support.client import http
from tests.support.halls import make_hall
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually, metric_is

PATIENCE_S = 15.0

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %b\r\n\r\n"
)


def converse(port: int, sent: bytes) -> bytes:
    """What the server says to these bytes and the end of the stream; fails when it does not close."""
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
    """No connection, subscription, task or descriptor is left, and requests are answered."""
    await metric_is(server.port, "connections", 0)
    await metric_is(server.port, "subscriptions", 0)

    async def ask() -> bool:
        return _tasks() <= tasks and _descriptors() <= descriptors

    await eventually(ask)
    assert (await http(server.port, "GET", "/readyz")).status == 200
    assert b"InternalServerError" not in (await http(server.port, "GET", "/metrics")).body


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def _descriptors() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


async def test_a_server_survives_it(database_url: str) -> None:
    """Messages of a signed-in operator, requests, and noise."""
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
            await trio.to_thread.run_sync(each, variants(frames()), check_websocket, 0.07)
            await trio.to_thread.run_sync(each, variants(requests()), check_http, 0.03)
            late = 2 * server.settings.db_pool_size  # database connections are opened when needed: a descriptor, a task
            await is_as_before(server, tasks + late, descriptors + late)
