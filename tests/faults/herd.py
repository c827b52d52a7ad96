"""Drills with many clients at once."""

import resource
import signal
import time

from seatsync.load.stats import Count
from tests.faults.clients import Link
from tests.faults.drill import Outcome, Stage, drill
from tests.faults.postgres import running_postgres
from tests.faults.processes import wait_until
from tests.faults.scene import Scene, scene
from tests.faults.server import running_server

#: Limits, in seconds.
BACK_S, DRAIN_S = 3.0, 3.0

_BATCH = 500


@drill
def reconnect_at_once(stage: Stage) -> Outcome:
    """2,000 clients reconnect at once to a restarted server and resume, one worker."""
    count = int(stage.choose(2000, 500))
    outcome = Outcome()
    _allow_descriptors()
    with (
        running_postgres(stage.directory) as postgres,
        running_server(stage.directory, postgres.dsn) as server,
        scene(server, postgres.dsn, watchers=0, writers=0) as the_scene,
    ):
        _fill(the_scene, count)
        the_scene.sql_change()
        the_scene.live_from(0.0)
        watchers = the_scene.crowd.watchers
        for watcher in watchers:
            watcher.staying_away = True
        server.end(signal.SIGTERM)
        wait_until(lambda: not any(watcher.is_open for watcher in watchers), 5.0, "all connections have ended")
        the_scene.sql_change()
        server.start()
        counts = the_scene.crowd.stats.counts
        snapshots, resumed = counts[Count.SNAPSHOTS], counts[Count.RESUMED]
        for watcher in watchers:
            watcher.staying_away = False
        at = time.monotonic()
        the_scene.crowd.each(Link.connect, watchers)
        wait_until(lambda: the_scene.crowd.is_live, 30.0, "all clients are back")
        outcome.recovery_s = max(watcher.first_frame_at for watcher in watchers) - at
        outcome.measure("all are back", outcome.recovery_s, BACK_S)
        outcome.measure("resumed", counts[Count.RESUMED] - resumed, unit="clients")
        outcome.measure("snapshots", counts[Count.SNAPSHOTS] - snapshots, 0, unit="")
        the_scene.judge(outcome)
    return outcome


@drill
def drain_many(stage: Stage) -> Outcome:
    """SIGTERM with 5,000 connections: all see 1001 and when to come back."""
    count = int(stage.choose(5000, 1000))
    outcome = Outcome()
    _allow_descriptors()
    with (
        running_postgres(stage.directory) as postgres,
        running_server(stage.directory, postgres.dsn) as server,
        scene(server, postgres.dsn, watchers=0, writers=0) as the_scene,
    ):
        _fill(the_scene, count)
        watchers = the_scene.crowd.watchers
        for watcher in watchers:
            watcher.staying_away = True
        at = time.monotonic()
        status = server.end(signal.SIGTERM)
        outcome.measure("drain", time.monotonic() - at, DRAIN_S)
        outcome.require(status == 0, f"the exit status was {status}")
        wait_until(lambda: all(watcher.closings for watcher in watchers), 5.0, "all connections have ended")
        outcome.measure("last client notified", max(watcher.closings[0][0] for watcher in watchers) - at, DRAIN_S)
        clean = [watcher for watcher in watchers if watcher.closings[0][1].code == 1001]
        advised = [watcher.closings[0][1].retry_ms for watcher in clean]
        outcome.measure("closed with 1001", len(clean), unit="clients")
        outcome.require(len(clean) == count, f"connections ended with {the_scene.crowd.closings(at)}")
        outcome.require(None not in advised, "some clients got no advice on when to reconnect")
        outcome.measure("retry window", max(window[1] for window in advised if window) / 1000)
    return outcome


def _fill(scene: Scene, count: int) -> None:
    """Have that many watchers, live."""
    for first in range(0, count, _BATCH):
        scene.crowd.add_watchers(min(_BATCH, count - first))
        wait_until(lambda: scene.crowd.is_live, 30.0, "all watchers are live")


def _allow_descriptors() -> None:
    """Let this process have as many connections as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
