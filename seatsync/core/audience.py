"""Who is subscribed to one thing, and the broadcast to all of them.

A broadcast is encoded once for each distinct eid (only the eid differs between subscribers) and then is a loop of
plain pushes; it never awaits.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from attrs import define, field

from seatsync import errors
from seatsync.core.metrics import Metrics
from seatsync.core.protocol import envelope
from seatsync.core.websocket import text_frame


class Sink(Protocol):
    """Where a subscriber's frames go: the part of a connection that an audience needs."""

    @property
    def has_room(self) -> bool:
        """The connection has not fallen behind."""

    def push_frame(self, frame: bytes) -> bool:
        """Send one frame, which is taken in any case; ``False`` when the connection has fallen behind."""


class Feed(Protocol):
    """What a subscriber belongs to."""

    def leave(self, subscriber: "Subscriber") -> None:
        """Forget the subscriber."""

    def caught_up(self, subscriber: "Subscriber") -> None:
        """Its connection has taken everything that was sent: it can have what it missed."""


@define(eq=False)
class Subscriber:
    """One subscription of one connection."""

    sink: Sink
    method: str
    """The subscribing method: the ``type`` of its updates."""
    eid: str
    feed: Feed
    ended: Callable[["Subscriber", errors.SeatSyncError], None]
    """Tells the connection that the subscription is over, and why."""
    rev: int = -1
    """The last revision it was sent, while it is not live; -1 before its first frame."""
    epoch: str = ""
    told_stale: bool = False

    def send(self, status: bytes, data: bytes) -> bool:
        """Send one frame to this subscriber alone."""
        return self.sink.push_frame(text_frame(envelope(self.method, status, self.eid, data)))


@define(eq=False)
class Audience:
    """The subscribers that are up to date, by eid, and those that fell behind."""

    method: str
    """The subscribing method: the ``type`` of every frame."""
    metrics: Metrics
    live: dict[str, set[Subscriber]] = field(factory=dict)
    behind: set[Subscriber] = field(factory=set)

    def __iter__(self) -> Iterator[Subscriber]:
        for group in self.live.values():
            yield from group
        yield from self.behind

    def __len__(self) -> int:
        return sum(map(len, self.live.values())) + len(self.behind)

    def add(self, subscriber: Subscriber) -> None:
        """The subscriber is up to date: it gets every broadcast from now on."""
        self.behind.discard(subscriber)
        self.live.setdefault(subscriber.eid, set()).add(subscriber)

    def fall_behind(self, subscriber: Subscriber) -> None:
        """Keep the subscriber out of broadcasts until its feed brings it up to date."""
        self._remove_live(subscriber)
        self.behind.add(subscriber)

    def discard(self, subscriber: Subscriber) -> None:
        """Forget the subscriber, if it is known."""
        self._remove_live(subscriber)
        self.behind.discard(subscriber)

    def _remove_live(self, subscriber: Subscriber) -> None:
        group = self.live.get(subscriber.eid)
        if group is not None:
            group.discard(subscriber)
            if not group:
                del self.live[subscriber.eid]

    def broadcast(self, status: bytes, data: bytes) -> list[Subscriber]:
        """Send to everyone who is live; returns those whose connection is full now.

        The frame was taken for them too; whoever calls decides what they had and moves them with `fall_behind`.
        """
        full: list[Subscriber] = []
        frames = sent_bytes = 0
        for eid, group in self.live.items():
            frame = text_frame(envelope(self.method, status, eid, data))
            frames += len(group)
            sent_bytes += len(group) * len(frame)
            full += [subscriber for subscriber in group if not subscriber.sink.push_frame(frame)]
        self.metrics.frames_pushed += frames
        self.metrics.bytes_pushed += sent_bytes
        return full
