"""When clients act: the open-loop schedule of changes, and the send times of revisions.

Latencies count from scheduled times. A generator that waits for the server before it sends, and counts from when it
sent, leaves out the very requests that a slow server has delayed ("coordinated omission").
"""

from ctypes import c_double, c_longlong
from multiprocessing.sharedctypes import RawArray

from attrs import define, field

#: A rush: how often, for how long, and how many times the base rate.
RUSH_EVERY_S, RUSH_S, RUSH_FACTOR = 10.0, 2.0, 5.0

#: Revisions whose send times are kept.
_ENTRIES = 1 << 18


@define
class Pace:
    """A steady rate, in changes a second, optionally with rushes. All times are on `time.monotonic`."""

    rate: float
    start: float
    """When the first change is due."""
    rushes: bool = field(default=False, kw_only=True)
    next_at: float = field(init=False)
    """When the next change is due."""

    def __attrs_post_init__(self) -> None:
        self.next_at = self.start

    def due(self, now: float) -> list[float]:
        """The times, up to now, at which changes were due since the last call."""
        times: list[float] = []
        while self.next_at <= now:
            times.append(self.next_at)
            self.next_at += 1 / self._rate_at(self.next_at)
        return times

    def _rate_at(self, at: float) -> float:
        in_rush = self.rushes and (at - self.start) % RUSH_EVERY_S < RUSH_S
        return self.rate * RUSH_FACTOR if in_rush else self.rate


def spread(count: int, over_s: float) -> list[float]:
    """When each of ``count`` clients connects, in seconds from the start: evenly, the first at once."""
    return [number * over_s / count for number in range(count)]


class SendTimes:
    """When each revision of each hall was due, in memory that the processes of a test share.

    Writing processes note, reading ones look up. Entries are fixed, so no process waits for another; a revision
    overwrites an older one. A subscriber may have the revision before the writer has its reply, so readers look again
    later.
    """

    def __init__(self, halls: int) -> None:
        self._numbers = RawArray(c_longlong, _ENTRIES)
        self._times = RawArray(c_double, _ENTRIES)
        self._halls = halls

    def note(self, hall: int, rev: int, at: float) -> None:
        """Note when a revision of a hall (its number in this test) was due, on `time.monotonic`.

        Of several changes that the server made one revision of, the earliest counts.
        """
        number, entry = self._entry(hall, rev)
        if self._numbers[entry] == number:
            at = min(at, self._times[entry])
        self._times[entry] = at
        self._numbers[entry] = number

    def when(self, hall: int, rev: int) -> float | None:
        """When the revision was due; ``None`` if that is not known, or not yet."""
        number, entry = self._entry(hall, rev)
        return self._times[entry] if self._numbers[entry] == number else None

    def _entry(self, hall: int, rev: int) -> tuple[int, int]:
        number = rev * self._halls + hall + 1  # 0 is an empty entry
        return number, number % _ENTRIES
