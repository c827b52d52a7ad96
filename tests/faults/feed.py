"""Drills that take the database, or the feed from it, away."""

import signal
import time

from tests.faults.clients import Watcher
from tests.faults.drill import Outcome, Stage, drill
from tests.faults.postgres import Postgres
from tests.faults.processes import wait_until
from tests.faults.scene import WATCHERS, Scene, on_own_postgres

#: Limits, in seconds.
DEAD_DETECTION_S, FROZEN_DETECTION_S, RECOVERY_S, STALE_S, ANSWER_S = 0.2, 2.5, 1.0, 5.0, 2.5

#: Clients that subscribe while the database is away.
NEWCOMERS = 8


@drill
def feed_killed(stage: Stage) -> Outcome:
    """pg_terminate_backend of the feed, three times in a row."""

    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        detected, recovered = [], []
        for _ in range(3):
            at = time.monotonic()
            outcome.require(postgres.end_feeds() == 1, "there was not exactly one feed to end")
            lost_at = scene.readiness.wait_lost(at)
            scene.sql_change()
            ready_at = scene.readiness.wait_ready(lost_at)
            scene.live_from(at)
            detected.append(lost_at - at)
            recovered.append(ready_at - at)
            time.sleep(0.5)
        outcome.detection_s, outcome.recovery_s = max(detected), max(recovered)
        outcome.measure("detection", max(detected), DEAD_DETECTION_S)
        outcome.measure("recovery", max(recovered), RECOVERY_S)
        outcome.require(
            not any(watcher.stale_at for watcher in scene.crowd.watchers),
            "watchers were notified of a loss shorter than a second",
        )

    return on_own_postgres(stage, run)


def _restart(stage: Stage, how: signal.Signals) -> Outcome:
    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        at = time.monotonic()
        postgres.stop(how)
        accepts_at = postgres.start()
        measure_loss(scene, outcome, at, accepts_at, detection_limit_s=DEAD_DETECTION_S)

    return on_own_postgres(stage, run)


def measure_loss(
    scene: Scene,
    outcome: Outcome,
    at: float,
    accepts_at: float,
    *,
    detection_limit_s: float,
    recovery_limit_s: float = RECOVERY_S,
) -> None:
    """The times of a loss that began at ``at`` and could end at ``accepts_at``."""
    lost_at = scene.readiness.wait_lost(at)
    ready_at = scene.readiness.wait_ready(max(accepts_at, lost_at))
    live_at = scene.live_from(ready_at)
    outcome.detection_s, outcome.recovery_s = lost_at - at, ready_at - accepts_at
    outcome.measure("detection", lost_at - at, detection_limit_s)
    outcome.measure("back to live", ready_at - accepts_at, recovery_limit_s)
    outcome.measure("every client has everything", live_at - accepts_at)
    outcome.measure("slowest answer to a write", scene.crowd.ledger.slowest_s, ANSWER_S)
    outcome.measure("unavailable", scene.crowd.ledger.unavailable, unit="answers")


def measure_stale(scene: Scene, outcome: Outcome, at: float) -> None:
    """Every client was notified of a loss that began at ``at``, neither too soon nor too late."""
    notified = scene.crowd.notified_stale(at)
    outcome.require(len(notified) >= WATCHERS, f"only {len(notified)} of {WATCHERS} watchers were notified of the loss")
    if notified:
        outcome.measure("clients are notified", max(notified) - at, STALE_S)
        outcome.require(min(notified) - at >= 0.9, "clients were notified before the loss had lasted a second")


@drill
def postgres_fast_restart(stage: Stage) -> Outcome:
    """A fast restart of PostgreSQL under load."""
    return _restart(stage, signal.SIGINT)


@drill
def postgres_immediate_restart(stage: Stage) -> Outcome:
    """An immediate restart of PostgreSQL under load: it has to recover from its log."""
    return _restart(stage, signal.SIGQUIT)


@drill
def postgres_frozen(stage: Stage) -> Outcome:
    """PostgreSQL frozen (SIGSTOP) for 10 s."""

    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        at = time.monotonic()
        postgres.freeze()
        time.sleep(1.5)
        _ask_while_away(scene, outcome)
        newcomers = _join_while_away(scene, outcome)
        time.sleep(max(0.0, at + stage.choose(10, 6) - time.monotonic()))
        postgres.thaw()
        measure_loss(scene, outcome, at, time.monotonic(), detection_limit_s=FROZEN_DETECTION_S)
        measure_stale(scene, outcome, at)
        outcome.require(not any(one.ended for one in newcomers), "subscriptions were refused")

    return on_own_postgres(stage, run)


@drill
def postgres_gone(stage: Stage) -> Outcome:
    """PostgreSQL gone for 30 s."""

    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        at = time.monotonic()
        postgres.stop(signal.SIGQUIT)
        _ask_while_away(scene, outcome)
        newcomers = _join_while_away(scene, outcome)
        time.sleep(max(0.0, at + stage.choose(30, 6) - time.monotonic()))
        measure_loss(scene, outcome, at, postgres.start(), detection_limit_s=DEAD_DETECTION_S)
        measure_stale(scene, outcome, at)
        outcome.require(not any(one.ended for one in newcomers), "subscriptions were refused")

    return on_own_postgres(stage, run)


def _ask_while_away(scene: Scene, outcome: Outcome) -> None:
    """Reads fail within 2 s while the database is away, and never return an empty result."""
    slowest = 0.0
    for method, data in (
        ("hall/get", {"id": scene.hall + 1000}),
        ("cinemas/get_cinemas", {}),
        ("user/auth_start", {"username": "drill"}),
    ):
        began = time.monotonic()
        answer = scene.call(method, data)
        slowest = max(slowest, time.monotonic() - began)
        outcome.require(
            answer["error"] == "ServiceUnavailable" and answer.get("retry_after", 0) > 0,
            f"{method} answered {answer['error']} while the database was away",
        )
    outcome.measure("slowest answer to a read", slowest, ANSWER_S)


def _join_while_away(scene: Scene, outcome: Outcome) -> list[Watcher]:
    """Clients that come while the database is away get the hall from memory, marked as old, and stay."""
    began = time.monotonic()
    newcomers = scene.crowd.add_watchers(NEWCOMERS)
    served_at = wait_until(
        lambda: all(one.is_live and one.stale for one in newcomers), ANSWER_S, "newcomers have the last snapshot"
    )
    outcome.measure("slowest first frame from memory", served_at - began, ANSWER_S)
    return newcomers
