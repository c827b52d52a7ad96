"""``seatsync serve`` as processes: one or several workers, how they are replaced, and how everything ends."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket

import pytest
import trio
from attrs import define

from seatsync.serve import control
from tests.support.client import Answer, http, open_client
from tests.support.process import ServerProcess, children, command, ended, server_process
from tests.support.raw_socket import RawSocket, raw_websocket
from tests.support.waiting import eventually


@pytest.fixture
async def two(tmp_path: Path, database_url: str) -> AsyncIterator[ServerProcess]:
    """A supervisor with two workers."""
    async with server_process(tmp_path, database_url, WORKERS="2") as server:
        yield server


@asynccontextmanager
async def connections(server: ServerProcess, count: int) -> AsyncIterator[list[RawSocket]]:
    """So many WebSockets, open to the end of the block."""
    async with trio.open_nursery() as nursery:
        opened: list[RawSocket] = []
        everyone_is_done = trio.Event()

        async def open_one() -> None:
            async with raw_websocket(server.ws_port) as raw:
                opened.append(raw)
                await everyone_is_done.wait()

        for _ in range(count):
            nursery.start_soon(open_one)

        async def ask() -> bool:
            return len(opened) == count

        await eventually(ask)
        yield opened
        everyone_is_done.set()


async def says_goodbye(raw: RawSocket) -> None:
    """The server closes with 1001 and a window to come back in."""
    close = await raw.closed_cleanly()
    assert close.close_code == 1001
    advice = json.loads(close.close_reason)
    assert advice["reason"] == "drain"
    first, last = advice["retry_ms"]
    assert 0 <= first < last


async def test_workers_share_the_ports(two: ServerProcess) -> None:
    """Both are given the same free ports, and each takes a part of the connections; one scrape shows all of them."""
    async with connections(two, 40):
        open_by_worker = await two.connections()
        assert set(open_by_worker) == {"0", "1"}
        assert sum(open_by_worker.values()) == 40
        assert (await http(two.ws_port, "GET", "/readyz")).status == 200


async def test_log_lines_name_their_worker(two: ServerProcess) -> None:
    """All but the supervisor's own, from a worker's first line to its last."""
    async with connections(two, 10):
        pass
    two.tell(signal.SIGTERM)
    await two.wait()
    for event, count in {"feed_live": 2, "connection_closed": 10, "worker_ready": 2}.items():
        assert [line.get("worker") in {0, 1} for line in two.log(event)] == [True] * count
    assert sorted(str(line.get("worker")) for line in two.log("stopping")) == ["0", "1", "None"]


async def test_sigterm_drains_all_workers(two: ServerProcess) -> None:
    """Every connection of each is closed with 1001; the exit status is 0 and nobody is left."""
    pids = [two.pid, *two.workers().values()]
    async with connections(two, 20) as clients:
        two.tell(signal.SIGTERM)
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(says_goodbye, client)
        assert await two.wait() == 0
    await ended(pids)


async def test_a_second_sigterm_ends_at_once(two: ServerProcess) -> None:
    """Whoever does not answer the close is not waited for any more."""
    pids = [two.pid, *two.workers().values()]
    async with connections(two, 4):
        two.tell(signal.SIGTERM)
        await two.logs("stopping", 3)
        started = trio.current_time()
        two.tell(signal.SIGTERM)
        assert await two.wait() == 0
        assert trio.current_time() - started < 1.5
    await ended(pids)


async def test_a_dead_worker_is_started_again(two: ServerProcess) -> None:
    """The other one's clients do not notice, and no zombie stays behind."""
    workers = two.workers()
    async with connections(two, 40) as clients:
        open_by_worker = await two.connections()
        victim, other = (0, 1) if open_by_worker["0"] < open_by_worker["1"] else (1, 0)
        os.kill(workers[victim], signal.SIGKILL)
        await two.logs("worker_ready", 3)
        survivors = 0
        for client in clients:
            with suppress(trio.BrokenResourceError):
                await client.send_frame(0x1, b"1")
                survivors += await client.stream.receive_some() == b"\x81\x011"
        assert survivors == open_by_worker[str(other)]
    (died,) = two.log("worker_died")
    assert (died["worker"], died["status"]) == (victim, -signal.SIGKILL)
    assert two.workers()[other] == workers[other]
    assert workers[victim] not in children(two.pid)


@define
class Tally:
    """How a client that connects again and again has fared."""

    served: int = 0
    refused: int = 0
    told_to_go: int = 0


async def connect_again_and_again(server: ServerProcess, tally: Tally, enough: trio.Event) -> None:
    """Open a WebSocket, get an answer, and come again at once; whatever is not served counts as refused.

    It is told when to stop: trio-websocket leaves its socket open when it is cancelled in a handshake.
    """
    while not enough.is_set():
        try:
            async with open_client(server.ws_port) as client:
                with trio.fail_after(5):
                    await client.ws.send_message("1")
                    message = await client.ws.get_message()
                tally.served += message == "1"
        except Exception as error:  # noqa: BLE001 - whatever it is
            reason = getattr(error, "reason", None)
            if getattr(reason, "code", None) == 1001:
                tally.told_to_go += 1
            else:
                tally.refused += 1


async def ask_again_and_again(server: ServerProcess, tally: Tally, enough: trio.Event) -> None:
    """The same over HTTP."""
    while not enough.is_set():
        try:
            answer: Answer = await http(server.port, "POST", "/api/user/status", {})
        except Exception:  # noqa: BLE001 - whatever it is
            tally.refused += 1
        else:
            tally.served += answer.status == 200
            tally.refused += answer.status != 200


async def test_replacing_workers_refuses_nobody(two: ServerProcess) -> None:
    """SIGHUP, twice: clients that stay are closed with 1001; of those that come meanwhile all are served."""
    before = two.workers()
    tallies = [Tally() for _ in range(4)]
    enough = trio.Event()
    async with trio.open_nursery() as nursery:
        for tally in tallies[:2]:
            nursery.start_soon(connect_again_and_again, two, tally, enough)
        for tally in tallies[2:]:
            nursery.start_soon(ask_again_and_again, two, tally, enough)
        async with connections(two, 10) as clients:
            two.tell(signal.SIGHUP)
            for client in clients:
                await says_goodbye(client)
        await two.logs("worker_ready", 4)
        await ended([*before.values()])
        second = two.workers()
        two.tell(signal.SIGHUP)
        await two.logs("worker_ready", 6)
        await ended([*second.values()])
        enough.set()
    assert [tally.refused for tally in tallies] == [0, 0, 0, 0]
    assert min(tally.served for tally in tallies) > 20
    assert set(two.workers()) == {0, 1}
    assert set(two.workers().values()).isdisjoint(before.values())


async def test_replacements_leave_nothing_behind(two: ServerProcess) -> None:
    """No process too many, no zombie and no descriptor, in supervisor and workers, also after two signals at once."""

    def descriptors(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    before = descriptors(two.pid)
    two.tell(signal.SIGHUP)
    two.tell(signal.SIGHUP)
    await two.logs("worker_ready", 4)
    two.tell(signal.SIGHUP)
    await two.logs("worker_ready", 6)
    await eventually(lambda: quiet(two))
    assert descriptors(two.pid) == before
    first, second = (descriptors(pid) for pid in two.workers().values())
    assert abs(first - second) <= 1  # one may have opened another database connection


async def quiet(server: ServerProcess) -> bool:
    """There are as many children as there should be."""
    return len(children(server.pid)) == 2 == len(server.workers())


async def test_a_stop_may_come_while_workers_are_replaced(two: ServerProcess) -> None:
    """Old and new all end, with status 0."""
    pids = [two.pid, *two.workers().values()]
    two.tell(signal.SIGHUP)
    await two.logs("replacing_workers")
    two.tell(signal.SIGTERM)
    two.tell(signal.SIGHUP)
    pids += children(two.pid)
    assert await two.wait() == 0
    await ended(pids)


async def test_workers_outlive_no_supervisor(tmp_path: Path) -> None:
    """Killed, it leaves neither workers, who close their connections first, nor its PostgreSQL."""
    async with server_process(tmp_path, "", WORKERS="2") as server:
        pids = children(server.pid)
        assert len(pids) == 3
        async with connections(server, 10) as clients:
            server.tell(signal.SIGKILL)
            for client in clients:
                await says_goodbye(client)
        await ended(pids)


async def test_a_stuck_worker_holds_up_no_scrape(two: ServerProcess) -> None:
    """Its metrics are left out; those of the others come in time, again and again."""
    stuck = two.workers()[0]
    os.kill(stuck, signal.SIGSTOP)
    try:
        for _ in range(2):
            started = trio.current_time()
            assert set(await two.connections()) == {"1"}
            assert trio.current_time() - started < control.SCRAPE_S
    finally:
        os.kill(stuck, signal.SIGCONT)

    async def both() -> bool:
        return set(await two.connections()) == {"0", "1"}

    await eventually(both)


async def test_one_worker_is_one_process(tmp_path: Path, database_url: str) -> None:
    """There is no supervisor; when its terminal goes away, so does the server, cleanly."""
    async with server_process(tmp_path, database_url) as server:
        assert children(server.pid) == []
        async with connections(server, 3) as clients:
            server.tell(signal.SIGHUP)
            for client in clients:
                await says_goodbye(client)
            assert await server.wait() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stop_during_the_start_is_no_failure(tmp_path: Path, database_url: str, workers: str) -> None:
    """Waiting for a database that accepts connections and says nothing, the server ends at once, with status 0."""
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
            server.tell(signal.SIGTERM)
            assert await server.wait() == 0
            assert trio.current_time() - started < 2
            await ended(pids)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_bad_database_is_a_sentence_and_status_1(tmp_path: Path, workers: str) -> None:
    """Nothing is tried again and again."""
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    async with server_process(tmp_path, url, up=False, WORKERS=workers) as server:
        assert await server.wait() == 1
        said = server.log_path.read_text()
        assert said.startswith("seatsync: ")
        assert "Traceback" not in said


async def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    """To its supervisor, not on standard error, and ends with status 1."""
    ours, theirs = control.pair()
    said: list[tuple[bytes, bytes]] = []
    with theirs:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "seatsync.serve.worker", "0", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"DATABASE_URL": "nonsense"},
            cwd=tmp_path,
        )
    with trio.fail_after(10):
        await control.Channel(ours).run(lambda kind, payload: said.append((kind, payload)))
        assert await process.wait() == 1
    ((kind, payload),) = said
    assert kind == control.FAILED
    assert b"DATABASE_URL" in payload
    assert not command(process.pid)
