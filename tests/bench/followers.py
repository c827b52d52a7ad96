"""Subscribers that check every frame: the revisions of a stream follow each other, none missing, none twice."""

import json
from collections.abc import Sequence

from attrs import define, field

from tests.bench.herd import Herd, Member
from tests.bench.samples import request

_REV = b'"rev":'

_NOWHERE = -2
"""Before the snapshot: no revision follows that."""

_SNAPSHOT, _HEAD_BYTES = b'"status":"snapshot"', 80


@define(eq=False)
class Stream:
    """Revisions that the followers of one hall have received."""

    last: int = 0
    """The revision that ends the stream; 0 while it is not known."""
    arrivals: dict[int, list[float]] = field(factory=dict)
    """When each revision reached a follower."""
    frames: int = 0
    joined: int = 0
    """Followers that have had their snapshot."""
    finished: int = 0
    """Followers that have had the last revision."""
    faults: int = 0
    """Revisions that were missing, repeated or out of order."""
    first: int = 0
    """The revision of the snapshots."""


class Follower(Member):
    """One subscriber: of a hall, whose snapshot begins its stream, or of all that a server of the field sends."""

    def __init__(self, stream: Stream, hall: int | None = None, eid: str = "b") -> None:
        self._stream = stream
        self._subscribe = None if hall is None else request("hall.subscribe", {"id": hall}, eid)
        self._rev = 0 if hall is None else _NOWHERE

    def opened(self, now: float) -> None:
        """Subscribe, where there is something to subscribe to."""
        if self._subscribe is not None:
            self.connection.send(self._subscribe)
        super().opened(now)

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """Check an update; the hot path."""
        stream = self._stream
        at = data.index(_REV, start, end) + 6
        rev = int(data[at : data.index(b",", at)])
        if rev != self._rev + 1:
            self._unexpected(data[start:end], rev)
        self._rev = rev
        stream.frames += 1
        times = stream.arrivals.get(rev)
        if times is None:
            stream.arrivals[rev] = [now]
        else:
            times.append(now)
        if rev == stream.last:
            stream.finished += 1
            self.herd.loop.stop()

    def _unexpected(self, text: bytes, rev: int) -> None:
        """The snapshot, a merged update, or a fault."""
        stream = self._stream
        if self._rev == _NOWHERE and _SNAPSHOT in text[:_HEAD_BYTES]:
            stream.joined += 1
            stream.first = max(stream.first, rev)
            stream.frames -= 1
            self.herd.loop.stop()
        elif json.loads(text)["data"].get("from") != self._rev + 1:
            stream.faults += abs(rev - self._rev - 1) or 1


def subscribe(herd: Herd, stream: Stream, hall: int, count: int, *, own_eids: bool = False) -> None:
    """Open so many followers and wait until each has its snapshot. Raises `BenchError`."""
    herd.open(Follower(stream, hall, f"client-{number:06d}" if own_eids else "b") for number in range(count))
    herd.run_until(lambda: stream.joined >= count, "not every subscriber had its snapshot")
    stream.arrivals.clear()


def latencies(stream: Stream, since: Sequence[float]) -> list[float]:
    """From each of these times to every arrival of the revision that belongs to it, in milliseconds."""
    found: list[float] = []
    for number, began in enumerate(since, stream.first + 1):
        found += [(arrived - began) * 1000 for arrived in stream.arrivals.get(number, ())]
    return found
