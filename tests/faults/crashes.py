"""Drills that kill processes of the server, replace them, or step their clock."""

import http.client
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

from seatsync.client.closing import Closing
from tests.faults.clients import Link
from tests.faults.drill import Outcome, Skipped, Stage, drill
from tests.faults.postgres import running_postgres
from tests.faults.processes import is_alive, send_signal, wait_until
from tests.faults.readiness import Readiness
from tests.faults.scene import Scene, embedded_dsn, on_own_postgres, scene
from tests.faults.server import Server, running_server

#: A server that is killed leaves nothing behind after so many seconds.
ORPHANS_S = 10.0

#: A stopping server reports within this many seconds that it is not ready.
NOT_READY_S = 0.5

_SETTLE_S = 30.0

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@drill
def worker_killed(stage: Stage) -> Outcome:
    """kill -9 of each of two workers in turn, under writes."""

    def run(scene: Scene, _: object, outcome: Outcome) -> None:
        slowest = 0.0
        for pid in scene.server.worker_pids():
            at = time.monotonic()
            send_signal([pid], signal.SIGKILL)
            wait_until(lambda pid=pid: not is_alive(pid), 5, "the worker is dead")  # type: ignore[misc]
            back_at = _all_back(scene)
            replaced_at = wait_until(lambda: _workers_ready(scene.server, 2), _SETTLE_S, "there are two workers again")
            slowest = max(slowest, back_at - at)
            outcome.measure("another is started", replaced_at - at)
            time.sleep(1.0)
        outcome.recovery_s = slowest
        outcome.measure("every client has everything", slowest)

    return on_own_postgres(stage, run, workers=2)


def _all_back(scene: Scene) -> float:
    """When every client has connected again and has what is committed by now."""
    links = (*scene.crowd.watchers, *scene.crowd.writers)
    wait_until(lambda: all(link.is_open for link in links), _SETTLE_S, "every client has connected again")
    return scene.live_from(0.0)


def _workers_ready(server: Server, count: int) -> bool:
    return len(server.worker_pids()) == count and server.readiness().ready


def _killed_and_started(stage: Stage, *, workers: int) -> Outcome:
    """kill -9 of the main process on an embedded PostgreSQL, twice; then a start on the same data."""
    outcome = Outcome()
    with (
        running_server(stage.directory, None, workers=workers) as server,
        scene(server, embedded_dsn(stage.directory)) as the_scene,
    ):
        for _ in range(2):
            time.sleep(1.5)
            pids = server.all_pids()
            at = time.monotonic()
            send_signal([server.pid], signal.SIGKILL)
            assert server.process is not None
            server.process.wait()
            gone_at = wait_until(lambda: not any(map(is_alive, pids)), ORPHANS_S, "no process is left")  # noqa: B023
            outcome.measure("no process left", gone_at - at, ORPHANS_S)
            began = time.monotonic()
            ready_at = server.start()
            outcome.measure("start on the same data", ready_at - began)
            outcome.recovery_s = _all_back(the_scene) - began
        the_scene.judge(outcome)
    return outcome


@drill
def server_killed(stage: Stage) -> Outcome:
    """kill -9 of a whole server with its own PostgreSQL, under writes; started again on the same data."""
    return _killed_and_started(stage, workers=1)


@drill
def supervisor_killed(stage: Stage) -> Outcome:
    """kill -9 of the supervisor of two workers; they and PostgreSQL end, and a start on the same data works."""
    return _killed_and_started(stage, workers=2)


@drill
def restart_at_once(stage: Stage) -> Outcome:
    """kill -9 of a server and an immediate start on the same data, while its PostgreSQL may still be ending."""
    outcome = Outcome()
    with (
        running_server(stage.directory, None) as server,
        scene(server, embedded_dsn(stage.directory)) as the_scene,
    ):
        time.sleep(1.0)
        for _ in range(3):
            assert server.process is not None
            server.process.kill()
            server.process.wait()
            began = time.monotonic()
            outcome.measure("start on the same data", server.start() - began)
            outcome.recovery_s = _all_back(the_scene) - began
        the_scene.judge(outcome)
    return outcome


@drill
def drain(stage: Stage) -> Outcome:
    """SIGTERM under load: writes in flight are answered, every client receives 1001, exit status 0; then a start."""
    outcome = Outcome()
    with (
        running_postgres(stage.directory) as postgres,
        running_server(stage.directory, postgres.dsn, workers=2) as server,
        scene(server, postgres.dsn, pause_s=0.0) as the_scene,
    ):
        time.sleep(1.0)
        at = time.monotonic()
        status = server.end(signal.SIGTERM)
        outcome.measure("drain", time.monotonic() - at, 10.0)
        outcome.require(status == 0, f"the exit status was {status}")
        reported_at = the_scene.readiness.first(lambda state: not state.ready, at)
        outcome.require(reported_at is not None, "/readyz did not fail")
        outcome.detection_s = (reported_at or at) - at
        outcome.measure("not ready", outcome.detection_s, NOT_READY_S)
        closings = [_closing(link.closings, at) for link in (*the_scene.crowd.watchers, *the_scene.crowd.writers)]
        outcome.require(
            all(closing.code == 1001 and closing.retry_ms is not None for closing in closings),
            f"connections ended with {the_scene.crowd.closings(at)}",
        )
        server.start()
        began = time.monotonic()
        outcome.recovery_s = _all_back(the_scene) - began
        the_scene.judge(outcome)
    return outcome


def _closing(closings: list[tuple[float, Closing]], after: float) -> Closing:
    """How a connection ended first after that time."""
    return next((closing for at, closing in closings if at >= after), Closing(0, "not at all"))


@drill
def second_signal(stage: Stage) -> Outcome:
    """A second SIGTERM ends a server at once, although clients that do not read hold up its drain."""
    outcome = Outcome()
    with (
        running_postgres(stage.directory) as postgres,
        running_server(stage.directory, postgres.dsn, workers=2) as server,
        scene(server, postgres.dsn) as the_scene,
    ):
        the_scene.crowd.resting = True
        wait_until(lambda: the_scene.crowd.is_quiet, 5.0, "writers rest")
        the_scene.crowd.each(Link.pause, the_scene.crowd.watchers)
        send_signal([server.pid], signal.SIGTERM)
        time.sleep(0.5)
        outcome.require(is_alive(server.pid), "nothing held up the drain")
        pids = server.all_pids()
        at = time.monotonic()
        server.end(signal.SIGTERM)
        gone_at = wait_until(lambda: not any(map(is_alive, pids)), ORPHANS_S, "no process is left")
        outcome.measure("end", gone_at - at, 1.0)
        the_scene.crowd.each(Link.resume, the_scene.crowd.watchers)
        server.start()
        _all_back(the_scene)
        the_scene.judge(outcome)
    return outcome


@drill
def rolling_replacement(stage: Stage) -> Outcome:
    """SIGHUP replaces two workers under load, twice, once while one of them is killed; no connection is refused."""

    def run(scene: Scene, _: object, outcome: Outcome) -> None:
        server = scene.server
        with _knocking(server.port) as refused:
            at = time.monotonic()
            outcome.measure("both replaced", _replace(server) - at)
            wait_until(lambda: _workers_ready(server, 2), _SETTLE_S, "there are two workers")
            _all_back(scene)
            codes = {code for code, count in scene.crowd.closings(at).items() if count}
            outcome.require(codes == {1001}, f"connections ended with {scene.crowd.closings(at)}")
            last = server.worker_pids()[-1]
            threading.Timer(0.2, send_signal, ([last], signal.SIGKILL)).start()
            _replace(server)
            time.sleep(2.0)
            wait_until(lambda: _workers_ready(server, 2), _SETTLE_S, "there are two workers, no more and no less")
            outcome.recovery_s = _all_back(scene) - at
        outcome.require(not refused, f"{len(refused)} connections were refused")

    return on_own_postgres(stage, run, workers=2)


def _replace(server: Server) -> float:
    """Replace all workers; the time at which none of the old ones is left."""
    old = server.worker_pids()
    send_signal([server.pid], signal.SIGHUP)
    return wait_until(lambda: not any(map(is_alive, old)), _SETTLE_S, "the old workers are gone")


@contextmanager
def _knocking(port: int) -> Iterator[list[float]]:
    """New connections all the while; yields the times at which one was not served."""
    stopping = threading.Event()
    refused: list[float] = []

    def run() -> None:
        while not stopping.wait(0.02):
            if Readiness.ask(port) == Readiness():
                refused.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield refused
    finally:
        stopping.set()
        thread.join()


@drill
def clock_step(stage: Stage) -> Outcome:
    """The server's clock jumps an hour ahead and two hours back."""
    if not FAKETIME.exists():
        raise Skipped("libfaketime is not installed (Debian: apt install faketime).")
    offset = stage.directory / "offset"

    def step(to: str) -> None:
        fresh = offset.with_suffix(".new")
        fresh.write_text(f"{to}\n")
        fresh.chmod(0o644)
        fresh.replace(offset)

    step("+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    outcome = Outcome()
    with (
        running_postgres(stage.directory) as postgres,
        running_server(stage.directory, postgres.dsn, environment=faked) as server,
        scene(server, postgres.dsn) as the_scene,
    ):
        at = time.monotonic()
        for to in (3600, -3600, 0):
            step(f"{to:+}")
            time.sleep(stage.choose(5, 2))
            the_scene.sql_change()
            the_scene.live_from(at)
            outcome.require(abs(_clock(server) - time.time() - to) < 5, f"the clock was not stepped by {to} s")
        outcome.require(not the_scene.crowd.closings(at), f"connections ended: {the_scene.crowd.closings(at)}")
        outcome.require(the_scene.readiness.first(lambda state: not state.ready, at) is None, "it was not ready")
        the_scene.judge(outcome)
    return outcome


def _clock(server: Server) -> float:
    """The server's clock, from the Date field of a response."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return parsedate_to_datetime(connection.getresponse().headers["Date"]).timestamp()
    finally:
        connection.close()
