"""Drills in which somebody else is in the way: the queue of notifications, a lock, the disk."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import errors

from seatsync import jsontext
from seatsync.core.postgres.faults import DatabaseFull, DatabaseTooSlow
from seatsync.hall.writes import BLOCKED
from tests.faults.clients import Link
from tests.faults.drill import Outcome, Skipped, Stage, drill
from tests.faults.postgres import Postgres, running_postgres
from tests.faults.processes import wait_until
from tests.faults.scene import WRITERS, Scene, on_own_postgres, scene
from tests.faults.server import Server, running_server
from tests.faults.truth import UNAFFECTED_S, followed, unaffected
from tests.support.database import open_session
from tests.support.places import filled, small_disk
from tests.support.sql import Session

#: Limits, in seconds: for an answer of whatever kind; until what is wrong is named; until all is well again.
ANSWER_S, NAMED_S, RECOVERY_S = 2.5, 2.5, 2.0

#: Room for a cluster, and for what the load of a drill adds to it.
DISK_MB = 200

TOO_LONG, NO_ROOM = DatabaseTooSlow.for_clients, DatabaseFull.for_clients


# A listener that holds the queue of notifications up


@drill
def stuck_listener(stage: Stage) -> Outcome:
    """A session that listens idles in a transaction until the queue of notifications, a small one, is full."""

    def run(scene: Scene, postgres: Postgres, outcome: Outcome) -> None:
        ledger = scene.crowd.ledger
        with followed(scene) as truth, open_session(postgres.dsn) as stuck, open_session(postgres.dsn) as other:
            stuck.do("listen seatsync")
            stuck.do("begin; select 1")
            pid = stuck.connection.info.backend_pid
            half_at = fill(other, 0.5)
            named_at = scene.readiness.wait(
                lambda one: one.database.startswith("notification queue"), half_at, 10.0, "the queue is named"
            )
            outcome.detection_s = named_at - half_at
            outcome.measure("named", named_at - half_at, NAMED_S)
            line = logged(scene.server, "notification_queue_filling")
            outcome.require(line.get("pid") == pid, f"the log does not name {pid}: {line}")
            unaffected(scene, outcome, "hall until it is full")
            full_at = fill(other, 1.0)
            time.sleep(stage.choose(6, 3))
            outcome.require(ledger.unavailable > 0, "writes were answered although nothing can be committed")
            outcome.require(set(ledger.reasons) == {NO_ROOM}, f"writes failed otherwise: {dict(ledger.reasons)}")
            read(scene, outcome)
            outcome.require(
                scene.readiness.first(lambda one: one.ready, full_at) is None, "the server was ready while it was full"
            )
            outcome.require(scene.readiness.first(lambda one: one.feed == "lost", full_at) is None, "the feed was lost")
            at = time.monotonic()
            other.value("select pg_terminate_backend($1)", pid)
            recover(scene, outcome, at)
            truth.judge(outcome)

    return on_own_postgres(stage, run, arguments=("-c", "max_notify_queue_pages=256"))


def fill(session: Session, usage: float) -> float:
    """Fill the queue of notifications as far as that, 1 until it takes no more; the time."""
    notify = "select pg_notify('x', gen_random_uuid() || repeat('x', 7000))"
    try:
        while float(session.value("select pg_notification_queue_usage()")) < usage:
            session.rows(notify)
        return time.monotonic()
    except errors.ProgramLimitExceeded:
        return time.monotonic()


def logged(server: Server, event: str) -> dict[str, Any]:
    """The first line of the server's log of that event, once it is there."""

    def lines() -> list[str]:
        return [line for line in server.log_path.read_text(errors="replace").splitlines() if f'"{event}"' in line]

    wait_until(lambda: bool(lines()), 5.0, f"{event} is logged")
    return dict(jsontext.loads(lines()[0]))


def read(scene: Scene, outcome: Outcome) -> None:
    """The hall is read, and a new watcher gets it, whatever is blocked."""
    began = time.monotonic()
    answer = scene.call("hall/get", {"id": scene.hall})
    outcome.require(answer["error"] is None, f"the hall could not be read: {answer}")
    (late,) = scene.crowd.add_watchers(1)
    live_at = wait_until(lambda: late.is_live, 5.0, "a new watcher has the hall")
    outcome.measure("the hall is read, and a new client has it", live_at - began, UNAFFECTED_S)


def recover(scene: Scene, outcome: Outcome, at: float) -> None:
    """From ``at`` on all is well: ready, writes are answered, and every client has every change."""
    ledger = scene.crowd.ledger
    answered = len(ledger.answers)
    try:
        ready_at = scene.readiness.wait_ready(at)
        written_at = wait_until(lambda: len(ledger.answers) > answered, 10.0, "writes are answered again")
        live_at = scene.live_from(at)
    except TimeoutError as error:
        outcome.faults.append(f"{error}")
        return
    outcome.recovery_s = max(ready_at, written_at, live_at) - at
    outcome.measure("ready again", ready_at - at, RECOVERY_S)
    outcome.measure("writes are answered again", written_at - at, RECOVERY_S)
    outcome.measure("slowest answer to a write", ledger.slowest_s, ANSWER_S)
    outcome.measure("unavailable", ledger.unavailable, unit="answers")


# Locks


@drill
def locked_table(stage: Stage) -> Outcome:
    """Another role locks the table of seats, that of users, and one hall: the rest goes on, and the server is ready."""

    def run(one: Scene, postgres: Postgres, outcome: Outcome) -> None:
        postgres.sql("create role clerk login")
        postgres.sql("grant select, update on seat, app_user, hall to clerk")
        held_s = stage.choose(6, 3)
        with (
            scene(one.server, one.dsn, name="Other") as other,
            followed(one) as truth,
            followed(other) as truth_of_other,
        ):
            quiet, unread = (
                int(one.server.run("seed", "hall", "--seats", "100", "--name", name)) for name in ("Quiet", "Unread")
            )
            one.call("hall/get", {"id": quiet})
            at = one.readiness.wait_ready(time.monotonic())
            with held(postgres, "lock table seat in access exclusive mode", outcome, one, held_s):
                ask_while_locked(one, outcome, quiet, unread)
            with held(postgres, "lock table app_user in access exclusive mode", outcome, one, held_s):
                changed_at = time.monotonic()
                one.sql_change()
                outcome.measure("a change by SQL is shown", one.live_from(changed_at) - changed_at, UNAFFECTED_S)
            answered = len(other.crowd.ledger.answers) + WRITERS
            wait_until(lambda: len(other.crowd.ledger.answers) > answered, 10.0, "the other hall is changed again")
            before = other.crowd.ledger.unavailable
            other.crowd.ledger.slowest_s = 0.0
            with held(postgres, f"select from hall where id = {one.hall} for update", outcome, one, held_s):
                pass
            outcome.measure("slowest write in the other hall", other.crowd.ledger.slowest_s, UNAFFECTED_S)
            outcome.require(other.crowd.ledger.unavailable == before, "writes in the other hall were not possible")
            for each in (one, other):
                reasons = each.crowd.ledger.reasons
                outcome.require(set(reasons) <= {TOO_LONG, BLOCKED}, f"writes failed otherwise: {dict(reasons)}")
            unready_at = one.readiness.first(lambda answer: not answer.ready, at)
            outcome.require(unready_at is None, "the server was not ready")
            truth.judge(outcome, "hall")
            truth_of_other.judge(outcome, "other hall")
            other.judge(outcome)

    return on_own_postgres(stage, run)


@contextmanager
def held(postgres: Postgres, lock: str, outcome: Outcome, scene: Scene, seconds: float) -> Iterator[None]:
    """Hold a lock for so long, the block included; then writes are answered again."""
    ledger = scene.crowd.ledger
    before = ledger.unavailable
    with open_session(postgres.dsn_of("clerk")) as clerk:
        clerk.do(f"begin; {lock}")
        at = time.monotonic()
        yield
        time.sleep(max(0.0, at + seconds - time.monotonic()))
        outcome.require(ledger.unavailable > before, f"writes were answered in spite of: {lock}")
        clerk.do("rollback")
    recover(scene, outcome, time.monotonic())


def ask_while_locked(scene: Scene, outcome: Outcome, quiet: int, unread: int) -> None:
    """What is in memory is served; who needs the table is told that it takes too long; who comes back resumes."""
    began = time.monotonic()
    answer = scene.call("hall/get", {"id": quiet})
    outcome.require(answer["error"] is None, f"a hall in memory was not served: {answer['error']}")
    back = scene.crowd.watchers[:4]
    scene.crowd.each(Link.drop, back)
    back_at = wait_until(lambda: all(one.is_live for one in back), 5.0, "clients that come back resume")
    outcome.measure("served from memory", back_at - began, UNAFFECTED_S)
    began = time.monotonic()
    answer = scene.call("hall/get", {"id": unread})
    outcome.measure("slowest answer to a read", time.monotonic() - began, ANSWER_S)
    told = (answer["error"], answer.get("message"))
    outcome.require(told == ("ServiceUnavailable", TOO_LONG), f"a hall that is locked was answered with {told}")


# A full disk


@drill
def full_disk(stage: Stage) -> Outcome:
    """The disk of PostgreSQL is full, and then it is not: what can be read is served, and no write is lost."""
    outcome = Outcome()
    with (
        own_disk() as disk,
        running_postgres(disk, "-c", "min_wal_size=32MB", "-c", "max_wal_size=32MB") as postgres,
        running_server(stage.directory, postgres.dsn) as server,
        scene(server, postgres.dsn) as the_scene,
        followed(the_scene) as truth,
    ):
        ledger = the_scene.crowd.ledger
        time.sleep(1.0)
        unaffected(the_scene, outcome, "hall until it is full")
        # Room in the log for what fails: without any PostgreSQL ends itself, which is another drill's fault.
        postgres.sql("select pg_switch_wal()")
        postgres.sql("checkpoint")
        with filled(disk):
            full_at = wait_until(lambda: ledger.unavailable > 0, 20.0, "a write finds the disk full")
            named_at = the_scene.readiness.wait(
                lambda one: one.database == "disk full", full_at, 10.0, "the full disk is named"
            )
            error = logged(server, "database_full")["error"]
            outcome.require("No space left on device" in error, f"the log does not say why: {error}")
            read(the_scene, outcome)
            time.sleep(stage.choose(6, 3))
            outcome.require(set(ledger.reasons) == {NO_ROOM}, f"writes failed otherwise: {dict(ledger.reasons)}")
            ready = the_scene.readiness.first(lambda one: one.ready, named_at)
            outcome.require(ready is None, "the server was ready while the disk was full")
        outcome.detection_s = named_at - full_at
        outcome.measure("named", named_at - full_at, NAMED_S)
        recover(the_scene, outcome, time.monotonic())
        truth.judge(outcome)
        the_scene.judge(outcome)
    return outcome


@contextmanager
def own_disk() -> Iterator[Path]:
    """A small disk of the drill's own; raises `Skipped` where none may be mounted."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(DISK_MB))
        except pytest.skip.Exception as error:
            raise Skipped(f"{error}.") from None
        yield disk
