"""What the watchers of a hall were shown, and when: compared with the history of the database."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psycopg

from seatsync.load.view import STATUSES, Counts, View
from tests.faults.drill import Outcome
from tests.faults.postgres import rows
from tests.faults.scene import Scene
from tests.support.database import open_session

#: By when every watcher has a change, in seconds, whatever becomes of the notification.
SHOWN_S = 5.0

#: For an answer that does not depend on what is wrong, in seconds.
UNAFFECTED_S = 1.0

_POLL_S = 0.02

_HALL = "select rev, wire_epoch(epoch) as epoch from hall where id = $1"
_TYPES = "select id, seat_type_id from seat where hall_id = $1"
_HISTORY = """
select rev, seat_id, new_status::text as status, note
from seat_event
where hall_id = $1 and new_status is not null
order by rev
"""


class Truth:
    """Keeps every view of a hall that a watcher has had, and how long each change took to reach all of them.

    A watcher's own faults say that frames are wrong among themselves; that all of them show a change that nobody made
    only the history says.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._shown: dict[tuple[str, int], View] = {}
        self._longest_s = 0.0
        self._due: deque[tuple[float, int]] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def _harvest(self) -> None:
        """Keep the views of all steps so far; in the clients' thread."""
        for step in self._scene.crowd.views.steps:
            for view in (step.origin, step.to):
                self._shown[view.epoch, view.rev] = view

    def _follow(self) -> None:
        """Compare the revision of the table with those of the watchers, until stopped."""
        while not self._stopping.is_set():
            with suppress(psycopg.Error), open_session(self._scene.dsn) as session:
                while not self._stopping.wait(_POLL_S):
                    self._note(int(session.row(_HALL, self._scene.hall)["rev"]), time.monotonic())

    def _note(self, committed: int, now: float) -> None:
        if not self._due or committed > self._due[-1][1]:
            self._due.append((now, committed))
        views = [watcher.verifier.view for watcher in self._scene.crowd.watchers]
        shown = min((view.rev for view in views if view.seats), default=0)
        while len(self._due) > 1 and self._due[0][1] <= shown:
            self._due.popleft()
        at, rev = self._due[0]
        if rev > shown:
            self._longest_s = max(self._longest_s, now - at)

    def judge(self, outcome: Outcome, hall: str = "") -> None:
        """Compare; ``hall`` names it where there are several."""
        shown: dict[tuple[str, int], View] = {}

        def harvest() -> None:
            self._harvest()
            shown.update(self._shown)

        self._scene.crowd.call(harvest)
        wrong = list(self._lies(shown))
        in_hall = f" in the {hall}" if hall else ""
        outcome.measure(f"revisions shown{in_hall}", len(shown), unit="")
        outcome.measure(f"of those wrong{in_hall}", len(wrong), 0, unit="")
        outcome.faults += wrong[:3]
        outcome.measure(f"every client has a change{in_hall}", self._longest_s, SHOWN_S)

    def _lies(self, shown: Mapping[tuple[str, int], View]) -> Iterator[str]:
        """A sentence for each view that the hall never was like: in its seats, its counts, its revision."""
        dsn, hall = self._scene.dsn, self._scene.hall
        (now,) = rows(dsn, _HALL, hall)
        types = {row["id"]: row["seat_type_id"] for row in rows(dsn, _TYPES, hall)}
        history = deque(rows(dsn, _HISTORY, hall))
        seats: dict[int, tuple[str, str | None]] = dict.fromkeys(types, ("VACANT", None))
        for (epoch, rev), view in sorted(shown.items(), key=lambda item: item[0][1]):
            while history and history[0]["rev"] <= rev:
                event = history.popleft()
                seats[event["seat_id"]] = (event["status"], event["note"])
            if epoch != now["epoch"] or rev > now["rev"]:
                yield f"revision {rev} of {epoch} was shown, and the hall is at {now['rev']} of {now['epoch']}"
            elif {seat: (status, note) for seat, (status, _, note) in view.seats.items()} != seats:
                yield f"revision {rev} was shown as it never was"
            elif view.counts != _count(seats, types):
                yield f"revision {rev} was shown with the counts {view.counts}"


def _count(seats: dict[int, tuple[str, str | None]], types: dict[int, int]) -> dict[int, Counts]:
    each = Counter((types[seat], status) for seat, (status, _) in seats.items())
    totals = Counter(types.values())
    return {type_: (total, *(each[type_, status] for status in STATUSES)) for type_, total in totals.items()}


@contextmanager
def followed(scene: Scene) -> Iterator[Truth]:
    """Keep what the watchers of the scene are shown in the block."""
    truth = Truth(scene)
    scene.crowd.on_steps = truth._harvest
    truth._thread.start()
    try:
        yield truth
    finally:
        scene.crowd.on_steps = None
        truth._stopping.set()
        truth._thread.join()


def unaffected(scene: Scene, outcome: Outcome, hall: str = "hall") -> None:
    """Every write was made so far, and soon."""
    ledger = scene.crowd.ledger
    outcome.require(not ledger.unavailable, f"writes in the {hall} were not possible: {dict(ledger.reasons)}")
    outcome.measure(f"slowest write in the {hall}", ledger.slowest_s, UNAFFECTED_S)
