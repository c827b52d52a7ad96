"""Who is subscribed to one thing, and the broadcast to all of them."""

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
    """A `Sink` and a `Feed` that keep what they are told."""

    has_room: bool = True
    frames: list[bytes] = field(factory=list)

    def push(self, frame: bytes) -> bool:
        """Keep the frame."""
        self.frames.append(frame)
        return self.has_room

    def leave(self, subscriber: Subscription) -> None:
        """Not asked here."""

    def caught_up(self, subscriber: Subscription) -> None:
        """Not asked here."""


@pytest.fixture
def audience() -> Broadcast:
    """One that nobody has joined."""
    return Broadcast("hall.subscribe", Metrics())


def subscriber(eid: str, pipe: Pipe | None = None) -> Subscription:
    """A subscription with that eid."""
    pipe = pipe or Pipe()
    return Subscription(pipe, "hall.subscribe", eid, pipe, lambda *_: None)


def pipes(subscribers: Iterable[Subscription]) -> list[Pipe]:
    """Where their frames went."""
    return [one.sink for one in subscribers if isinstance(one.sink, Pipe)]


def test_everybody_gets_a_frame_with_their_own_eid(audience: Broadcast) -> None:
    """Type, status and data are the same for all."""
    members = [subscriber(eid) for eid in ("a", "b", "b")]
    for one in members:
        audience.add(one)
    assert audience.broadcast(b"update", b'{"rev":1}') == []
    for one, pipe in zip(members, pipes(members), strict=True):
        (frame,) = pipe.frames
        message = json.loads(frame[2:])
        assert (message["eid"], message["type"], message["status"]) == (one.eid, "hall.subscribe", "update")
        assert message["data"] == {"rev": 1}


def test_broadcast_is_put_together_once_for_each_eid(audience: Broadcast) -> None:
    """Subscribers that share an eid share the very bytes."""
    members = [subscriber(eid) for eid in ("a", "b") for _ in range(50)]
    for one in members:
        audience.add(one)
    audience.broadcast(b"update", b"{}")
    assert len({id(pipe.frames[0]) for pipe in pipes(members)}) == 2


@pytest.mark.parametrize("size", [1, 200, 70_000])
def test_frames_are_well_formed_whatever_their_length(audience: Broadcast, size: int) -> None:
    """Each has the head of its own length, also among eids of different lengths."""
    members = [subscriber(eid) for eid in ("a", "bb", "cc", '\u20ac"', "x" * 128)]
    for one in members:
        audience.add(one)
    audience.broadcast(b"update", b'"' + b"d" * size + b'"')
    for one, pipe in zip(members, pipes(members), strict=True):
        protocol = Connection(ConnectionType.CLIENT)
        protocol.receive_data(pipe.frames[0])
        (event,) = protocol.events()
        assert isinstance(event, TextMessage)
        message = json.loads(event.data)
        assert (message["eid"], message["data"]) == (one.eid, "d" * size)


def test_broadcast_names_those_that_are_full_now(audience: Broadcast) -> None:
    """They have had the frame; it is for the feed to keep them out of the next."""
    free, full = subscriber("a"), subscriber("a", Pipe(has_room=False))
    audience.add(free)
    audience.add(full)
    assert audience.broadcast(b"update", b"{}") == [full]
    assert [len(pipe.frames) for pipe in pipes([free, full])] == [1, 1]


def test_who_fell_behind_gets_no_broadcast(audience: Broadcast) -> None:
    """Until it is added again; it belongs to the audience all the same."""
    one = subscriber("a")
    audience.add(one)
    audience.fall_behind(one)
    audience.broadcast(b"update", b"{}")
    assert pipes([one])[0].frames == []
    assert (list(audience), len(audience)) == ([one], 1)
    audience.add(one)
    audience.broadcast(b"update", b"{}")
    assert len(pipes([one])[0].frames) == 1
    assert (list(audience), len(audience)) == ([one], 1)


def test_who_leaves_is_forgotten(audience: Broadcast) -> None:
    """From wherever it was, and twice does no harm; no empty group is left."""
    live, behind = subscriber("a"), subscriber("b")
    audience.add(live)
    audience.fall_behind(behind)
    for one in (live, behind, live, subscriber("a")):
        audience.discard(one)
    assert len(audience) == 0
    assert audience.live == {}


def test_broadcast_is_counted(audience: Broadcast) -> None:
    """Frames and bytes, for all subscribers."""
    for one in (subscriber("a"), subscriber("b")):
        audience.add(one)
    audience.broadcast(b"update", b"{}")
    sent = [len(frame) for pipe in pipes(audience) for frame in pipe.frames]
    assert (audience.metrics.frames_pushed, audience.metrics.bytes_pushed) == (2, sum(sent))
