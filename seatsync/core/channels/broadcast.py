"""Subscriptions, and the broadcast to all live ones of a topic.

A frame is built once for each distinct eid, the only part that differs between subscribers, and sent by a loop of
plain ``send`` calls (`seatsync.core.net.stream.push_each`) that never awaits.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from attrs import define, field

from seatsync import jsontext
from seatsync.core.net.stream import Stream, push_each
from seatsync.core.protocol.envelope import envelope, envelope_around_eid
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.websocket.frames import frame_head, text_frame


class Sink(Protocol):
    """The part of a connection that a subscription needs."""

    @property
    def has_room(self) -> bool:
        """The send buffer is below its high-water mark."""

    @property
    def outlet(self) -> Stream:
        """Takes the frames."""

    def subscribed(self, subscriber: "Subscription") -> None:
        """The subscriber has been sent its first state, which answers its request."""


class Subscribed(Protocol):
    """A topic, as the connections of its subscribers see it."""

    def leave(self, subscriber: "Subscription") -> None:
        """Remove the subscriber."""

    def caught_up(self, subscriber: "Subscription") -> None:
        """The subscriber's send buffer has drained: send what it missed."""


@define(eq=False)
class Subscription:
    """One subscription of one connection."""

    sink: Sink
    method: str
    """The subscribing method: the ``type`` of its updates."""
    eid: str
    topic: Subscribed
    ended: Callable[["Subscription", Exception], None]
    """Called when the topic ends the subscription, with the reason; a bug only if that is the answer to its request."""
    asked_at: float | None = None
    """When its request was received, by `time.perf_counter`; ``None`` once that is answered."""
    admission: Callable[[], Awaitable[object]] | None = None
    """Checks the client's session and then its rights; ``None`` once that is done. Raises what answers the request, or
    `ServiceUnavailable`."""
    since: tuple[int, str] | None = None
    """The revision and epoch that the client has, while it waits to be sent what follows."""
    rev: int = -1
    """The last revision it was sent, while it is not live; -1 before its first frame."""
    epoch: str = ""
    stale: bool = False
    """It was last notified that what it sees may be old."""

    def send(self, status: bytes, data: bytes) -> bool:
        """Send one state or change to this subscriber alone; ``False`` when its send buffer is full now."""
        had_room = self._push(status, data)
        if self.asked_at is not None:
            self.sink.subscribed(self)
        return had_room

    def notify_stale(self, notice: bytes, *, stale: bool) -> None:
        """Send a notice that what it sees may be old, or no longer is."""
        self.stale = stale
        self._push(b"update", notice)

    def _push(self, status: bytes, data: bytes) -> bool:
        return self.sink.outlet.push(text_frame(envelope(self.method, status, self.eid, data)))


@define(eq=False)
class Broadcast:
    """The live subscribers of a topic."""

    method: str
    """The subscribing method: the ``type`` of every frame."""
    metrics: Metrics
    _groups: dict[bytes, dict[Stream, Subscription]] = field(factory=dict)
    """By eid, as JSON, then by outlet: an eid is unique in a connection."""

    def __iter__(self) -> Iterator[Subscription]:
        for group in self._groups.values():
            yield from group.values()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, subscriber: Subscription) -> None:
        """Send every broadcast from now on to this subscriber."""
        self._groups.setdefault(jsontext.dumps(subscriber.eid), {})[subscriber.sink.outlet] = subscriber

    def discard(self, subscriber: Subscription) -> None:
        """Remove the subscriber, if it is there."""
        eid = jsontext.dumps(subscriber.eid)
        group = self._groups.get(eid)
        if group is not None and group.get(subscriber.sink.outlet) is subscriber:
            del group[subscriber.sink.outlet]
            if not group:
                del self._groups[eid]

    def send(self, status: bytes, data: bytes) -> list[Subscription]:
        """Send one frame to all; returns the subscribers whose send buffer is full now. They have the frame, too."""
        return push_each(self._frames(status, data))

    def _frames(self, status: bytes, data: bytes) -> Iterator[tuple[bytes, dict[Stream, Subscription]]]:
        """Each eid's frame and subscribers. Frames whose eids have the same length differ in the eid alone."""
        head, tail = envelope_around_eid(self.method, status, data)
        starts: dict[int, bytes] = {}
        for eid, group in self._groups.items():
            size = len(eid)
            start = starts.get(size)
            if start is None:
                start = starts[size] = frame_head(len(head) + size + len(tail)) + head
            frame = b"".join((start, eid, tail))
            self.metrics.frames_pushed += len(group)
            self.metrics.bytes_pushed += len(group) * len(frame)
            yield frame, group
