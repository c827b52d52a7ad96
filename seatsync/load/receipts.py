"""From when changes were meant to be made, and when subscribers received them, how long they took."""

from collections.abc import Iterable
from time import monotonic

from seatsync.load.client import Hall
from seatsync.load.stats import Count, Stats, Timing
from seatsync.load.timetable import Timetable
from seatsync.load.view import Step

#: A revision whose time is not in the timetable this long after it was received is somebody else's, in seconds.
FOREIGN_S = 2.0


def collect(halls: Iterable[Hall], timetable: Timetable, stats: Stats, *, at_once: bool = False) -> None:
    """Account for what subscribers have received since the last time.

    What the timetable does not know yet is left for the next time, unless ``at_once``.
    """
    now = monotonic()
    for hall in halls:
        for step in hall.album.steps:
            if step.received:
                _account(step, hall.number, timetable, stats, final=at_once or now - step.received[0] > FOREIGN_S)
        hall.album.steps = [step for step in hall.album.steps if not step.is_over]


def _account(step: Step, hall: int, timetable: Timetable, stats: Stats, *, final: bool) -> None:
    times = [timetable.when(hall, rev) for rev in range(step.first, step.to.rev + 1)]
    if None in times and not final:
        return
    for meant_at in times:
        if meant_at is not None:
            stats.timings[Timing.RECEIVED].record_all(step.received, meant_at)
    stats.counts[Count.FRAMES] += len(step.received)
    stats.counts[Count.FRAME_BYTES] += len(step.received) * step.frame_bytes
    step.received.clear()
