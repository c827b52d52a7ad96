"""Requests in and responses out: framing, deadlines, keep-alive, on streams in memory."""

import pytest
import trio
import trio.testing

from seatsync.core.timing import Timing
from tests.support.http_front import CHUNKED_HEAD, STATUS, handshake_bytes, open_world, request_bytes

TIMING = Timing()


async def test_connection_is_kept_alive() -> None:
    """One connection carries any number of requests."""
    async with open_world() as world:
        client = await world.connect()
        for _ in range(3):
            assert (await client.request("POST", "/api/user/status", b"{}")).status == 200
        assert not world.ended


async def test_connection_close_is_obeyed() -> None:
    """``Connection: close`` is repeated in the answer, after which the connection is closed."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("GET", "/healthz", Connection="close")
        assert reply.status == 200
        assert reply.header("Connection") == "close"
        assert await client.is_closed()


async def test_http_1_0_is_answered_and_closed() -> None:
    """HTTP/1.0 gets one answer a connection."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert (await client.reply()).status == 200
        assert await client.is_closed()


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests that come in one piece are answered one after the other, bodies of either framing included."""
    async with open_world() as world:
        client = await world.connect()
        chunked = CHUNKED_HEAD + b'\r\n3\r\n{"i\r\n6\r\nd": 7}\r\n0\r\n\r\n'
        declared = request_bytes("POST", "/api/hall/get", b'{"id":7}')
        await client.send(chunked + declared + request_bytes("GET", "/nowhere") + b"\r\n\r\n" + STATUS)
        assert [(await client.reply()).status for _ in range(4)] == [200, 200, 404, 200]


async def test_request_may_come_byte_by_byte() -> None:
    """A request may arrive in pieces of any size."""
    async with open_world() as world:
        client = await world.connect()
        for data in (request_bytes("POST", "/api/hall/get", b'{"id":7}'), STATUS):
            for byte in data:
                await client.send(bytes([byte]))
                await trio.testing.wait_all_tasks_blocked()
        assert (await client.reply()).status == 200
        assert (await client.reply()).status == 200


async def test_blank_lines_before_a_request_are_ignored() -> None:
    """RFC 9112, 2.2."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(b"\r\n")
        await trio.testing.wait_all_tasks_blocked()
        await client.send(b"\r\n\r\n" + STATUS)
        assert (await client.reply()).status == 200


async def test_client_that_expects_100_is_invited() -> None:
    """``Expect: 100-continue`` gets a 100 before the body, then the answer."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(request_bytes("POST", "/api/hall/get", None, Expect="100-continue", Content_Length="8"))
        assert (await client.reply()).status == 100
        await client.send(b'{"id":7}')
        assert (await client.reply()).status == 200
        assert (await client.request("POST", "/api/user/status", b"")).status == 200


async def test_client_that_expects_100_may_send_chunks() -> None:
    """The connection is kept for the next request."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(CHUNKED_HEAD + b"Expect: 100-continue\r\n\r\n")
        assert (await client.reply()).status == 100
        await client.send(b'8\r\n{"id":7}\r\n0\r\n\r\n' + STATUS)
        assert [(await client.reply()).status for _ in range(2)] == [200, 200]


async def test_request_before_the_end_is_answered() -> None:
    """A client may shut down its sending side right after its request."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(STATUS)
        await client.finish()
        assert (await client.reply()).status == 200
        assert await client.is_closed()


async def test_slow_head_is_408(autojump_clock: trio.testing.MockClock) -> None:
    """A head has to be complete ten seconds after its first byte."""
    async with open_world() as world:
        client = await world.connect()
        await client.request("GET", "/healthz")
        await trio.sleep(60)
        started = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - it breaks somewhere within
            for byte in request_bytes("GET", "/healthz"):
                await client.send(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() - started == pytest.approx(TIMING.head_s, abs=1.5)
        reply = await client.reply()
        assert (reply.status, reply.error) == (408, "BadRequest")
        assert await client.is_closed()


async def test_slow_body_is_408(autojump_clock: trio.testing.MockClock) -> None:
    """A body has to be complete thirty seconds after its head."""
    async with open_world() as world:
        client = await world.connect()
        started = trio.current_time()
        await client.send(request_bytes("POST", "/api/user/status", None, Content_Length="10") + b"{}")
        reply = await client.reply()
        assert (reply.status, reply.error) == (408, "BadRequest")
        assert trio.current_time() - started == pytest.approx(TIMING.body_s)
        assert await client.is_closed()


async def test_connection_without_a_request_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    """The first request has to begin within ten seconds; a connection on which none does ends without an answer."""
    async with open_world() as world:
        client = await world.connect()
        started = trio.current_time()
        assert await client.is_closed()
        assert trio.current_time() - started == pytest.approx(TIMING.head_s)


async def test_idle_connection_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    """75 silent seconds between two requests end a connection without an answer."""
    async with open_world() as world:
        client = await world.connect()
        await client.request("GET", "/healthz")
        await trio.sleep(70)
        assert (await client.request("POST", "/api/user/status", b"")).status == 200
        started = trio.current_time()
        assert await client.is_closed()
        assert trio.current_time() - started == pytest.approx(TIMING.keep_alive_s)


async def test_blank_lines_keep_no_connection(autojump_clock: trio.testing.MockClock) -> None:
    """Blank lines are no request and do not extend the idle deadline."""
    async with open_world() as world:
        client = await world.connect()
        started = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - it breaks in some round
            while True:
                await client.send(b"\r\n")
                await trio.sleep(9)
        assert trio.current_time() - started < TIMING.keep_alive_s + 10


async def test_peer_that_does_not_read_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """A response that is not taken within thirty seconds ends the connection."""
    async with open_world() as world:
        client = await world.connect(lockstep=True)
        started = trio.current_time()
        await client.send(STATUS)
        await trio.sleep(TIMING.response_s + 1)
        assert world.ended == [client.server]
        assert client.server.is_closed
        assert trio.current_time() - started < TIMING.response_s + 2


async def test_bytes_after_a_handshake_are_unread() -> None:
    """Frames that came together with the handshake are the WebSocket's, to the last byte."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes() + b"\r\n\x81\x80\0\0\0\0")
        assert (await client.reply()).status == 101
        await trio.testing.wait_all_tasks_blocked()
        assert world.first_bytes == [b"\r\n\x81\x80\0\0\0\0"]


async def test_other_upgrades_are_ignored() -> None:
    """``Upgrade: h2c``, as curl sends it, gets an ordinary answer (RFC 9110, 7.8)."""
    async with open_world() as world:
        client = await world.connect()
        for _ in range(2):
            reply = await client.request("GET", "/healthz", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings")
            assert reply.status == 200
