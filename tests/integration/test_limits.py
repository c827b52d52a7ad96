"""Floods and half-open connections: the limits, the refusals, and no effect on other clients.

Clients of these servers come from addresses of their own: the server trusts this machine as a proxy.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import structlog
import trio

from seatsync.core.connections.connection import MAX_SUBSCRIPTIONS
from seatsync.core.net.limits import SPARE_SOCKETS
from seatsync.core.timing import Timing
from tests.support.client import Client, http, open_client
from tests.support.raw_socket import CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, frame, raw_tcp, raw_websocket
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually, metric_is

HERE, THERE = "192.0.2.1", "198.51.100.7"
STATUS = frame(TEXT, b'{"type":"user.status","eid":"s"}')

RATE, BURST = 5, 20


@pytest.fixture
async def strict(database_url: str) -> AsyncIterator[RunningServer]:
    """A server with tight limits, behind a proxy."""
    async with running_server(
        database_url,
        TRUSTED_PROXIES="127.0.0.0/8,::1/128",
        MESSAGES_PER_SECOND=str(RATE),
        REQUESTS_PER_SECOND="3",
        MAX_CONNECTIONS_PER_ADDRESS="6",
    ) as server:
        yield server


def come_from(address: str) -> dict[str, str]:
    """The header field that the proxy adds."""
    return {"X-Forwarded-For": address}


async def answers_others(server: RunningServer) -> None:
    """A client at another address is served."""
    with trio.fail_after(2):
        async with open_client(server.ws_port, [(b"X-Forwarded-For", THERE.encode())]) as client:
            assert (await client.call("user.status"))["error"] is None
        assert (await http(server.port, "POST", "/api/user/status", {}, come_from(THERE))).status == 200


async def next_answer(raw: RawSocket) -> dict[str, object]:
    """The next message, decoded."""
    answer: dict[str, object] = json.loads(await raw.receive_text())
    return answer


async def test_too_many_messages_are_refused(strict: RunningServer) -> None:
    """Each excess message is answered with the time to wait, after which the client is served. The log has one line."""
    async with raw_websocket(strict.ws_port, come_from(HERE)) as raw:
        with structlog.testing.capture_logs() as logs:
            await raw.send(STATUS * (BURST + 10))
            errors = [(await next_answer(raw))["error"] for _ in range(BURST)]
            refusals = [await next_answer(raw) for _ in range(10)]
        assert errors == [None] * BURST
        assert {refusal["error"] for refusal in refusals} == {"RateLimitExceeded"}
        assert {refusal["eid"] for refusal in refusals} == {"s"}
        wait_s = refusals[-1]["retry_after"]
        assert isinstance(wait_s, float)
        assert [line["error"] for line in logs if line["event"] == "request_failed"] == ["RateLimitExceeded"]
        await answers_others(strict)
        await trio.sleep(wait_s)
        await raw.send(STATUS)
        assert (await next_answer(raw))["error"] is None


FLOODS = {
    "requests": STATUS,
    "noise": frame(TEXT, b"x"),
    "heartbeats": frame(TEXT, b"1"),
    "pings": frame(PING, b"x"),
    "pongs": frame(PONG),
    "empty fragments": frame(CONTINUATION, b"", last=False),
    "subscriptions": frame(TEXT, b'{"type":"cinemas.subscribe","eid":"s"}'),
    "unknown methods": frame(TEXT, b'{"type":"no.such"}'),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_client_that_ignores_the_limit_is_closed(strict: RunningServer, flood: bytes) -> None:
    """Frames of any kind beyond another bucketful end in 1008. The log has a few lines and not one for each frame."""
    async with raw_websocket(strict.ws_port, come_from(HERE)) as raw:
        if flood == FLOODS["empty fragments"]:
            await raw.send(frame(TEXT, b"", last=False))
        with structlog.testing.capture_logs() as logs:
            await raw.send(flood * (3 * BURST))
            close = await raw.closed_cleanly()
        assert close.close_code == 1008
        assert json.loads(close.close_reason) == {"reason": "rate limit"}
        assert len([line for line in logs if line["event"] == "request_failed"]) <= BURST + 2
    await answers_others(strict)


async def test_pings_beyond_the_limit_are_not_answered(strict: RunningServer) -> None:
    """A flood of pings is not answered with a flood of pongs."""
    async with raw_websocket(strict.ws_port, come_from(HERE)) as raw:
        await raw.send(frame(PING, b"x") * (BURST + 15))
        await raw.send_frame(CLOSE, (1000).to_bytes(2))
        answered = 0
        while (received := await raw.receive()).opcode != CLOSE:
            answered += received.opcode == PONG
        assert answered == BURST


async def test_too_many_requests_are_429(strict: RunningServer) -> None:
    """Excess requests and handshakes get 429 with the time to wait; other addresses and health checks are served."""
    statuses = []
    with structlog.testing.capture_logs() as logs:
        for _ in range(20):
            answer = await http(strict.port, "POST", "/api/user/status", {}, come_from(HERE))
            statuses.append(answer.status)
    assert statuses[:12] == [200] * 12
    assert set(statuses[13:]) == {429}
    assert (answer.json()["error"], int(answer.header("retry-after") or 0)) == ("TooManyRequests", 2)
    assert [line["error"] for line in logs if line["event"] == "request_failed"] == ["TooManyRequests"]
    async with raw_tcp(strict.ws_port) as raw:
        assert await raw.handshake(headers=come_from(HERE)) == 429
        assert int(raw.header("retry-after") or 0) > 0
    assert (await http(strict.port, "GET", "/readyz", None, come_from(HERE))).status == 200
    await answers_others(strict)


async def test_one_address_has_its_share_of_connections(strict: RunningServer) -> None:
    """A handshake beyond the share of its address gets 503; when a connection ends, the next is accepted."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(raw_websocket(strict.ws_port, come_from(HERE))) for _ in range(6)]
        async with raw_tcp(strict.ws_port) as raw:
            assert await raw.handshake(headers=come_from(HERE)) == 503
            assert b"TooManyConnections" in raw._buffer
        await answers_others(strict)
        await opened[0].stream.aclose()
        await metric_is(strict.port, "connections", 5)
        async with raw_websocket(strict.ws_port, come_from(HERE)) as raw:
            await raw.send(STATUS)
            assert (await next_answer(raw))["error"] is None


async def test_this_machine_has_no_limits(strict: RunningServer) -> None:
    """Loopback has no limits, since load generators run there."""
    async with raw_websocket(strict.ws_port) as raw:
        await raw.send(STATUS * 500)
        for _ in range(500):
            assert (await next_answer(raw))["error"] is None
    for _ in range(20):
        assert (await http(strict.port, "POST", "/api/user/status", {})).status == 200


async def test_a_flood_of_subscriptions_has_its_bound(database_url: str) -> None:
    """The subscriptions of a connection are bounded; others are served, and ending them all leaks nothing."""

    async def fill(client: Client) -> set[object]:
        eids = [await client.send("cinemas.subscribe") for _ in range(3 * MAX_SUBSCRIPTIONS)]
        return {(await client.answer(eid))["error"] for eid in eids}

    async with running_server(database_url, TRUSTED_PROXIES="127.0.0.0/8,::1/128") as server:
        async with open_client(server.ws_port, [(b"X-Forwarded-For", HERE.encode())]) as client:
            assert await fill(client) == {None, "TooManySubscriptions"}
            await metric_is(server.port, "subscriptions", MAX_SUBSCRIPTIONS)
            await answers_others(server)
        await metric_is(server.port, "subscriptions", 0)


async def test_half_open_connections_have_a_deadline(database_url: str) -> None:
    """A silent connection is closed, a trickling request gets 408; others connect meanwhile."""
    async with (
        running_server(database_url, timing=Timing(head_s=0.3)) as server,
        raw_tcp(server.ws_port) as silent,
        raw_tcp(server.ws_port) as trickling,
    ):
        await trickling.send(b"GET /ws HTTP/1.1\r\nHost: ")
        async with raw_websocket(server.ws_port) as good:
            await good.send(STATUS)
            assert (await next_answer(good))["error"] is None
            await silent.ends()
            assert await trickling.response() == 408


async def test_sockets_of_any_protocol_are_bounded(database_url: str) -> None:
    """Beyond MAX_CONNECTIONS and a few more sockets are closed at once, until the silent ones reach their deadline."""
    async with running_server(database_url, timing=Timing(head_s=2.0), MAX_CONNECTIONS="10") as server:
        with structlog.testing.capture_logs() as logs:
            async with AsyncExitStack() as stack:
                silent = [await stack.enter_async_context(raw_tcp(server.port)) for _ in range(10 + SPARE_SOCKETS)]
                for _ in range(3):
                    async with raw_tcp(server.port) as refused:
                        await refused.ends()
                for raw in silent:
                    await raw.ends()

        async def is_served() -> bool:
            async with raw_tcp(server.port) as raw:
                await raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return bool(await raw.stream.receive_some())

        await eventually(is_served)
        assert [line["event"] for line in logs] == ["sockets_refused"]


async def test_a_full_server_answers_every_handshake(database_url: str) -> None:
    """Clients beyond the capacity get reconnect advice, and open connections are served."""
    codes: list[int] = []

    async def try_it(server: RunningServer) -> None:
        async with raw_websocket(server.ws_port) as raw:
            codes.append((await raw.closed_cleanly()).close_code)

    async with running_server(database_url, MAX_CONNECTIONS="1") as server, raw_websocket(server.ws_port) as first:
        await first.send(STATUS)
        await next_answer(first)  # by now its own line is written
        with structlog.testing.capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(try_it, server)
        assert [line["error"] for line in logs] == ["TooManyConnections"]
        await first.send(STATUS)
        assert (await next_answer(first))["error"] is None
    assert codes == [1013] * 100
