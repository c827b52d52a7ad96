"""Closes by the server: at its stop, after an internal fault, and at capacity."""

import json
from importlib.metadata import version
from platform import python_version
from typing import Any

import pytest
import structlog

from seatsync.app import NO_ROOM_RETRY_MS
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query
from seatsync.core.protocol import envelope as protocol
from tests.support.halls import held, make_hall, waits_for_a_lock
from tests.support.raw_socket import CLOSE, PING, TEXT, RawSocket, raw_websocket
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually, metric_is


async def answers(raw: RawSocket) -> None:
    """The connection still answers."""
    await raw.send_frame(TEXT, b"1")
    assert await raw.receive_text() == "1"


async def test_ping_after_the_servers_close(server: RunningServer) -> None:
    """Pings and messages that cross the server's close are ignored."""
    with structlog.testing.capture_logs() as logs:
        async with raw_websocket(server.ws_port) as raw:
            server.stop.set()
            close = await raw.receive_close()
            await raw.send_frame(PING, b"late")
            await raw.send_frame(TEXT, b"1")
            await raw.send_frame(TEXT, b'{"type":"user.status"}')
            await raw.send_frame(CLOSE, close.payload)
            await raw.ends()
    assert close.close_code == 1001
    assert [line for line in logs if line["log_level"] in {"error", "critical"}] == []


async def test_stop_closes_with_advice(server: RunningServer) -> None:
    """A stopping server closes every connection with 1001 and a range of reconnect delays."""
    async with server.client() as one, server.client() as two:
        server.stop.set()
        for client in (one, two):
            code, reason = await client.closed()
            advice = json.loads(reason or "")
            assert (code, advice["reason"]) == (1001, "drain")
            start, end = advice["retry_ms"]
            assert 0 == start < end


async def test_stop_answers_requests_in_flight(server: RunningServer) -> None:
    """A stopping server answers the writes in flight before it closes."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        async with held(server, f"update seat set status = 'OCCUPIED' where id = {hall.seats[3]}"):
            for seat in hall.seats[:3]:
                await anna.send("hall.update_seat_status", {"hall_id": hall.id, "seat_id": seat, "status": "OCCUPIED"})
            await waits_for_a_lock(server)
            server.stop.set()
        assert (await anna.closed())[0] == 1001
        assert [frame["error"] for frame in anna.unread] == [None] * 3


async def test_fault_of_a_method(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a method is an InternalServerError without details; the connection stays open."""

    async def fetchval(self: Database, query: Query, *args: Any, **options: Any) -> Any:
        if query.name == "list":
            raise RuntimeError("a secret of the inside")
        return await real(self, query, *args, **options)

    real = Database.fetchval
    monkeypatch.setattr(Database, "fetchval", fetchval)
    with structlog.testing.capture_logs() as logs:
        async with server.client() as client:
            for method in ("cinemas.get_cinemas", "cinemas.subscribe"):
                answer = await client.call(method, eid="e")
                assert answer["error"] == "InternalServerError"
                assert "secret" not in json.dumps(answer)
            await client.heartbeat()
    assert [line["event"] for line in logs].count("method_fault") == 2


async def test_fault_of_a_connection(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a connection closes that connection alone with 1011."""

    def broken(_: str) -> protocol.Request:
        raise RuntimeError("a secret of the inside")

    async with raw_websocket(server.ws_port) as other, raw_websocket(server.ws_port) as raw:
        with structlog.testing.capture_logs() as logs, monkeypatch.context() as patch:
            patch.setattr(protocol, "decode", broken)
            await raw.send_frame(TEXT, b"{}")
            close = await raw.closed_cleanly()
        assert (close.close_code, json.loads(close.close_reason)) == (1011, {"reason": "fault"})
        assert "connection_fault" in {line["event"] for line in logs}
        await answers(other)


async def test_no_room_for_another_connection(database_url: str) -> None:
    """Beyond MAX_CONNECTIONS a connection is closed with 1013 and advice, until another has ended."""
    async with running_server(database_url, MAX_CONNECTIONS="1") as server:
        async with raw_websocket(server.ws_port) as first:
            async with raw_websocket(server.ws_port) as second:
                close = await second.closed_cleanly()
                assert close.close_code == 1013
                assert json.loads(close.close_reason) == {"reason": "full", "retry_ms": [*NO_ROOM_RETRY_MS]}
            await answers(first)

        async def fits() -> bool:
            async with raw_websocket(server.ws_port) as third:
                await third.send_frame(TEXT, b"1")
                return (await third.receive()).opcode == TEXT

        await eventually(fits)


async def test_closes_are_counted_by_code(database_url: str) -> None:
    """By the client's code or the server's; those that only a client may choose are one, so that labels are bounded."""
    async with running_server(database_url, MAX_CONNECTIONS="1") as server:
        payloads = {"1000": b"\x03\xe8", "1005": b"", "other": b"\x0f\xa2", "1009": None, "1006": None}
        for code, payload in payloads.items():
            async with raw_websocket(server.ws_port) as raw:
                if payload is not None:
                    await raw.send_frame(CLOSE, payload)
                elif code == "1009":
                    await raw.send_frame(TEXT, b"x" * (server.settings.max_message_bytes + 1))
                    assert (await raw.receive_close()).close_code == 1009
            await metric_is(server.port, f'closes_total{{code="{code}"}}', 1)
        async with raw_websocket(server.ws_port), raw_websocket(server.ws_port) as refused:
            assert (await refused.receive_close()).close_code == 1013
            await metric_is(server.port, 'closes_total{code="1013"}', 1)


async def test_the_build_is_a_metric(server: RunningServer) -> None:
    """With the version of PostgreSQL, which the first check of the database finds out."""
    postgres = (await server.value("show server_version")).partition(" ")[0]
    labels = f'postgres="{postgres}",python="{python_version()}",version="{version("seatsync")}"'
    await metric_is(server.port, f"build_info{{{labels}}}", 1)
