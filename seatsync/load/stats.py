"""Counts, latencies and faults of a process, reported to the parent interval by interval."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from math import log2
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field, frozen

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

#: How often a process reports its statistics, in seconds.
REPORT_S = 0.5

#: Faults kept as sentences; the others are only counted.
SENTENCES = 10

Pipe: TypeAlias = "Connection[Any, Any]"
"""Carries orders to a client process, and its reports back."""

#: Buckets for each power of two, and the unit of what is kept.
_PRECISION = 128
_MICROSECONDS = 1_000_000


@define
class Histogram:
    """A histogram of latencies: recorded and read in seconds, kept in whole microseconds.

    Each bucket ends 0.54 % above the one before, so a value is read back at most that much too high. Histograms of
    several processes add up exactly.
    """

    counts: dict[int, int] = field(factory=dict)
    """Samples by bucket number."""
    total: int = 0
    sum_us: int = 0
    max_us: int = 0

    def record(self, seconds: float) -> None:
        """Count one sample; a negative one, which a clock step makes, as zero."""
        self.record_all((seconds,), 0.0)

    def record_all(self, ends: Iterable[float], start: float) -> None:
        """Count the time from ``start`` to each of ``ends``."""
        counts = self.counts
        total = sum_us = 0
        max_us = self.max_us
        for end in ends:
            value = int((end - start) * _MICROSECONDS)
            bucket, value = (int(log2(value) * _PRECISION), value) if value > 0 else (-1, 0)
            counts[bucket] = counts.get(bucket, 0) + 1
            total += 1
            sum_us += value
            if value > max_us:  # noqa: PLR1730 - twice as quick as max(), and this runs for every frame
                max_us = value
        self.total += total
        self.sum_us += sum_us
        self.max_us = max_us

    def add(self, other: "Histogram") -> None:
        """Add the samples of another one."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += other.total
        self.sum_us += other.sum_us
        self.max_us = max(self.max_us, other.max_us)

    def percentile(self, percent: float) -> float:
        """The latency, in seconds, that this share of the samples does not exceed; 0 without samples."""
        wanted = self.total * percent / 100
        seen = 0
        for upper_s, count in self.buckets():
            seen += count
            if seen >= wanted:
                return min(upper_s, self.max_s)
        return self.max_s

    @property
    def max_s(self) -> float:
        """The longest, exactly."""
        return self.max_us / _MICROSECONDS

    @property
    def mean_s(self) -> float:
        """The mean; 0 without samples."""
        return self.sum_us / self.total / _MICROSECONDS if self.total else 0.0

    def buckets(self) -> Iterator[tuple[float, int]]:
        """The upper end of each bucket in seconds, and its samples, in order."""
        for bucket, count in sorted(self.counts.items()):
            yield 2 ** ((bucket + 1) / _PRECISION) / _MICROSECONDS, count


class Kind(StrEnum):
    """Kinds of fault; README.md says what each means. The first three count revisions or, `REORDERED`, frames."""

    MISSING = "missing revisions"
    REPEATED = "repeated revisions"
    REORDERED = "reordered revisions"
    STATE = "wrong states"
    LOST_WRITE = "lost writes"
    UNANSWERED = "unanswered requests"
    REFUSED = "refused requests"
    CONNECTION = "lost connections"
    PROTOCOL = "protocol faults"


@frozen
class Fault:
    """One fault."""

    at: float
    """When it was found, on `time.monotonic`."""
    kind: Kind
    text: str


class Count(StrEnum):
    """Counts, by their names in all reports; README.md says of what."""

    OPENED = "opened"
    JOINED = "joined"
    LEFT = "left"
    FRAMES = "frames"
    FRAME_BYTES = "frame_bytes"
    ANSWERED = "answered"
    SEATS = "seats"
    REFUSED = "refused"
    RESENT = "resent"
    LOST = "lost"
    RESUMED = "resumed"
    SNAPSHOTS = "snapshots"
    STALE = "stale"


class Timing(StrEnum):
    """Latencies, by their names in all reports; README.md says from when to when."""

    ANSWER = "answer"
    RECEIVED = "receive"
    OPENED = "connect"
    JOINED = "join"
    AWAY = "away"
    LAG = "lag"


@define
class Stats:
    """Counts, latencies and faults of an interval, or of several."""

    counts: Counter[Count] = field(factory=Counter)
    timings: dict[Timing, Histogram] = field(factory=dict)
    faults: Counter[Kind] = field(factory=Counter)
    first_faults: list[Fault] = field(factory=list)
    """At most `SENTENCES`, in the order they were found."""

    def histogram(self, timing: Timing) -> Histogram:
        """The samples of a timing, to be added to."""
        return self.timings.setdefault(timing, Histogram())

    def record(self, timing: Timing, seconds: float) -> None:
        """Count one latency."""
        self.histogram(timing).record(seconds)

    def fault(self, kind: Kind, text: str, count: int = 1) -> None:
        """Add a fault, which may stand for several of its kind."""
        self.faults[kind] += count
        if len(self.first_faults) < SENTENCES:
            self.first_faults.append(Fault(monotonic(), kind, text))

    def clear(self) -> None:
        """Start a new interval."""
        for collection in (self.counts, self.timings, self.faults, self.first_faults):
            collection.clear()

    def merge(self, other: "Stats") -> None:
        """Add those of another process, or of a later interval."""
        self.counts.update(other.counts)
        for timing, histogram in other.timings.items():
            self.histogram(timing).add(histogram)
        self.faults.update(other.faults)
        first = sorted([*self.first_faults, *other.first_faults], key=lambda fault: fault.at)
        self.first_faults = first[:SENTENCES]


@frozen
class Interval:
    """The statistics of a process in an interval."""

    phase: str
    at: float
    """Its end, on `time.monotonic`."""
    cpu_s: float
    live: int
    """How many of the process's clients that read were live at its end."""
    stats: Stats


def next_report_at(wait_s: float = 0.0) -> float:
    """When statistics are due next, after a wait: at whole intervals of the clock, in all processes."""
    return ((monotonic() + wait_s) // REPORT_S + 1) * REPORT_S
