"""The end of a server: readiness first, then no new connections, answers to requests in flight, and clean closes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from seatsync.core.connections.table import spread_ms
from tests.support.client import PATIENCE_S, http
from tests.support.halls import held, make_hall, status_of, waits_for_a_lock
from tests.support.raw_socket import TEXT, RawSocket, raw_tcp, raw_websocket
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually

REQUEST = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/user/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"


@asynccontextmanager
async def ends_within(seconds: float, database_url: str, drain_timeout: str = "10") -> AsyncIterator[RunningServer]:
    """A server that has to end within that time after its stop, or after the block."""
    async with running_server(database_url, DRAIN_TIMEOUT=drain_timeout) as server:
        yield server
        started = trio.current_time()
    assert trio.current_time() - started < seconds


async def is_closed_with_advice(raw: RawSocket) -> None:
    """A clean close with 1001, and a window for the reconnect."""
    close = await raw.closed_cleanly()
    assert close.close_code == 1001
    assert json.loads(close.close_reason) == {"reason": "drain", "retry_ms": [0, 1000]}


async def is_refused(port: int) -> bool:
    """The port is closed."""
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return True
    await stream.aclose()
    return False


async def stopped(server: RunningServer) -> None:
    """Stop the server, and wait until it accepts no more connections."""
    server.stop.set()
    await eventually(lambda: is_refused(server.port))
    assert await is_refused(server.ws_port)


async def test_an_idle_server_ends_at_once(database_url: str) -> None:
    """Without connections the drain ends at once."""
    async with ends_within(1, database_url):
        pass


async def test_connections_are_closed_with_advice(database_url: str) -> None:
    """Each is closed with 1001; the server does not wait for connections that have ended."""
    async with (
        ends_within(1, database_url) as server,
        raw_websocket(server.ws_port) as one,
        raw_websocket(server.ws_port) as other,
    ):
        server.stop.set()
        await is_closed_with_advice(one)
        await is_closed_with_advice(other)


@pytest.mark.parametrize(
    ("connections", "window_ms"), [(0, 1000), (1, 1000), (2000, 1000), (5000, 2500), (20000, 10000)]
)
def test_the_window_grows_with_the_connections(connections: int, window_ms: int) -> None:
    """The reconnect window spreads clients over time: 2,000 a second, and one second at least."""
    assert spread_ms(connections) == window_ms


async def test_readiness_fails_first(database_url: str) -> None:
    """A probe on an open connection is answered as not ready, and the connection is closed."""
    async with running_server(database_url) as server, raw_websocket(server.ws_port), raw_tcp(server.port) as balancer:
        await stopped(server)
        await balancer.send(REQUEST)
        assert await balancer.response() == 503
        assert balancer.header("connection") == "close"
        assert b'"server":"stopping"' in balancer._buffer


async def test_in_the_delay_everything_but_readiness_is_as_before(database_url: str) -> None:
    """During DRAIN_DELAY new and old connections are served, and get updates; then all are closed with 1001."""
    async with running_server(database_url, DRAIN_DELAY="600") as server, server.client() as early:
        hall = await make_hall(server)
        await early.data("hall.subscribe", {"id": hall.id}, eid="early")
        server.stop.set()
        health = await eventually(lambda: health_of(server, 503))
        assert (health["ready"], health["server"]) == (False, "stopping")
        assert (await http(server.port, "GET", "/healthz")).status == 200
        async with server.client(await server.token("anna")) as late:
            await late.data("hall.subscribe", {"id": hall.id}, eid="late")
            write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
            await late.data("hall.update_seat_status", write)
            assert (await late.update("late"))["rev"] == (await early.update("early"))["rev"] == 2
            server.skip_delay.set()
            for client in (early, late):
                code, reason = await client.closed()
                assert (code, json.loads(reason or "")["reason"]) == (1001, "drain")
        await eventually(lambda: is_refused(server.port))


async def health_of(server: RunningServer, status: int) -> dict[str, Any]:
    """The answer of ``/readyz``, which is never empty; empty while it has another status."""
    answer = await http(server.port, "GET", "/readyz")
    return answer.json() if answer.status == status else {}


async def test_idle_http_connections_are_closed(database_url: str) -> None:
    """A kept-alive connection is closed at once; a new one may still send its first request for a second."""
    async with (
        ends_within(2, database_url) as server,
        raw_tcp(server.port) as kept_alive,
        raw_tcp(server.port) as fresh,
    ):
        await kept_alive.send(REQUEST)
        assert await kept_alive.response() == 200
        kept_alive._buffer = b""
        started = trio.current_time()
        server.stop.set()
        await kept_alive.ends()
        assert trio.current_time() - started < 0.5
        await fresh.ends()


async def test_requests_in_flight_are_answered(database_url: str) -> None:
    """The rest of a request that has begun is read, and the connection closed after its answer."""
    async with ends_within(1, database_url) as server, raw_tcp(server.port) as raw:
        await raw.send(POST)
        await trio.testing.wait_all_tasks_blocked()
        await stopped(server)
        await raw.send(b"{}")
        assert await raw.response() == 200
        assert raw.header("connection") == "close"


async def test_handshakes_in_flight_succeed(database_url: str) -> None:
    """A connected client completes its handshake and is then closed with reconnect advice."""
    async with ends_within(1, database_url) as server, raw_tcp(server.ws_port) as raw:
        await stopped(server)
        assert await raw.handshake() == 101
        await is_closed_with_advice(raw)


async def test_writes_in_flight_are_answered(database_url: str) -> None:
    """A write that was sent before the end is committed and answered before the close."""
    async with ends_within(3, database_url) as server:
        hall = await make_hall(server)
        async with server.client(await server.token("anna")) as anna:
            async with held(server, f"select from hall where id = {hall.id} for update"):
                eid = await anna.send(
                    "hall.update_seat_status", {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
                )
                await waits_for_a_lock(server)
                server.stop.set()
                await eventually(lambda: is_refused(server.port))
            assert (await anna.answer(eid))["error"] is None
            assert (await anna.closed())[0] == 1001
        assert await status_of(server, hall.seats[0]) == "OCCUPIED"


async def test_drain_timeout_bounds_the_end(database_url: str) -> None:
    """DRAIN_TIMEOUT bounds the wait for clients that do not answer the close and for unfinished requests."""
    async with (
        ends_within(2, database_url, drain_timeout="1") as server,
        raw_websocket(server.ws_port) as deaf,
        raw_tcp(server.port) as slow,
        raw_tcp(server.port) as dripping,
    ):
        await slow.send(POST)
        await dripping.send(POST[:20])
        server.stop.set()
        assert (await deaf.receive_close()).close_code == 1001
        with trio.fail_after(PATIENCE_S):
            await slow.stream.receive_some()


async def test_messages_after_the_close_are_skipped(database_url: str) -> None:
    """Messages after the close are not executed: the client sends them again to another server."""
    async with ends_within(1, database_url) as server, raw_websocket(server.ws_port) as raw:
        server.stop.set()
        close = await raw.receive_close()
        await raw.send_frame(TEXT, b'{"type":"user.status","eid":"late"}')
        await raw.send_frame(0x8, close.payload)
        await raw.ends()
