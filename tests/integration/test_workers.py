"""``seatsync serve`` as processes: one or several workers, how they are replaced, and how everything ends."""

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket

import pytest
import trio
from attrs import define, evolve

from seatsync.serve.supervisor import launch
from tests.support.client import Answer, http, open_client
from tests.support.places import copy_cluster, scratch_directory
from tests.support.process import ServerProcess, children, ended, server_process
from tests.support.raw_socket import RawSocket, raw_websocket
from tests.support.server import server_settings
from tests.support.waiting import eventually


@pytest.fixture
async def two(tmp_path: Path, database_url: str) -> AsyncIterator[ServerProcess]:
    """A supervisor with two workers."""
    async with server_process(tmp_path, database_url, WORKERS="2", LOG_LEVEL="debug") as server:
        yield server


@asynccontextmanager
async def connections(server: ServerProcess, count: int) -> AsyncIterator[list[RawSocket]]:
    """WebSockets that are open to the end of the block."""
    async with trio.open_nursery() as nursery:
        opened: list[RawSocket] = []
        done = trio.Event()

        async def open_one() -> None:
            async with raw_websocket(server.ws_port) as raw:
                opened.append(raw)
                await done.wait()

        for _ in range(count):
            nursery.start_soon(open_one)

        async def all_open() -> bool:
            return len(opened) == count

        await eventually(all_open)
        yield opened
        done.set()


async def closes_with_advice(raw: RawSocket) -> None:
    """The server closes with 1001 and a window for the reconnect; the client closes its end, too."""
    close = await raw.closed_cleanly()
    await raw.stream.aclose()
    assert close.close_code == 1001
    advice = json.loads(close.close_reason)
    assert advice["reason"] == "drain"
    first, last = advice["retry_ms"]
    assert 0 <= first < last


async def replace(server: ServerProcess, *, clients: int) -> None:
    """Replace the first two workers; each client is closed with advice, and the old workers end."""
    before = server.workers()
    async with connections(server, clients) as opened:
        server.send_signal(signal.SIGHUP)
        for client in opened:
            await closes_with_advice(client)
    await server.logs("worker_ready", 4)
    await ended([*before.values()])


async def test_sigterm_drains_all_workers(two: ServerProcess) -> None:
    """Every connection of each is closed with 1001, the exit status is 0, and no process is left.

    So too where a service manager signals the workers as well: each receives SIGTERM twice. All log lines but the
    supervisor's own name their worker, from a worker's first line to its last.
    """
    pids = [*two.workers().values(), two.pid]
    async with connections(two, 20) as clients:
        for count, pid in enumerate(pids, 1):
            os.kill(pid, signal.SIGTERM)
            await two.logs("stopping", count)
        await two.logs("stopping", 3)
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(closes_with_advice, client)
        assert await two.wait() == 0
    await ended(pids)
    for event, count in {"feed_live": 2, "connection_closed": 20, "worker_ready": 2}.items():
        assert [line.get("worker") in {0, 1} for line in two.log(event)] == [True] * count
    assert sorted(str(line.get("worker")) for line in two.log("stopping")) == ["0", "1", "None"]


async def test_the_drain_waits_for_balancers(tmp_path: Path, database_url: str) -> None:
    """For DRAIN_DELAY after SIGTERM every worker reports that it is not ready, and serves; then it drains."""
    async with server_process(tmp_path, database_url, WORKERS="2", DRAIN_DELAY="2") as server:
        pids = [*server.workers().values(), server.pid]
        async with connections(server, 4) as clients:
            started = trio.current_time()
            server.send_signal(signal.SIGTERM)
            await server.logs("stopping", 3)
            for _ in range(4):
                assert (await http(server.port, "GET", "/readyz")).status == 503
            async with connections(server, 4) as late:
                for client in (*clients, *late):
                    await client.send_frame(0x1, b"1")
                    assert await client.receive_text() == "1"
                for client in (*clients, *late):
                    await closes_with_advice(client)
        assert await server.wait() == 0
        assert trio.current_time() - started >= 2
        await ended(pids)


@pytest.mark.parametrize(("workers", "delay"), [("1", "600"), ("2", "0")], ids=["delay", "drain of workers"])
async def test_a_second_signal_ends_at_once(tmp_path: Path, database_url: str, workers: str, delay: str) -> None:
    """The delay, or the drain, which waits no longer for clients that do not answer the close; so ends the server."""
    async with server_process(tmp_path, database_url, WORKERS=workers, DRAIN_DELAY=delay) as server:
        pids = [server.pid, *server.workers().values()]
        async with connections(server, 4):
            server.send_signal(signal.SIGTERM)
            await server.logs("stopping", len(pids))
            started = trio.current_time()
            server.send_signal(signal.SIGINT)
            assert await server.wait() == 0
            assert trio.current_time() - started < 1.5
        await ended(pids)


async def test_workers_share_the_ports(two: ServerProcess) -> None:
    """Each worker accepts a part of the connections, and one scrape covers all, also while a worker is stuck.

    A dead worker is restarted without a zombie. The other's clients are not affected.
    """
    workers = two.workers()
    async with connections(two, 40) as clients:
        open_by_worker = await two.connections_are(40)
        assert (await http(two.ws_port, "GET", "/readyz")).status == 200
        victim, other = (0, 1) if open_by_worker["0"] < open_by_worker["1"] else (1, 0)
        os.kill(workers[victim], signal.SIGSTOP)
        started = trio.current_time()
        assert set(await two.connections()) == {"0", "1"}
        assert trio.current_time() - started < 1
        os.kill(workers[victim], signal.SIGKILL)
        await two.logs("worker_ready", 3)
        survivors = 0
        for client in clients:
            with suppress(trio.BrokenResourceError):
                await client.send_frame(0x1, b"1")
                survivors += await client.stream.receive_some() == b"\x81\x011"
        assert survivors == open_by_worker[str(other)]
        await two.connections_are(survivors)
    (died,) = two.log("worker_died")
    assert (died["worker"], died["status"]) == (victim, -signal.SIGKILL)
    assert two.workers()[other] == workers[other]
    assert workers[victim] not in children(two.pid)


PAUSE_S = 0.03
"""Between two connections of a client in a loop: the workers that start meanwhile need the cores."""


@define
class Tally:
    """The outcomes of a client that reconnects in a loop."""

    served: int = 0
    refused: int = 0
    drained: int = 0


async def connect_in_a_loop(server: ServerProcess, tally: Tally, enough: trio.Event) -> None:
    """Open a WebSocket, get an answer, and reconnect; any failure counts as refused.

    It stops at an event: trio-websocket leaves its socket open when it is cancelled in a handshake.
    """
    while not enough.is_set():
        await trio.sleep(PAUSE_S)
        try:
            async with open_client(server.ws_port) as client:
                with trio.fail_after(5):
                    await client.ws.send_message("1")
                    message = await client.ws.get_message()
                tally.served += message == "1"
        except Exception as error:  # noqa: BLE001 - whatever it is
            reason = getattr(error, "reason", None)
            if getattr(reason, "code", None) == 1001:
                tally.drained += 1
            else:
                tally.refused += 1


async def request_in_a_loop(server: ServerProcess, tally: Tally, enough: trio.Event) -> None:
    """The same over HTTP."""
    while not enough.is_set():
        await trio.sleep(PAUSE_S)
        try:
            answer: Answer = await http(server.port, "POST", "/api/user/status", {})
        except Exception:  # noqa: BLE001 - whatever it is
            tally.refused += 1
        else:
            tally.served += answer.status == 200
            tally.refused += answer.status != 200


async def test_replacing_workers_refuses_no_client(two: ServerProcess) -> None:
    """SIGHUP, once and then twice in a row: clients that stay are closed with 1001; all that come meanwhile are served.

    Afterwards there is no process too many, no zombie and no descriptor, in supervisor and workers. A stop during a
    replacement ends old and new workers, with status 0.
    """
    before = two.workers()
    open_before = descriptors(two.pid)
    tallies = [Tally() for _ in range(4)]
    enough = trio.Event()
    async with trio.open_nursery() as nursery:
        for tally in tallies[:2]:
            nursery.start_soon(connect_in_a_loop, two, tally, enough)
        for tally in tallies[2:]:
            nursery.start_soon(request_in_a_loop, two, tally, enough)
        await replace(two, clients=10)
        second = two.workers()
        two.send_signal(signal.SIGHUP)
        two.send_signal(signal.SIGHUP)
        await two.logs("worker_ready", 6)
        await ended([*second.values()])
        enough.set()
    assert [tally.refused for tally in tallies] == [0, 0, 0, 0]
    assert min(tally.served for tally in tallies) > 20
    assert set(two.workers().values()).isdisjoint(before.values())
    await eventually(lambda: quiet(two, open_before))
    assert set(two.workers()) == {0, 1}
    await eventually(lambda: alike(two))
    pids = [two.pid, *two.workers().values()]
    replacements = len(two.log("replacing_workers"))
    two.send_signal(signal.SIGHUP)
    await two.logs("replacing_workers", replacements + 1)
    two.send_signal(signal.SIGTERM)
    two.send_signal(signal.SIGHUP)
    pids += children(two.pid)
    assert await two.wait() == 0
    await ended(pids)


def descriptors(pid: int) -> int:
    """The number of open descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def alike(server: ServerProcess) -> bool:
    """Both workers have as many descriptors open; one may have opened another database connection."""
    first, second = (descriptors(pid) for pid in server.workers().values())
    return abs(first - second) <= 1


async def quiet(server: ServerProcess, open_descriptors: int) -> bool:
    """The supervisor has the expected number of children, and no descriptor too many."""
    return len(children(server.pid)) == 2 == len(server.workers()) and descriptors(server.pid) == open_descriptors


async def test_workers_that_have_no_part_end_without_delay(new_cluster: Path) -> None:
    """DRAIN_DELAY is for the server as a whole: a balancer is to notice nothing while a successor serves.

    After a kill of the supervisor nothing holds its ports: its workers close their connections and end, and so does
    its PostgreSQL.
    """
    with scratch_directory() as directory:
        copy_cluster(new_cluster, directory / "data" / "postgres")
        async with server_process(directory, "", WORKERS="2", DRAIN_DELAY="600") as server:
            before = server.workers()
            await replace(server, clients=4)
            assert (await http(server.port, "GET", "/readyz")).status == 200
            assert set(server.workers().values()).isdisjoint(before.values())
            pids = children(server.pid)
            assert len(pids) == 3
            async with connections(server, 10) as clients:
                server.send_signal(signal.SIGKILL)
                for client in clients:
                    await closes_with_advice(client)
            await ended(pids)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stop_during_the_start_is_no_failure(tmp_path: Path, database_url: str, workers: str) -> None:
    """A stop while it waits for a database that accepts and stays silent ends it at once, with status 0."""
    with socket(AF_INET, SOCK_STREAM) as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        mute.setblocking(False)
        listen_url = f"postgresql://postgres@127.0.0.1:{mute.getsockname()[1]}/postgres"
        async with server_process(tmp_path, database_url, up=False, WORKERS=workers, LISTEN_URL=listen_url) as server:
            with trio.fail_after(20):
                await trio.lowlevel.wait_readable(mute)
            pids = [server.pid, *children(server.pid)]
            started = trio.current_time()
            server.send_signal(signal.SIGTERM)
            assert await server.wait() == 0
            assert trio.current_time() - started < 2
            await ended(pids)


async def test_a_worker_that_cannot_start_reports_why(tmp_path: Path) -> None:
    """A worker that cannot start reports the reason to its supervisor, not on standard error, and exits with 1."""
    worker, control = await launch(0, [], tmp_path, evolve(server_settings("postgresql://"), database_url="nonsense"))
    async with control:
        with trio.fail_after(10):
            report = b"".join([data async for data in control])
            assert await worker.wait() == 1
    assert report.startswith(b"DATABASE_URL ")
