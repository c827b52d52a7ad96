"""The Python client when its connection, its server or the database goes: it is back by itself, and lacks nothing."""

import json
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from seatsync import errors
from seatsync.client import ClosedForGood, NoConnection, OutcomeUnknown, Timing, connect
from seatsync.client.link import HEARTBEAT
from seatsync.core.timing import Timing as ServerTiming
from tests.support.client import PATIENCE_S
from tests.support.follower import QUICK, following, is_true
from tests.support.halls import held, make_hall, waits_for_a_lock
from tests.support.process import server_process
from tests.support.proxy import proxy_to
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually

HALL = {"id": 7, "rev": 1, "epoch": "e", "seats": [{"id": 1, "status": "VACANT"}], "seat_types": []}


async def occupy(server: RunningServer, seat: int) -> None:
    """One revision, by SQL."""
    await server.sql(f"update seat set status = 'OCCUPIED' where id = {seat}")


@asynccontextmanager
async def fake_server(talk: Callable[[WebSocketConnection], Awaitable[None]]) -> AsyncIterator[tuple[int, list[str]]]:
    """A WebSocket server that does as it is told; its port, and the path of each connection."""
    paths: list[str] = []

    async def serve(request: WebSocketRequest) -> None:
        paths.append(request.path)
        with suppress(ConnectionClosed):
            await talk(await request.accept())

    async with trio.open_nursery() as nursery:
        listening = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, None)
        yield listening.port, paths
        nursery.cancel_scope.cancel()


async def requested(ws: WebSocketConnection, method: str = "hall.subscribe") -> dict[str, Any]:
    """The next request for that method."""
    while (text := await ws.get_message()) == HEARTBEAT or json.loads(text)["type"] != method:
        pass
    found: dict[str, Any] = json.loads(text)
    return found


async def answer(ws: WebSocketConnection, request: dict[str, Any], status: str, data: Any) -> None:
    """Send a frame of a subscription."""
    frame = {"type": request["type"], "status": status, "data": data, "error": None, "eid": request["eid"], "ts": 1}
    await ws.send_message(json.dumps(frame))


async def test_a_mute_connection_is_lost(server: RunningServer) -> None:
    """Nobody closes it, and nothing comes; what was missed comes without a snapshot when there is a way again."""
    hall = await make_hall(server)
    async with (
        proxy_to(f"tcp://127.0.0.1:{server.port}") as proxy,
        connect(f"127.0.0.1:{proxy.port}", timing=QUICK) as seats,
        following(seats.hall(hall.id)) as follower,
    ):
        await follower.until(lambda change: change.is_snapshot)
        proxy.freeze()
        lost = await follower.until(lambda change: change.lost)
        assert lost.lost == f"no answer for {QUICK.dead_s:g} s (1006)"
        known = len(follower.changes)
        for seat in hall.seats:
            await occupy(server, seat)
        proxy.thaw()
        change = await follower.until(lambda change: not change.lost and change.rev == 5)
        missed = follower.changes[known:]
        assert not any(one.is_snapshot for one in missed)
        assert [seat["id"] for one in missed for seat in one.changed] == hall.seats
        await is_true(server, change)


async def test_a_server_that_sends_and_does_not_answer_is_lost() -> None:
    """Updates are no answers: what this side sends may reach nobody."""

    async def talk(ws: WebSocketConnection) -> None:
        request = await requested(ws)
        await answer(ws, request, "snapshot", HALL)
        while True:
            await answer(ws, request, "update", {"id": 7, "stale": False})
            await trio.sleep(0.02)

    async with fake_server(talk) as (port, _), connect(f"ws://127.0.0.1:{port}", timing=QUICK) as seats:
        with trio.fail_after(PATIENCE_S):
            while "no answer" not in str((await anext(seats.hall(7))).lost):
                pass


async def test_a_long_message_is_no_silence() -> None:
    """On a slow link a snapshot may take longer than an answer has time for."""
    done = trio.Event()

    async def dribble(ws: WebSocketConnection) -> None:
        request = await requested(ws)
        send_all = ws._stream.send_all

        async def slowly(data: bytes) -> None:
            size = len(data) // 12 + 1
            for start in range(0, len(data), size):
                await send_all(data[start : start + size])
                await trio.sleep(QUICK.dead_s / 5)

        ws._stream.send_all = slowly  # type: ignore[assignment,method-assign]
        await answer(ws, request, "snapshot", HALL)
        await done.wait()

    async with fake_server(dribble) as (port, paths), connect(f"ws://127.0.0.1:{port}", timing=QUICK) as seats:
        assert (await anext(seats.hall(7))).is_snapshot
        done.set()
    assert len(paths) == 1


async def test_a_killed_server(database_url: str, server: RunningServer, tmp_path: Path) -> None:
    """The client is back when it is, and makes the write whose outcome it does not know once."""
    hall = await make_hall(server)
    token = await server.token("anna")
    async with server_process(tmp_path, database_url) as process:
        ports = (str(process.port), str(process.ws_port))
        async with (
            connect(f"127.0.0.1:{process.ws_port}", token, timing=QUICK) as seats,
            following(seats.hall(hall.id)) as follower,
            trio.open_nursery() as nursery,
        ):
            await follower.until(lambda change: change.is_snapshot)

            async def write() -> None:
                item = {"seat_id": hall.seats[0], "status": "RESERVED", "expected": "VACANT"}
                assert (await seats.update_seats(hall.id, [item]))["rev"] == 2

            async with held(server, f"update seat set note = null where id = {hall.seats[0]}"):
                nursery.start_soon(write)
                await waits_for_a_lock(server)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                await follower.until(lambda change: change.lost)
            (tmp_path / "again").mkdir()
            async with server_process(tmp_path / "again", database_url, PORT=ports[0], WS_PORT=ports[1]):
                change = await follower.until(lambda change: change.rev == 2 and not change.lost)
                await is_true(server, change)
            assert len({change.lost for change in follower.changes}) <= 3


async def test_a_drain(database_url: str, server: RunningServer) -> None:
    """Its advice is followed, to another server; there is the same hall, with what has changed meanwhile."""
    hall = await make_hall(server)
    async with (
        running_server(database_url) as drained,
        proxy_to(f"tcp://127.0.0.1:{drained.port}") as proxy,
        connect(f"127.0.0.1:{proxy.port}", timing=QUICK) as seats,
        following(seats.hall(hall.id)) as follower,
    ):
        await follower.until(lambda change: change.is_snapshot)
        proxy.target = f"tcp://127.0.0.1:{server.port}"
        drained.stop.set()
        await follower.until(lambda change: change.lost == "drain (1001)")
        await occupy(server, hall.seats[0])
        await is_true(server, await follower.until(lambda change: change.rev == 2 and not change.lost))


async def test_a_lost_database(database_url: str, server: RunningServer) -> None:
    """The hall is stale until the server has its database, and what was missed, again."""
    hall = await make_hall(server)
    async with (
        proxy_to(database_url) as proxy,
        running_server(proxy.url, timing=ServerTiming(stale_after_s=0.1, waiting_after_s=0.3)) as behind,
        connect(f"127.0.0.1:{behind.port}", timing=QUICK) as seats,
        following(seats.hall(hall.id)) as follower,
        following(seats.cinemas()) as listed,
    ):
        await follower.until(lambda change: change.is_snapshot)
        await listed.until(lambda change: change.is_snapshot)
        proxy.cut()
        await follower.until(lambda change: change.stale)
        await listed.until(lambda change: change.stale)
        await occupy(server, hall.seats[0])
        async with following(seats.hall(4711)) as waiting:
            change = await waiting.until(lambda change: change.stale)
            assert (change.state, change.rev) == ({"id": 4711, "seats": [], "seat_types": []}, 0)
            proxy.restore()
            assert isinstance(await waiting.ended(), errors.HallNotFound)
        await is_true(server, await follower.until(lambda change: change.rev == 2 and not change.stale))
        await listed.until(lambda change: not change.stale)


async def test_a_stale_mark_ends_with_its_connection() -> None:
    """The next one has its own, or none."""

    async def talk(ws: WebSocketConnection) -> None:
        request = await requested(ws)
        if "since" in request["data"]:
            await answer(ws, request, "update", {"id": 7, "rev": 1, "seats": [], "seat_types": [], "resumed": True})
            await ws.get_message()
        await answer(ws, request, "snapshot", {**HALL, "stale": True})
        await ws.aclose(1001)

    async with fake_server(talk) as (port, _), connect(f"127.0.0.1:{port}", timing=QUICK) as seats:
        changes = seats.hall(7)
        assert (await anext(changes)).stale
        assert (await anext(changes)).lost
        change = await anext(changes)
        assert (change.lost, change.stale) == (None, False)


async def test_a_missing_revision_is_asked_for() -> None:
    """What is shown is never a part: the client resumes from what it has; a revision it has changes nothing."""
    requests: list[Any] = []

    async def talk(ws: WebSocketConnection) -> None:
        request = await requested(ws)
        await answer(ws, request, "snapshot", HALL)
        seat = {"id": 1, "status": "OCCUPIED"}
        await answer(ws, request, "update", {"id": 7, "rev": 1, "seats": [seat], "seat_types": []})
        await answer(ws, request, "update", {"id": 7, "rev": 5, "from": 3, "seats": [seat], "seat_types": []})
        requests.append((await requested(ws, "hall.unsubscribe"))["data"]["sub_eid"] == request["eid"])
        request = await requested(ws)
        requests.append(request["data"])
        update = {"id": 7, "rev": 5, "from": 2, "seats": [seat], "seat_types": [], "resumed": True}
        await answer(ws, request, "update", update)
        await ws.get_message()

    async with fake_server(talk) as (port, _), connect(f"127.0.0.1:{port}", timing=QUICK) as seats:
        changes = seats.hall(7)
        assert (await anext(changes)).rev == 1
        last = await anext(changes)
        assert (last.rev, last.state["seats"]) == (5, [{"id": 1, "status": "OCCUPIED"}])
    assert requests == [True, {"id": 7, "since": 1, "epoch": "e"}]


async def test_an_error_of_a_newer_server() -> None:
    """Its code is kept, and ends the iteration; one that passes, as the server says when."""

    async def talk(ws: WebSocketConnection) -> None:
        for error in ({"error": "ServiceUnavailable", "retry_after": 0.01}, {"error": "Novelty", "retry_after": 9}):
            eid = (await requested(ws))["eid"]
            frame = {"type": "hall.subscribe", "status": "error", "data": None, "eid": eid, "message": "No.", "ts": 1}
            await ws.send_message(json.dumps(frame | error))
        await requested(ws, "never")

    async with fake_server(talk) as (port, _), connect(f"127.0.0.1:{port}", timing=QUICK) as seats:
        with pytest.raises(errors.SeatSyncError, match="No") as raised:
            await anext(seats.hall(7))
    assert (raised.value.code, raised.value.retry_after) == ("Novelty", 9)


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009])
async def test_a_code_that_forbids_another_connection(code: int) -> None:
    """Iterations, calls under way and later ones end with an error that says so."""

    async def talk(ws: WebSocketConnection) -> None:
        await requested(ws)
        await ws.aclose(code, "so not")

    async with fake_server(talk) as (port, paths), connect(f"127.0.0.1:{port}", timing=QUICK) as seats:
        async with following(seats.hall(7)) as follower:
            assert isinstance(await follower.ended(), ClosedForGood)
        with pytest.raises(ClosedForGood, match=f"so not \\({code}\\)"):
            await seats.call("user.status")
        with pytest.raises(ClosedForGood):
            await anext(seats.hall(7))
    assert len(paths) == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1001, "a plain text"),
        (1008, "[1]"),
        (1011, '{"retry_ms": 5}'),
        (1013, '{"retry_ms": [0, 1e999]}'),
        (4001, '{"retry_ms": [-5, -1]}'),
        (4008, '{"retry_ms": ["a", null]}'),
    ],
)
async def test_other_codes_are_followed_by_another_connection(code: int, reason: str) -> None:
    """Whatever stands in the reason. Calls under way have an unknown outcome."""

    async def talk(ws: WebSocketConnection) -> None:
        if len(paths) == 1:
            await requested(ws, "user.status")
            await ws.aclose(code, reason)
        await requested(ws, "never")

    async with fake_server(talk) as (port, paths), connect(f"127.0.0.1:{port}", timing=QUICK) as seats:
        with pytest.raises(OutcomeUnknown):
            await seats.call("user.status")
        assert str(code) in str((await anext(seats.hall(7))).lost)

        async def is_back() -> bool:
            return len(paths) > 1

        await eventually(is_back)


async def test_tls(server: RunningServer) -> None:
    """A certificate that is trusted will do, another one is an error in words, and so is a mistaken scheme."""
    authority, behind = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    authority.issue_cert("localhost").configure_cert(behind)

    async def forward(stream: trio.SSLStream[trio.SocketStream]) -> None:
        async def copy(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                while data := await source.receive_some():
                    await sink.send_all(data)
            nursery.cancel_scope.cancel()

        async with await trio.open_tcp_stream("127.0.0.1", server.port) as plain, trio.open_nursery() as nursery:
            nursery.start_soon(copy, stream, plain)
            nursery.start_soon(copy, plain, stream)
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_ssl_over_tcp, forward, 0, behind, host="127.0.0.1", https_compatible=True)
        (listener,) = await nursery.start(serve)
        port = listener.transport_listener.socket.getsockname()[1]
        async with connect(f"https://localhost:{port}", tls=trusting) as seats:
            assert (await seats.call("user.status"))["status"] == "guest"
        await is_refused(f"wss://localhost:{port}", "certificate")
        await is_refused(f"http://localhost:{port}", "does not speak WebSocket")
        await is_refused(f"wss://localhost:{server.port}", "does not speak TLS")
        nursery.cancel_scope.cancel()


async def is_refused(url: str, words: str) -> None:
    """No connection is made, which is said in one sentence at once."""
    with trio.fail_after(2), pytest.raises(NoConnection, match=words) as raised:
        async with connect(url):
            pass
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
async def test_something_else_is_there(says: bytes) -> None:
    """A server of another protocol, or one that hangs up."""

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some(1)
        await stream.send_all(says)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, talk, 0, host="127.0.0.1"))
        await is_refused(f"127.0.0.1:{listener.socket.getsockname()[1]}", "There is no server at")
        nursery.cancel_scope.cancel()


async def test_a_server_that_refuses_says_why(server: RunningServer) -> None:
    """The words of its answer are in the error."""
    await is_refused(f"http://localhost:{server.port}/elsewhere", "it answers 404 There is nothing here")
    async with proxy_to(f"tcp://127.0.0.1:{server.port}") as proxy:
        proxy.freeze()
        await is_refused_in(QUICK, f"localhost:{proxy.port}")


async def is_refused_in(timing: Timing, url: str) -> None:
    """A server that never answers is given up after the time for a handshake."""
    with trio.fail_after(2 * timing.handshake_s), pytest.raises(NoConnection, match="nothing answers within 1 s"):
        async with connect(url, timing=timing):
            pass


async def test_a_server_below_a_path() -> None:
    """As behind a proxy that has other services, too."""

    async def talk(ws: WebSocketConnection) -> None:
        await requested(ws, "never")

    async with fake_server(talk) as (port, paths):
        for url in (f"http://localhost:{port}/seats/", f"ws://localhost:{port}/seats/ws", f"localhost:{port}"):
            async with connect(url):
                pass
    assert paths == ["/seats/ws", "/seats/ws", "/ws"]
