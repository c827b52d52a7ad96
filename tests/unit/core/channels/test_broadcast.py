"""The broadcast to all live subscribers."""

import json
from collections.abc import Iterable

import pytest
from attrs import define, field
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from seatsync.core.channels.broadcast import Broadcast, Subscription
from seatsync.core.telemetry.metrics import Metrics
from tests.support.outlets import FakeOutlet


@define(eq=False)
class Pipe(FakeOutlet):
    """A `Sink` that keeps its frames, and subscriptions to it."""

    has_room: bool = True
    frames: list[bytes] = field(factory=list)

    def push(self, frame: bytes) -> bool:
        """Keep the frame."""
        self.frames.append(frame)
        return self.has_room

    def leave(self, subscriber: Subscription) -> None:
        """Not called here."""

    def caught_up(self, subscriber: Subscription) -> None:
        """Not called here."""


@pytest.fixture
def broadcast() -> Broadcast:
    """One without subscribers."""
    return Broadcast("hall.subscribe", Metrics())


def subscriber(eid: str, pipe: Pipe | None = None) -> Subscription:
    """A subscription with that eid."""
    pipe = pipe or Pipe()
    return Subscription(pipe, "hall.subscribe", eid, pipe, lambda *_: None)


def pipes(subscribers: Iterable[Subscription]) -> list[Pipe]:
    """The sinks of these subscriptions."""
    return [one.sink for one in subscribers if isinstance(one.sink, Pipe)]


def test_each_subscriber_gets_a_frame_with_its_eid(broadcast: Broadcast) -> None:
    """Frames of a broadcast differ by eid alone."""
    members = [subscriber(eid) for eid in ("a", "b", "b")]
    for one in members:
        broadcast.add(one)
    assert broadcast.send(b"update", b'{"rev":1}') == []
    for one, pipe in zip(members, pipes(members), strict=True):
        (frame,) = pipe.frames
        message = json.loads(frame[2:])
        assert (message["eid"], message["type"], message["status"]) == (one.eid, "hall.subscribe", "update")
        assert message["data"] == {"rev": 1}


def test_broadcast_is_built_once_for_each_eid(broadcast: Broadcast) -> None:
    """Subscribers that share an eid share the very bytes."""
    members = [subscriber(eid) for eid in ("a", "b") for _ in range(50)]
    for one in members:
        broadcast.add(one)
    broadcast.send(b"update", b"{}")
    assert len({id(pipe.frames[0]) for pipe in pipes(members)}) == 2


@pytest.mark.parametrize("size", [1, 200, 70_000])
def test_frames_are_well_formed_whatever_their_length(broadcast: Broadcast, size: int) -> None:
    """Each frame's head has its own length, also among eids of different lengths."""
    members = [subscriber(eid) for eid in ("a", "bb", "cc", '\u20ac"', "x" * 128)]
    for one in members:
        broadcast.add(one)
    broadcast.send(b"update", b'"' + b"d" * size + b'"')
    for one, pipe in zip(members, pipes(members), strict=True):
        protocol = Connection(ConnectionType.CLIENT)
        protocol.receive_data(pipe.frames[0])
        (event,) = protocol.events()
        assert isinstance(event, TextMessage)
        message = json.loads(event.data)
        assert (message["eid"], message["data"]) == (one.eid, "d" * size)


def test_broadcast_names_those_that_are_full_now(broadcast: Broadcast) -> None:
    """Subscribers that are full after a frame are returned, for the topic to keep out of the next."""
    free, full = subscriber("a"), subscriber("a", Pipe(has_room=False))
    broadcast.add(free)
    broadcast.add(full)
    assert broadcast.send(b"update", b"{}") == [full]
    assert [len(pipe.frames) for pipe in pipes([free, full])] == [1, 1]


def test_subscriber_that_leaves_gets_nothing_more(broadcast: Broadcast) -> None:
    """Leaving twice, or without having joined, has no effect; no empty group is left."""
    first, second = subscriber("a"), subscriber("b")
    broadcast.add(first)
    broadcast.add(second)
    for one in (first, first, subscriber("b")):
        broadcast.discard(one)
    broadcast.send(b"update", b"{}")
    assert [len(pipe.frames) for pipe in pipes([first, second])] == [0, 1]
    assert list(broadcast) == [second]
    broadcast.discard(second)
    assert not broadcast


def test_broadcast_is_counted(broadcast: Broadcast) -> None:
    """Frames and bytes, for all subscribers."""
    for one in (subscriber("a"), subscriber("b")):
        broadcast.add(one)
    broadcast.send(b"update", b"{}")
    sent = [len(frame) for pipe in pipes(broadcast) for frame in pipe.frames]
    assert (broadcast.metrics.frames_pushed, broadcast.metrics.bytes_pushed) == (2, sum(sent))
