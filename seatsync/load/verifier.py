"""Verifies the frames of one hall subscription by the rules of revisions. Sans I/O.

The snapshot comes first; then every update begins at the revision after the last one. A client that has lost its
connection resumes with its revision and epoch, and receives either an update with what it missed, or a new snapshot.
"""

from collections.abc import Callable, Mapping
from typing import Any

from seatsync import jsontext
from seatsync.load.frames import HEARTBEAT
from seatsync.load.stats import Count, Kind, Stats
from seatsync.load.view import NOWHERE, Step, View, Views, merge, read_view

_SNAPSHOT = b'{"type":"hall.subscribe","status":"snapshot"'
_AFTER_DATA = b',"error":null,"eid":"%b","ts":'
_TS_BYTES = len(b"1700000000000}")


class Verifier:
    """One subscription; ``name`` is the subscriber's in faults."""

    def __init__(self, name: str, eid: str, views: Views, stats: Stats) -> None:
        self.name = name
        self.eid = eid
        self.view = NOWHERE
        self.on_first: Callable[[float], None] = _ignore
        """Called, with the time, when the first frame since `reopen` has come."""
        self.on_error: Callable[[str, float | None], None] = _ignore
        """Called with the code and the advised wait, in seconds, when the subscription fails or ends."""
        self.on_other: Callable[[Mapping[str, Any]], None] = _ignore
        """Called with every message that is not this subscription's."""
        self._views = views
        self._stats = stats
        self._gaps: list[range] = []
        """Revisions that were skipped and have not come yet."""
        self._marked = False
        """A fault made the view unreliable: it is compared no more until the next snapshot."""
        self._opening = True
        self._tail = _AFTER_DATA % eid.encode()
        self._tail_bytes = len(self._tail) + _TS_BYTES

    def reopen(self) -> dict[str, Any]:
        """The parameters, besides the hall, that subscribe again and resume from the current view."""
        self._opening = True
        return {} if self.view is NOWHERE else {"since": self.view.rev, "epoch": self.view.epoch}

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """Verify one message of the connection: the JSON text ``data[start:end]``.

        Usually it is a known step: everything up to the eid is equal to a frame that was verified before, and the eid
        is this subscription's. What follows is the server's clock.
        """
        cut = end - self._tail_bytes
        step = self.view.steps.get(data[start:cut])
        if step is not None and data.startswith(self._tail, cut) and not self._opening:
            self.view = step.to
            step.received.append(now)
            return
        self._examine(data[start:end], now)

    def _examine(self, text: bytes, now: float) -> None:
        """A message that is not a known step."""
        if text == HEARTBEAT:
            return
        cut = len(text) - self._tail_bytes
        key = text[:cut] if text.startswith(self._tail, cut) else None
        known = self._views.find_snapshot(key) if key is not None and key.startswith(_SNAPSHOT) else None
        if known is not None:
            self._count_frame(len(text))
            self._take_snapshot(known, now)
            return
        try:
            message = jsontext.loads(text)
            if message["type"] == "hall.subscribe" and message["eid"] == self.eid:
                self._take(message, key, now, len(text))
            else:
                self._count_frame(len(text))
                self.on_other(message)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._fault(Kind.PROTOCOL, f"received a frame that cannot be read ({error!r}): {text[:100]!r}")

    def _take(self, message: Mapping[str, Any], key: bytes | None, now: float, size: int) -> None:
        """A message of this subscription; ``key`` is its bytes up to the eid, where it is written as usual."""
        data = message["data"]
        status = message["status"]
        if status == "update" and "rev" in data:
            self._take_update(data, key, now, size)
            return
        self._count_frame(size)
        if status == "update":
            self._stats.counts[Count.STALE] += data["stale"]
        elif status == "snapshot":
            view = self._views.intern(read_view(data))
            if key is not None:
                self._views.keep_snapshot(key, view)
            self._take_snapshot(view, now)
        elif status == "error":
            self.on_error(message["error"], message.get("retry_after"))
        else:
            self._fault(Kind.PROTOCOL, f"received a frame of status {status!r}")

    def _count_frame(self, size: int) -> None:
        """Count a frame that makes no step; those that do are counted with their steps."""
        self._stats.counts[Count.FRAMES] += 1
        self._stats.counts[Count.FRAME_BYTES] += size

    def _take_snapshot(self, view: View, now: float) -> None:
        last = self.view
        self._stats.counts[Count.SNAPSHOTS] += 1
        self.settle()
        if view.epoch == last.epoch and view.rev < last.rev:
            self._fault(Kind.REORDERED, f"received a snapshot of revision {view.rev} after revision {last.rev}")
        elif view.epoch == last.epoch and view.rev == last.rev and not self._marked and not view.same_as(last):
            difference = view.difference(last)
            self._fault(Kind.STATE, f"received a snapshot unlike its updates at revision {view.rev}: {difference}")
        self._marked = False
        self.view = view
        self._begin(now)

    def _begin(self, now: float) -> None:
        if self._opening:
            self._opening = False
            self.on_first(now)

    def _take_update(self, data: Mapping[str, Any], key: bytes | None, now: float, size: int) -> None:
        last, rev = self.view, data["rev"]
        first = data.get("from", rev)
        merged = merge(last, data)
        if last is NOWHERE:
            self._fault(Kind.PROTOCOL, f"received an update (revision {rev}) before any snapshot")
            return
        if not 0 <= first <= rev:
            self._fault(Kind.PROTOCOL, f"received an update from revision {first} to {rev}")
            return
        if self._opening:
            key = None  # every subscriber's first frame has to say that it resumes
            self._stats.counts[Count.RESUMED] += 1
            if data.get("resumed") is not True:
                self._fault(Kind.PROTOCOL, "received an update without 'resumed' as its first frame")
            self._begin(now)
            if rev == last.rev and not data["seats"]:
                self._count_frame(size)
                return
        self.view = merged
        if first != last.rev + 1:
            self._count_frame(size)
            self._out_of_order(first, rev, last.rev)
            return
        if not self._marked:
            self.view = self._agree(merged)
        step = Step(last, self.view, first, size, [now])
        self._views.steps.append(step)
        if key is not None and not self._marked:
            last.steps[key] = step

    def _agree(self, view: View) -> View:
        """The known view of the revision; a fault if it shows something else."""
        interned = self._views.intern(view)
        known = self._views.find(view.epoch, view.rev)
        if known is not interned and known is not None:
            self._fault(Kind.STATE, f"sees revision {view.rev} unlike others: {view.difference(known)}")
            self._marked = True
        return interned

    def _out_of_order(self, first: int, rev: int, last: int) -> None:
        """An update from ``first`` to ``rev`` that does not follow the last revision."""
        self._marked = True
        if first > last + 1:
            self._gaps.append(range(last + 1, first))
            return
        revisions = _revisions(first, rev)
        late = self._fill_gaps(range(first, rev + 1))
        if late:
            self._fault(Kind.REORDERED, f"received {revisions} after revision {last}")
        again = min(rev, last) - first + 1 - late
        if again > 0:
            self._fault(Kind.REPEATED, f"received {revisions} again, after revision {last}", again)

    def _fill_gaps(self, received: range) -> int:
        """Take revisions out of the gaps; returns how many were in one."""
        left: list[range] = []
        for gap in self._gaps:
            left += [range(gap.start, min(gap.stop, received.start)), range(max(gap.start, received.stop), gap.stop)]
        late = sum(map(len, self._gaps)) - sum(map(len, left))
        self._gaps = [gap for gap in left if gap]
        return late

    def settle(self) -> None:
        """Report what is missing as faults: nothing late can come any more."""
        for gap in self._gaps:
            self._fault(Kind.MISSING, f"never received {_revisions(gap.start, gap.stop - 1)}", len(gap))
        self._gaps.clear()

    def compare(self, truth: View) -> None:
        """Report a fault unless the view is that of a fresh snapshot of the same revision."""
        if not self.view.same_as(truth):
            difference = self.view.difference(truth)
            self._fault(Kind.STATE, f"does not see the hall as it is at revision {truth.rev}: {difference}")

    def _fault(self, kind: Kind, text: str, count: int = 1) -> None:
        self._stats.fault(kind, f"{self.name} {text}.", count)


def _revisions(first: int, last: int) -> str:
    return f"revision {first}" if first == last else f"revisions {first} to {last}"


def _ignore(*_: object) -> None:
    """For callbacks that are not set."""
