"""What a process counts and measures, handed over interval by interval."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import define, field

from seatsync.load.faults import Faults
from seatsync.load.histogram import Histogram


class Count(StrEnum):
    """What is counted."""

    FRAMES = "frames"
    """Messages that subscribers received."""
    FRAME_BYTES = "frame_bytes"
    """Bytes in those messages."""
    ANSWERED = "answered"
    """Changes answered with success."""
    SEATS = "seats"
    """Seats in them."""
    REFUSED = "refused"
    """Changes answered with a domain error, which other people's changes make likely."""
    RESENT = "resent"
    """Changes sent again under the same key."""
    OPENED = "opened"
    """Connections made."""
    JOINED = "joined"
    """Subscribers that have had their first frame."""
    LEFT = "left"
    """Subscribers that went away of their own accord."""
    LOST = "lost"
    """Connections that ended, and not by this side."""
    RESUMED = "resumed"
    """Subscribers caught up with what they had missed, without a snapshot."""
    SNAPSHOTS = "snapshots"
    """Snapshots received."""
    STALE = "stale"
    """Times that a subscriber was told that the server's feed is down."""


class Timing(StrEnum):
    """What is measured."""

    ANSWER = "send→answer"
    """From when a change was meant to be sent to its answer."""
    RECEIVED = "send→received"
    """From when a change was meant to be sent to when a subscriber had it, for every subscriber."""
    OPENED = "connect"
    """From when a client was meant to come to the end of its handshake."""
    JOINED = "join"
    """From when a client was meant to come to its first snapshot."""
    AWAY = "away"
    """From the loss of a connection to the first frame on the next one."""
    LAG = "generator lag"
    """How late the load generator was to notice that a change was due: its own part in the other times."""


@define
class Stats:
    """Counts, latencies and faults of a while."""

    counts: Counter[Count] = field(factory=Counter)
    timings: defaultdict[Timing, Histogram] = field(factory=lambda: defaultdict(Histogram))
    faults: Faults = field(factory=Faults)

    def take(self) -> dict[str, Any]:
        """Everything since the last time, for another process; starts anew."""
        taken = {
            "counts": dict(self.counts),
            "timings": {name: histogram.to_json() for name, histogram in self.timings.items() if histogram.total},
            "faults": self.faults.to_json(),
        }
        self.counts.clear()
        self.timings.clear()
        self.faults.counts.clear()
        self.faults.first.clear()
        return taken

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Stats":
        """What `take` made."""
        stats = cls(Counter({Count(name): count for name, count in data["counts"].items()}))
        for name, histogram in data["timings"].items():
            stats.timings[Timing(name)] = Histogram.from_json(histogram)
        stats.faults = Faults.from_json(data["faults"])
        return stats

    def merge(self, other: "Stats") -> None:
        """Add what another process, or a later interval, has."""
        self.counts.update(other.counts)
        for name, histogram in other.timings.items():
            self.timings[name].add(histogram)
        self.faults.merge(other.faults)
