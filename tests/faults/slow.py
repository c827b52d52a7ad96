"""Drills with clients that do not read."""

import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

from attrs import frozen

from seatsync.load.stats import Histogram
from tests.faults.clients import Link
from tests.faults.crowd import Crowd
from tests.faults.drill import Outcome, Stage, drill
from tests.faults.pacer import paced_changes
from tests.faults.postgres import Postgres, running_postgres
from tests.faults.processes import memory_kib, tcp_memory_kib, wait_until
from tests.faults.scene import Scene, on_own_postgres, scene
from tests.faults.server import running_server

#: Limits.
P99_RATIO, MEMORY_MIB = 1.2, 32

#: Changes a second: for the memory, and for the latency, where this side must not be what is measured.
BUSY, CALM = 100.0, 20.0

#: How long the server bears with a client that takes nothing, in seconds; and by when it has acted on that.
PATIENCE_S, CLOSED_S = 120.0, 126.0


@drill
def stalled_reader(stage: Stage) -> Outcome:
    """A client stops reading for a minute under load; then one frame makes it right again."""

    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        (slow,) = scene.crowd.add_watchers(1)
        wait_until(lambda: slow.is_live, 10.0, "the slow client is live")
        scene.crowd.each(Link.pause, [slow])
        with paced_changes(postgres.dsn, scene.seats[-40:], rate=20, at_once=40):
            time.sleep(stage.choose(30, 6))
            midway = scene.revision()
            time.sleep(stage.choose(30, 6))
        scene.crowd.resting = True
        wait_until(lambda: scene.crowd.is_quiet, 10.0, "writers rest")
        behind = scene.revision() - slow.verifier.view.rev
        slow.merged.clear()
        at = time.monotonic()
        scene.crowd.each(Link.resume, [slow])
        outcome.recovery_s = scene.live_from(at) - at
        outcome.require(not slow.closings, f"it was closed: {slow.closings}")
        outcome.measure("behind by", behind, unit="revisions")
        # While the kernel's buffers still grew the server may have sent one that waited there: it is out of date.
        outcome.measure("frames that made up for it", slow.makes_up_for_much(midway), 1, unit="")

    return on_own_postgres(stage, run)


@drill
def reader_lost(stage: Stage) -> Outcome:
    """A client that reads no more is closed with 4008 after two minutes, comes back and resumes."""

    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        (slow,) = scene.crowd.add_watchers(1)
        wait_until(lambda: slow.is_live, 10.0, "the slow client is live")
        scene.crowd.each(Link.pause, [slow])
        with paced_changes(postgres.dsn, scene.seats[-40:], rate=20, at_once=40):
            time.sleep(CLOSED_S)
        scene.crowd.each(Link.resume, [slow])
        scene.live_from(0.0)
        codes = [closing.code for _, closing in slow.closings]
        outcome.require(codes in ([4008], [1006]), f"it was closed with {codes}")
        outcome.measure("close code", codes[0] if codes else 0, unit="")

    return on_own_postgres(stage, run)


@drill
def stalled_beside_healthy(stage: Stage) -> Outcome:
    """500 stalled clients beside 500 healthy ones: memory at 100 changes a second, latency at 20, three times."""
    outcome = Outcome()
    longest = _stall(stage, outcome, stall_s=stage.choose(60, 10), measured_s=stage.choose(20, 6))
    outcome.measure("memory", longest.memory_mib, MEMORY_MIB, unit="MiB more")
    outcome.measure("the kernel's buffers", longest.buffers_mib, unit="MiB more")
    outcome.measure("meanwhile", longest.changes_per_s, unit="changes/s")
    # Three of them, for a machine has slower and faster half minutes of its own.
    more = int(stage.choose(2, 0))
    stalls = [longest, *(_stall(stage, outcome, stall_s=20, measured_s=10) for _ in range(more))]
    for percent in (50, 99):
        without = median(stall.without.percentile(percent) for stall in stalls)
        beside = median(stall.beside.percentile(percent) for stall in stalls)
        outcome.measure(f"p{percent} without", without * 1000, unit="ms")
        outcome.measure(f"p{percent} beside", beside * 1000, unit="ms")
    ratio = median(stall.beside.percentile(99) / stall.without.percentile(99) for stall in stalls)
    outcome.measure("p99 ratio", ratio, P99_RATIO, unit="")
    return outcome


@frozen
class _Stall:
    """The result of one stall."""

    without: Histogram
    """The latency of healthy clients alone."""
    beside: Histogram
    """The same beside as many that have stalled."""
    memory_mib: float
    """Memory that the server took for them, in bytes."""
    buffers_mib: float
    """Memory that the kernel took."""
    changes_per_s: float


def _stall(stage: Stage, outcome: Outcome, *, stall_s: float, measured_s: float) -> _Stall:
    """Stall as many clients as there are healthy ones for so long; faults go to ``outcome``."""
    each, directory = int(stage.choose(500, 150)), Path(tempfile.mkdtemp(dir=stage.directory))
    with (
        running_postgres(directory) as postgres,
        running_server(directory, postgres.dsn) as server,
        scene(server, postgres.dsn, watchers=each, writers=0) as the_scene,
    ):
        crowd, seats = the_scene.crowd, the_scene.seats[:100]
        with paced_changes(postgres.dsn, seats, rate=CALM):
            without = _latency(crowd, measured_s)
        stalled = crowd.add_watchers(each)
        wait_until(lambda: crowd.is_live, 30.0, "all watchers are live")
        memory_kib_before, buffers_kib_before = memory_kib(server.pid), tcp_memory_kib()
        crowd.each(Link.pause, stalled)
        with paced_changes(postgres.dsn, seats, rate=BUSY) as committed:
            time.sleep(stall_s)
            memory_mib = (memory_kib(server.pid) - memory_kib_before) / 1024
            buffers_mib = (tcp_memory_kib() - buffers_kib_before) / 1024
        changes_per_s = len(committed) / stall_s
        with paced_changes(postgres.dsn, seats, rate=CALM):
            beside = _latency(crowd, measured_s)
        crowd.each(Link.resume, stalled)
        the_scene.judge(outcome)
    return _Stall(without, beside, memory_mib, buffers_mib, changes_per_s)


def _latency(crowd: Crowd, seconds: float) -> Histogram:
    """From a change (the database's clock) to each reading watcher, over so many seconds from now."""
    histogram = Histogram()
    to_wall = time.time() - time.monotonic()

    def harvest() -> None:
        for step in crowd.views.steps:
            if step.received:
                changed = max(seat[1] for seat in step.to.seats.values())
                start = datetime.fromisoformat(changed).timestamp() - to_wall
                histogram.record_all(step.received, start)

    def begin() -> None:
        for step in crowd.views.steps:
            step.received.clear()
        crowd.on_steps = harvest

    def end() -> None:
        harvest()
        for step in crowd.views.steps:
            step.received.clear()
        crowd.on_steps = None

    crowd.call(begin)
    time.sleep(seconds)
    crowd.call(end)
    return histogram
