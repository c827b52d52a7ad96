"""Judges the frames of one hall subscription by the rules of revisions; knows no socket.

The snapshot comes first; then every update begins at the revision after the last one. A client that has lost its
connection resumes with the revision and epoch it has, and is sent either what it missed, or a new snapshot.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from seatsync.load.faults import Kind
from seatsync.load.frames import HEARTBEAT
from seatsync.load.stats import Count, Stats
from seatsync.load.view import NOWHERE, Album, Change, Step, View, read_change, read_view

_PREFIX = b'{"type":"hall.subscribe","status":'
_AFTER_DATA = b',"error":null,"eid":"%b","ts":'
_TS_BYTES = len(b"1700000000000}")


class Judge:
    """One subscription. ``name`` says in faults whose it is."""

    def __init__(self, name: str, eid: str, album: Album, stats: Stats) -> None:
        self.name = name
        self.eid = eid
        self.view = NOWHERE
        self.on_first: Callable[[float], None] = _ignore
        """Called, with the time, when the first frame since `reopen` has come."""
        self.on_error: Callable[[str, float | None], None] = _ignore
        """Called with the code and the advised wait, in seconds, when the subscription fails or ends."""
        self.on_other: Callable[[Mapping[str, Any]], None] = _ignore
        """Called with every message that is not this subscription's."""
        self._album = album
        self._stats = stats
        self._gaps: list[range] = []
        self._marked = False
        self._opening = True
        self._tail = _AFTER_DATA % eid.encode()
        self._tail_bytes = len(self._tail) + _TS_BYTES

    @property
    def missing(self) -> int:
        """Revisions that were jumped over and have not come yet."""
        return sum(map(len, self._gaps))

    def reopen(self) -> dict[str, Any]:
        """The parameters, besides the hall, that subscribe anew and resume where this client is."""
        self._opening = True
        return {} if self.view is NOWHERE else {"since": self.view.rev, "epoch": self.view.epoch}

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """One message of the connection: the JSON text ``data[start:end]``.

        Usually that is a step somebody has made before: then everything up to the eid is equal to what was judged
        then, and the eid is this subscription's. What follows is the server's clock.
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
        known = self._album.snapshot(text[:cut]) if text.startswith(_PREFIX + b'"snapshot"') else None
        if known is not None and text.startswith(self._tail, cut):
            self._count_frame(len(text))
            self._take_snapshot(known, now)
            return
        try:
            message = orjson.loads(text)
            if message["type"] == "hall.subscribe" and message["eid"] == self.eid:
                self._take(message, text, now)
            else:
                self._count_frame(len(text))
                self.on_other(message)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._fault(Kind.PROTOCOL, f"was sent a frame that cannot be read ({error!r}): {text[:100]!r}")

    def _take(self, message: Mapping[str, Any], text: bytes, now: float) -> None:
        cut = len(text) - self._tail_bytes
        key = text[:cut] if text.startswith(self._tail, cut) else None
        data = message["data"]
        status = message["status"]
        if status == "update" and "rev" in data:
            self._take_change(read_change(data), data, key, now, len(text))
            return
        self._count_frame(len(text))
        if status == "update":
            self._stats.counts[Count.STALE] += data["stale"]
        elif status == "snapshot":
            view = self._album.keep(read_view(data))
            if key is not None:
                self._album.keep_snapshot(key, view)
            self._take_snapshot(view, now)
        elif status == "error":
            self.on_error(message["error"], message.get("retry_after"))
        else:
            self._fault(Kind.PROTOCOL, f"was sent a frame of status {status!r}")

    def _count_frame(self, size: int) -> None:
        """Count a frame that is nobody else's step; the steps count themselves."""
        self._stats.counts[Count.FRAMES] += 1
        self._stats.counts[Count.FRAME_BYTES] += size

    def _take_snapshot(self, view: View, now: float) -> None:
        last = self.view
        self._stats.counts[Count.SNAPSHOTS] += 1
        self.settle()
        if view.epoch == last.epoch and view.rev < last.rev:
            self._fault(Kind.REORDERED, f"was sent a snapshot of revision {view.rev} after revision {last.rev}")
        elif view.epoch == last.epoch and view.rev == last.rev and not self._marked and not view.same_as(last):
            difference = view.difference(last)
            self._fault(Kind.STATE, f"was sent a snapshot unlike its updates at revision {view.rev}: {difference}")
        self._marked = False
        self.view = view
        self._begin(now)

    def _begin(self, now: float) -> None:
        if self._opening:
            self._opening = False
            self.on_first(now)

    def _take_change(self, change: Change, data: Mapping[str, Any], key: bytes | None, now: float, size: int) -> None:
        last = self.view
        if last is NOWHERE:
            self._fault(Kind.PROTOCOL, f"was sent an update (revision {change.rev}) before any snapshot")
            return
        if not 0 <= change.first <= change.rev:
            self._fault(Kind.PROTOCOL, f"was sent an update from revision {change.first} to {change.rev}")
            return
        if self._opening:
            key = None  # as a first frame it has to be judged for everybody
            self._check_resumed(data)
            self._begin(now)
            if change.rev == last.rev and not change.seats:
                self._count_frame(size)
                return
        self.view = self._album.merge(last, change)
        if change.first != last.rev + 1:
            self._count_frame(size)
            self._out_of_line(change, last.rev)
            return
        if not self._marked:
            self.view = self._agree(self.view)
        step = Step(last, self.view, change.first, size, [now])
        self._album.steps.append(step)
        if key is not None and not self._marked:
            last.steps[key] = step

    def _check_resumed(self, data: Mapping[str, Any]) -> None:
        self._stats.counts[Count.RESUMED] += 1
        if data.get("resumed") is not True:
            self._fault(Kind.PROTOCOL, "was sent an update as its first frame that does not say it resumes")

    def _agree(self, view: View) -> View:
        """The view that others have of the revision; a fault if it is another one."""
        kept = self._album.keep(view)
        if kept is view and (known := self._album.find(view.epoch, view.rev)) is not view and known is not None:
            self._fault(Kind.STATE, f"sees revision {view.rev} unlike others: {view.difference(known)}")
            self._marked = True
        return kept

    def _out_of_line(self, change: Change, last: int) -> None:
        """An update that does not follow the last revision."""
        self._marked = True
        if change.first > last + 1:
            self._gaps.append(range(last + 1, change.first))
            return
        late = self._fill_gaps(range(change.first, change.rev + 1))
        if late:
            self._fault(Kind.REORDERED, f"was sent {_revisions(change.first, change.rev)} after revision {last}")
        again = min(change.rev, last) - change.first + 1 - late
        if again > 0:
            what = _revisions(change.first, change.rev)
            self._fault(Kind.REPEATED, f"was sent {what} again, after revision {last}", again)

    def _fill_gaps(self, come: range) -> int:
        """Take revisions out of the gaps; returns how many were in one."""
        left: list[range] = []
        for gap in self._gaps:
            left += [range(gap.start, min(gap.stop, come.start)), range(max(gap.start, come.stop), gap.stop)]
        before = self.missing
        self._gaps = [gap for gap in left if gap]
        return before - self.missing

    def settle(self) -> None:
        """Nothing late will come any more: what is missing is a fault."""
        for gap in self._gaps:
            self._fault(Kind.MISSING, f"was never sent {_revisions(gap.start, gap.stop - 1)}", len(gap))
        self._gaps.clear()

    def compare(self, truth: View) -> None:
        """A fault unless this client sees what a fresh snapshot of the same revision shows."""
        if not self.view.same_as(truth):
            difference = self.view.difference(truth)
            self._fault(Kind.STATE, f"does not see the hall as it is at revision {truth.rev}: {difference}")

    def _fault(self, kind: Kind, words: str, count: int = 1) -> None:
        self._stats.faults.add(kind, f"{self.name} {words}.", count)


def _revisions(first: int, last: int) -> str:
    return f"revision {first}" if first == last else f"revisions {first} to {last}"


def _ignore(*_: object) -> None:
    """For callbacks that nobody has set."""
