"""A connection that comes back, and the watcher: a subscriber that verifies every frame."""

import re
from time import monotonic
from typing import TYPE_CHECKING

from attrs import define, field

from seatsync import jsontext
from seatsync.client.closing import Backoff, Closing
from seatsync.load.client import RECONNECT
from seatsync.load.connection import Connection
from seatsync.load.frames import HEARTBEAT
from seatsync.load.verifier import Verifier

if TYPE_CHECKING:
    from tests.faults.crowd import Crowd

#: A connection from which nothing came for so long is given up, in seconds: its heartbeats were not answered.
_DEAD_S = 10.0

_MERGED, _SNAPSHOT, _HEAD_BYTES = b'"from":', b'"snapshot"', 120

#: A revision whose notification was too long is fetched, with the few that came meanwhile.
_BATCHES = 20

_STALE, _IS_STALE = b'"stale":', b'"stale":true'


@define(eq=False)
class Link:
    """A connection that comes back: what watchers and writers have in common."""

    crowd: "Crowd"
    token: str | None
    connection: Connection | None = None
    closings: list[tuple[float, Closing]] = field(factory=list)
    """How and when its connections ended."""
    opened_at: list[float] = field(factory=list)
    staying_away: bool = False
    """It does not come back by itself."""
    paused: bool = False
    """It does not read what it is sent."""
    _backoff: Backoff = field(factory=lambda: Backoff(RECONNECT))

    def connect(self) -> None:
        """Connect now, unless the crowd has gone home."""
        if not self.crowd.closing:
            self.connection = Connection(self.crowd.loop, self.crowd.address, self.token, self)

    @property
    def is_open(self) -> bool:
        """The handshake is done, and the connection stands."""
        return self.connection is not None and self.connection.is_open and len(self.opened_at) > len(self.closings)

    def opened(self, now: float) -> None:
        """The handshake is done."""
        self.opened_at.append(now)
        self._backoff.reset()
        self.begin()

    def begin(self) -> None:
        """Send the first messages."""

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A message."""

    def lost(self, closing: Closing) -> None:
        """The connection has ended: come back after the wait that the server advises, or a growing one."""
        self.closings.append((monotonic(), closing))
        if len(self.opened_at) < len(self.closings):
            self.opened_at.append(float("nan"))  # it was never open
        if not self.staying_away:
            self.crowd.loop.after(self._backoff.wait_s(closing), self.connect)

    def beat(self, now: float) -> None:
        """Send a heartbeat, or give up a connection that has gone dead."""
        if not self.is_open or self.connection is None:
            return
        if now - self.connection.last_received > _DEAD_S and not self.paused:
            self.connection.close()
            self.lost(Closing(1006, "nothing came any more"))
        else:
            self.connection.send(HEARTBEAT)

    def drop(self) -> None:
        """Lose the connection, and come back unless it stays away."""
        if self.connection is not None:
            self.connection.close()
            self.lost(Closing(1006, "dropped"))

    def pause(self) -> None:
        """Read no more; heartbeats go on."""
        if self.connection is not None and self.connection.is_open:
            self.paused = True
            self.crowd.loop.forget(self.connection._descriptor)

    def resume(self) -> None:
        """Read again."""
        if self.paused and self.connection is not None:
            self.paused = False
            self.crowd.loop.watch(self.connection._descriptor, self.connection._readable)

    def send(self, type_: str, data: dict[str, object], eid: str) -> None:
        """Send a request."""
        if self.connection is not None:
            self.connection.send(jsontext.dumps({"type": type_, "data": data, "eid": eid}))


@define(eq=False)
class Watcher(Link):
    """A subscriber of the hall."""

    verifier: Verifier = field(kw_only=True)
    stale: bool = False
    """Its last notification said ``stale``."""
    stale_at: list[tuple[float, bool]] = field(factory=list)
    """When each ``stale`` notification came, and which it was."""
    merged: list[bytes] = field(factory=list)
    """Frames that stand for more than one revision: updates with ``from``, and snapshots."""
    first_frame_at: float = float("inf")
    """When the present subscription was answered."""
    ended: list[str] = field(factory=list)
    """The codes of the errors with which a subscription was refused or ended."""

    def __attrs_post_init__(self) -> None:
        self.verifier.on_first = self._first
        self.verifier.on_error = self._refused

    @property
    def is_live(self) -> bool:
        """It is subscribed, and has had its first frame."""
        return self.is_open and self.first_frame_at < float("inf")

    def begin(self) -> None:
        """Subscribe, or resume."""
        self.first_frame_at = float("inf")
        self.send("hall.subscribe", {"id": self.crowd.hall, **self.verifier.reopen()}, self.verifier.eid)

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A frame, judged."""
        head = data[start : min(end, start + _HEAD_BYTES)]
        is_snapshot = _SNAPSHOT in head
        if data.find(_STALE, start, end) >= 0:
            self._note_stale(now, data.find(_IS_STALE, start, end) >= 0)
        elif self.stale and (is_snapshot or self.first_frame_at > now) and end - start > len(HEARTBEAT):
            self._note_stale(now, False)
        if is_snapshot or _MERGED in head:
            self.merged.append(head)
        self.verifier.text(data, start, end, now)

    def makes_up_for_much(self, since: int) -> int:
        """How many frames were snapshots, or updates past that revision of more than a batch or two make."""
        return sum(_makes_up_for_much(head, since) for head in self.merged)

    def _note_stale(self, now: float, stale: bool) -> None:
        if stale != self.stale:
            self.stale = stale
            self.stale_at.append((now, stale))

    def _first(self, now: float) -> None:
        self.first_frame_at = now

    def _refused(self, code: str, retry_after_s: float | None) -> None:
        """Try again, for example while the database is away."""
        self.ended.append(code)
        self.crowd.loop.after(min(retry_after_s or 1.0, 0.5), self._again)

    def _again(self) -> None:
        if self.is_open and not self.is_live:
            self.begin()


def _makes_up_for_much(head: bytes, since: int) -> bool:
    found = re.search(rb'"from":(\d+),"rev":(\d+)', head)
    if found is None:
        return _SNAPSHOT in head
    first, rev = int(found[1]), int(found[2])
    return rev > since and rev - first > _BATCHES
