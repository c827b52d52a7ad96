"""Ports and paths, and invalid handshakes."""

import socket
from contextlib import suppress

import pytest

from tests.support.client import http
from tests.support.places import free_port
from tests.support.raw_socket import TEXT, raw_tcp, raw_websocket
from tests.support.server import RunningServer, running_server

LOOPBACKS = ["127.0.0.1", "::1"]


def exists(host: str) -> bool:
    """Whether this machine has that address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe, suppress(OSError):
        probe.bind((host, 0))
        return True
    return False


@pytest.mark.parametrize("host", [host for host in LOOPBACKS if exists(host)])
async def test_both_ports_answer_both_on_both_loopbacks(server: RunningServer, host: str) -> None:
    """PORT and WS_PORT each serve WebSockets on /ws and / and the API, on 127.0.0.1 and on ::1."""
    for port in (server.port, server.ws_port):
        for path in ("/ws", "/", "//ws", "/ws?token=x"):
            async with raw_tcp(port, host=host) as raw:
                assert await raw.handshake(path) == 101, path
                await raw.send_frame(TEXT, b"1")
                assert await raw.receive_text() == "1"
        async with raw_tcp(port, host=host) as raw:
            await raw.send(b"POST /api//user/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert await raw.response() == 200


async def test_equal_ports_are_one_listener(database_url: str) -> None:
    """PORT and WS_PORT may be the same."""
    port = str(free_port())
    async with running_server(database_url, PORT=port, WS_PORT=port) as server:
        assert server.port == server.ws_port == int(port)
        async with raw_websocket(server.port) as raw:
            await raw.send_frame(TEXT, b"1")
            assert await raw.receive_text() == "1"
        assert (await http(server.port, "POST", "/api/user/status")).status == 200


async def test_answer_to_a_handshake(server: RunningServer) -> None:
    """The 101 carries the accept key (RFC 6455, section 4.2.2) and no extension."""
    async with raw_tcp(server.ws_port) as raw:
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate", "Sec-WebSocket-Protocol": "a, b"}
        assert await raw.handshake(headers=offer) == 101
        assert raw.header("upgrade") == "websocket"
        assert (raw.header("connection") or "").lower() == "upgrade"
        assert raw.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert raw.header("sec-websocket-extensions") is None
        assert raw.header("sec-websocket-protocol") is None


async def test_handshake_after_requests(server: RunningServer) -> None:
    """A connection that has been used for HTTP requests may still become a WebSocket."""
    async with raw_tcp(server.ws_port) as raw:
        await raw.send(b"POST /api/user/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert await raw.response() == 200
        assert await raw.take(int(raw.header("content-length") or 0))
        assert await raw.handshake() == 101
        await raw.send_frame(TEXT, b"1")
        assert await raw.receive_text() == "1"


async def test_frames_sent_with_the_handshake(server: RunningServer) -> None:
    """Frames in the same segment as the handshake are not lost."""
    async with raw_tcp(server.ws_port) as raw:
        lines = (
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await raw.send(lines.encode() + b"\x81\x81\x00\x00\x00\x001" * 2)
        assert await raw.response() == 101
        assert [await raw.receive_text(), await raw.receive_text()] == ["1", "1"]


async def test_malformed_handshake(server: RunningServer) -> None:
    """An invalid handshake is answered with its error, and the server serves others."""
    headers: list[tuple[dict[str, str], int]] = [
        ({"Upgrade": ""}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": ""}, 400),
        ({"Connection": "keep-alive"}, 400),
        ({"Connection": "Upgrad\xe9"}, 400),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "x" * 22 + "=\xe9"}, 400),
        ({"Sec-WebSocket-Protocol": "\xe9"}, 400),
        ({"Content-Length": "5"}, 400),
        ({"Host": ""}, 400),
        ({"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket"}, 101),
    ]
    for fields, status in headers:
        async with raw_tcp(server.ws_port) as raw:
            assert await raw.handshake(headers=fields) == status, fields
            assert status != 426 or raw.header("sec-websocket-version") == "13"
    async with raw_websocket(server.ws_port) as raw:
        await raw.send_frame(TEXT, b"1")
        assert await raw.receive_text() == "1"


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/ws", 400), ("GET", "/other", 404)])
async def test_upgrade_only_by_get_and_only_there(server: RunningServer, method: str, path: str, status: int) -> None:
    """Only GET is an upgrade, and only on /ws and /."""
    fields = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    answer = await http(
        server.ws_port, method, path, headers={**fields, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    )
    assert answer.status == status


async def test_malformed_requests(server: RunningServer) -> None:
    """TLS, garbage and endless headers end their connection only, with an error response where possible."""
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 100,
        b"GET /ws HTTP/9.9\r\n\r\n",
        b"GET /ws\r\n\r\n",
        b"\r\n" * 50,
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ):
        async with raw_tcp(server.ws_port) as raw:
            await raw.send(data)
            await raw.stream.send_eof()
            received = b""
            while more := await raw.stream.receive_some(65536):
                received += more
        assert received == b"" or received.startswith(b"HTTP/1.1 4"), data[:40]
    async with raw_websocket(server.ws_port) as raw:
        await raw.send_frame(TEXT, b"1")
        assert await raw.receive_text() == "1"
