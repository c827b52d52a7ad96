"""Who is subscribed to one thing, and the broadcast to all of them.

A broadcast is put together once for each distinct eid, for only the eid differs between subscribers, and then is a
loop of plain ``send`` calls (`seatsync.core.net.stream.push_each`); it never awaits.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import define, field

from seatsync import errors
from seatsync.core.net.stream import Outlet, push_each
from seatsync.core.protocol.envelope import encode_eid, envelope, envelope_around_eid
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.websocket.frames import frame_head, text_frame


class Sink(Protocol):
    """Where a subscriber's frames go: the part of a connection that an audience needs."""

    @property
    def has_room(self) -> bool:
        """The connection has not fallen behind."""

    @property
    def outlet(self) -> Outlet:
        """What takes its frames; one that is full means that the connection has fallen behind."""


class Feed(Protocol):
    """What a subscriber belongs to."""

    def leave(self, subscriber: "Subscription") -> None:
        """Forget the subscriber."""

    def caught_up(self, subscriber: "Subscription") -> None:
        """Its connection has taken everything that was sent: it can have what it missed."""


@define(eq=False)
class Subscription:
    """One subscription of one connection."""

    sink: Sink
    method: str
    """The subscribing method: the ``type`` of its updates."""
    eid: str
    feed: Feed
    ended: Callable[["Subscription", errors.SeatSyncError], None]
    """Tells the connection that the subscription is over, and why."""
    rev: int = -1
    """The last revision it was sent, while it is not live; -1 before its first frame."""
    epoch: str = ""
    told_stale: bool = False

    def send(self, status: bytes, data: bytes) -> bool:
        """Send one frame to this subscriber alone."""
        return self.sink.outlet.push(text_frame(envelope(self.method, status, self.eid, data)))


@define(eq=False)
class Broadcast:
    """The subscribers that are up to date, by eid, and those that fell behind."""

    method: str
    """The subscribing method: the ``type`` of every frame."""
    metrics: Metrics
    live: dict[bytes, dict[Outlet, Subscription]] = field(factory=dict)
    """By eid, as JSON, then by where their frames go: a connection has an eid once."""
    behind: set[Subscription] = field(factory=set)

    def __iter__(self) -> Iterator[Subscription]:
        for group in self.live.values():
            yield from group.values()
        yield from self.behind

    def __bool__(self) -> bool:
        return bool(self.live or self.behind)

    def __len__(self) -> int:
        return sum(map(len, self.live.values())) + len(self.behind)

    def add(self, subscriber: Subscription) -> None:
        """The subscriber is up to date: it gets every broadcast from now on."""
        self.behind.discard(subscriber)
        self.live.setdefault(encode_eid(subscriber.eid), {})[subscriber.sink.outlet] = subscriber

    def fall_behind(self, subscriber: Subscription) -> None:
        """Keep the subscriber out of broadcasts until its feed brings it up to date."""
        self._remove_live(subscriber)
        self.behind.add(subscriber)

    def discard(self, subscriber: Subscription) -> None:
        """Forget the subscriber, if it is known."""
        self._remove_live(subscriber)
        self.behind.discard(subscriber)

    def _remove_live(self, subscriber: Subscription) -> None:
        eid = encode_eid(subscriber.eid)
        group = self.live.get(eid)
        if group is not None and group.get(subscriber.sink.outlet) is subscriber:
            del group[subscriber.sink.outlet]
            if not group:
                del self.live[eid]

    def broadcast(self, status: bytes, data: bytes) -> list[Subscription]:
        """Send to everyone who is live; returns those whose connection is full now.

        The frame was taken for them too; whoever calls decides what they had and moves them with `fall_behind`.
        """
        return push_each(self._frames(status, data))

    def _frames(self, status: bytes, data: bytes) -> Iterator[tuple[bytes, dict[Outlet, Subscription]]]:
        """The frame of each eid, and who gets it. Eids of one length have all but themselves in common."""
        head, tail = envelope_around_eid(self.method, status, data)
        starts: dict[int, bytes] = {}
        for eid, group in self.live.items():
            size = len(eid)
            start = starts.get(size)
            if start is None:
                start = starts[size] = frame_head(len(head) + size + len(tail)) + head
            frame = b"".join((start, eid, tail))
            self.metrics.frames_pushed += len(group)
            self.metrics.bytes_pushed += len(group) * len(frame)
            yield frame, group
