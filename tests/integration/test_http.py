"""HTTP and handshakes on a real server, for rules that need real sockets, both ports or a real login."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyotp
import pytest
import trio

from seatsync.core.timing import Timing
from seatsync.user.totp import qr_code
from tests.support.client import PATIENCE_S, Answer, http
from tests.support.server import RunningServer, running_server

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
STATUS = b"POST /api/user/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"

#: The heartbeat as a masked text frame, and as the server sends it.
HEARTBEAT = b"\x81\x81\0\0\0\x001"
HEARTBEAT_BACK = b"\x81\x011"


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[trio.SocketStream]:
    """A bare TCP connection, with a time limit for the test."""
    with trio.fail_after(PATIENCE_S):
        async with await trio.open_tcp_stream("localhost", port) as stream:
            yield stream


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    """Everything up to and with ``end``."""
    received = b""
    while end not in received:
        data = await stream.receive_some()
        assert data, received
        received += data
    return received


async def read_out(stream: trio.SocketStream) -> bytes:
    """Everything until the server closes."""
    return b"".join([data async for data in stream])


async def test_both_ports_answer_both(server: RunningServer) -> None:
    """HTTP is served where sockets are expected, and sockets where HTTP is."""
    for port in (server.port, server.ws_port):
        answer = await http(port, "POST", "/api//user/status", {})
        assert answer.json() == {"data": {"status": "guest"}, "status": "success", "error": None}
        assert answer.header("cache-control") == "no-store"
        async with raw(port) as stream:
            await stream.send_all(HANDSHAKE + b"\r\n")
            assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")


async def test_pages(server: RunningServer) -> None:
    """The server is alive and ready, lists its endpoints and exposes its metrics."""
    assert (await http(server.port, "GET", "/healthz")).status == 200
    ready = await http(server.port, "GET", "/readyz")
    assert (ready.status, ready.json()["ready"]) == (200, True)
    assert b"POST /api/hall/update_seats\n" in (await http(server.port, "GET", "/")).body
    metrics = await http(server.port, "GET", "/metrics")
    assert b'seatsync_messages_total{method="/readyz",outcome="success"} 1.0' in metrics.body


async def test_browsers_get_the_page_from_both_ports(server: RunningServer) -> None:
    """The page comes with its ETag, and is not sent again to who has it."""
    for port in (server.port, server.ws_port):
        page = await http(port, "GET", "/", headers={"Accept": "text/html"})
        assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
        assert page.body.lower().startswith(b"<!doctype html>")
        etag = page.header("etag") or ""
        assert (await http(port, "GET", "/", headers={"Accept": "text/html", "If-None-Match": etag})).status == 304


async def test_first_frame_may_come_with_the_handshake(server: RunningServer) -> None:
    """Bytes after the handshake's head are frames, also on a connection that served a request before."""
    async with raw(server.port) as stream:
        await stream.send_all(STATUS + b"\r\n" + HANDSHAKE + b"\r\n" + HEARTBEAT)
        received = await read_until(stream, HEARTBEAT_BACK)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 101 " in received


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HANDSHAKE.replace(b"Version: 13", b"Version: 8"), b"426"),
        (HANDSHAKE.replace(b"Connection: Upgrade", b"Connection: Upgrade\xff"), b"400"),
        (HANDSHAKE.replace(b"Host: localhost", b"Host: rebound.example"), b"403"),
        (HANDSHAKE + b"Origin: null\r\n", b"403"),
    ],
    ids=["version", "not ASCII", "host", "origin"],
)
async def test_refused_handshake_is_answered_and_closed(server: RunningServer, head: bytes, status: bytes) -> None:
    """A refused handshake is answered, and its connection closed."""
    async with raw(server.ws_port) as stream:
        await stream.send_all(head + b"\r\n")
        assert (await read_out(stream)).startswith(b"HTTP/1.1 " + status)


async def test_refusal_reaches_a_client_that_still_sends(server: RunningServer) -> None:
    """A 413 arrives although input is unread: no TCP reset discards it."""
    size = 8 * server.settings.max_message_bytes
    async with raw(server.port) as stream, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _send() -> None:
            head = b"POST /api/user/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size
            await stream.send_all(head + bytes(size))
            await stream.send_eof()

        answer = await read_out(stream)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'"message":"The message is too large."}')


async def test_resets_do_not_affect_the_server(server: RunningServer) -> None:
    """Clients that reset within a head, a body or their answer leak nothing."""
    for data in (b"POST /api", STATUS.replace(b"0", b"9") + b"\r\n{", STATUS + b"\r\n"):
        async with raw(server.port) as stream:
            await stream.send_all(data)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert (await http(server.port, "GET", "/readyz")).status == 200


async def test_full_server_refuses(database_url: str) -> None:
    """Over MAX_CONNECTIONS requests get 503; health is still served, and a free slot is taken again."""
    async with running_server(database_url, MAX_CONNECTIONS="1") as server:
        async with server.client() as client:
            await client.heartbeat()
            refusal = await http(server.port, "POST", "/api/user/status")
            assert (refusal.json()["error"], refusal.header("Retry-After")) == ("TooManyConnections", "5")
            assert (await http(server.port, "GET", "/healthz")).status == 200
        with trio.fail_after(PATIENCE_S):
            while (await http(server.port, "POST", "/api/user/status")).status != 200:
                pass


def cookie_header(answer: Answer, cookies: dict[str, str]) -> dict[str, str]:
    """The ``Cookie`` a browser sends after that answer, having had those before."""
    cookies |= answer.cookies()
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items() if value)}


async def test_login_reaches_the_visitors_socket(server: RunningServer) -> None:
    """The sign-in page's socket receives the login after the response that sets the cookie, then is closed with 4001;
    the new cookie is the user, and after the logout a guest."""
    cookies: dict[str, str] = {}
    started = await http(server.port, "POST", "/api/user/auth_start", {"username": "ann"})
    headers = cookie_header(started, cookies)
    async with server.client(cookie=headers["Cookie"]) as page:
        assert await page.data("user.subscribe", eid="s") == {"status": "guest"}
        url = started.json()["data"]["qr_url"]
        assert started.json()["data"]["qr_code"] == await qr_code(url)
        code = pyotp.TOTP(url.partition("secret=")[2]).now()
        login = await http(server.port, "POST", "/api/user/register", {"username": "ann", "code": code}, headers)
        answered = trio.current_time()
        assert set(login.cookies()) == {"seatsync", "seatsync_visitor"}
        assert login.cookies()["seatsync_visitor"] != cookies["seatsync_visitor"]
        update = await page.update("s")
        assert (update["status"], update["username"]) == ("user", "ann")
        assert trio.current_time() - answered > Timing().announce_delay_s / 2
        assert (await page.closed())[0] == 4001

    headers = cookie_header(login, cookies)
    assert (await http(server.port, "POST", "/api/user/status", headers=headers)).json()["data"]["username"] == "ann"
    logout = await http(server.port, "POST", "/api/user/logout", headers=headers)
    assert logout.cookies() == {"seatsync": ""}
    assert (await http(server.port, "POST", "/api/user/status", headers=headers)).json()["data"]["status"] == "guest"
