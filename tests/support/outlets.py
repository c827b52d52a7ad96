"""An outlet for tests without sockets."""

import json
from typing import Any, cast

import trio
from attrs import define, field

from seatsync.core.channels.broadcast import Subscription
from seatsync.core.net.stream import Stream


def message_in(frame: bytes) -> dict[str, Any]:
    """The message that a text frame of the server carries."""
    message: dict[str, Any] = json.loads(frame[{126: 4, 127: 10}.get(frame[1], 2) :])
    return message


class FakeOutlet:
    """The part of a `Stream` that takes frames, and the sink it belongs to; all frames come to `push`."""

    is_clear = False

    @property
    def outlet(self) -> Stream:
        """The sink's outlet: itself."""
        return cast("Stream", self)

    def subscribed(self, subscriber: Subscription) -> None:
        """The first state answers the request."""
        subscriber.asked_at = None

    def push(self, frame: bytes) -> bool:
        """Take one whole frame; ``False`` when there is no room for more."""
        raise NotImplementedError

    def keep(self, frame: bytes, sent: int) -> bool:
        """Keep a whole frame: an outlet that is not clear has sent none of it."""
        assert sent == 0
        return self.push(frame)


@define(eq=False)
class FakeClient(FakeOutlet):
    """A client with one subscription and a send buffer that may be full; a frame is accepted all the same."""

    full: bool = field(default=False, kw_only=True)
    subscriber: Subscription = field(init=False)
    answered: trio.Event = field(factory=trio.Event, init=False)
    """It has been sent a state, or its subscription has ended."""

    @property
    def has_room(self) -> bool:
        """The send buffer has room."""
        return not self.full

    def drain(self) -> None:
        """Drain the send buffer."""
        self.full = False
        self.subscriber.topic.caught_up(self.subscriber)
