"""A topic and its subscribers, each kept up to date or known not to be.

- *joining*: the state is being read, for the first frame or because memory lacks what the subscriber missed;
- *ahead*: it was sent a state newer than what is published;
- *live*: it has everything that is published, and gets every broadcast;
- *behind*: its send buffer is full, and it gets nothing until that has drained.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain

import structlog
import trio

from seatsync import errors
from seatsync.core.channels.broadcast import Broadcast, Subscription
from seatsync.core.channels.documents import stale_notice
from seatsync.core.timing import Timing

Spawn = Callable[..., object]

logger = structlog.get_logger(__name__)


class Topic(ABC):
    """Subclasses publish with `_send_all`. ``key`` identifies the topic among those of its method."""

    def __init__(self, key: int | None, broadcast: Broadcast, spawn: Spawn, timing: Timing) -> None:
        self.key = key
        self.broadcast = broadcast
        self.stale = False
        """Subscribers are notified that what they see may be old."""
        self._spawn = spawn
        self._timing = timing
        self._joining: set[Subscription] = set()
        self._ahead: set[Subscription] = set()
        self._behind: set[Subscription] = set()

    @property
    def in_use(self) -> bool:
        """There are subscribers, or some are joining."""
        return bool(self.broadcast or self._joining or self._ahead or self._behind)

    @property
    def subscribers(self) -> Iterator[Subscription]:
        """All of them, the live ones first."""
        return chain(self.broadcast, self._joining, self._ahead, self._behind)

    def leave(self, subscriber: Subscription) -> None:
        """Remove the subscriber, if it is there."""
        self.broadcast.discard(subscriber)
        for state in (self._joining, self._ahead, self._behind):
            state.discard(subscriber)

    async def _join(self, subscriber: Subscription, delivery: Awaitable[None]) -> None:
        """Add a subscriber, whose first frame ``delivery`` reads and sends; removed again if that fails.

        Raises what that raises, unless the subscription has ended meanwhile.
        """
        self._joining.add(subscriber)
        try:
            await delivery
        except BaseException as error:
            if subscriber not in self._joining and isinstance(error, errors.Missing):
                return
            self.leave(subscriber)
            raise

    def _deliver(self, subscriber: Subscription, rev: int, epoch: str, *frames: tuple[bytes, bytes]) -> None:
        """Send what was read for a joining subscriber, unless it has left, or its send buffer is full again."""
        if subscriber not in self._joining:
            return
        self._joining.discard(subscriber)
        if subscriber.rev < 0 or subscriber.sink.has_room:
            for status, data in frames:
                self._send(subscriber, status, data, rev, epoch)
        self._settle(subscriber)

    def _send(self, subscriber: Subscription, status: bytes, data: bytes, rev: int, epoch: str) -> bool:
        """Send a frame that brings the subscriber to that revision."""
        subscriber.rev, subscriber.epoch = rev, epoch
        return subscriber.send(status, data)

    def _settle(self, subscriber: Subscription) -> None:
        """Move a subscriber that is not live to where it belongs, sending what it misses; never waits."""
        self._ahead.discard(subscriber)
        self._behind.discard(subscriber)
        if self._is_ahead(subscriber):
            self._ahead.add(subscriber)
        elif subscriber.sink.has_room and self._bring_up(subscriber):
            self.broadcast.add(subscriber)
            self._notify_stale(subscriber)
        else:
            self._behind.add(subscriber)

    def _settle_ahead(self) -> None:
        """After a publication, move the subscribers that it has caught up with."""
        for subscriber in list(self._ahead):
            self._settle(subscriber)

    @abstractmethod
    def _is_ahead(self, subscriber: Subscription) -> bool:
        """The subscriber has a state newer than what is published."""

    @abstractmethod
    def _bring_up(self, subscriber: Subscription) -> bool:
        """Send what the subscriber misses; ``False`` if its send buffer is full then, or `_catch_up` has to read."""

    @abstractmethod
    async def _send_state(self, subscriber: Subscription) -> None:
        """Read the state and `_deliver` it. Raises what the database raises."""

    def caught_up(self, subscriber: Subscription) -> None:
        """The subscriber's send buffer has drained: send what it missed."""
        if subscriber in self._behind:
            self._settle(subscriber)

    async def _catch_up(self, subscriber: Subscription) -> None:
        """Read the state for a subscriber that is behind, until that succeeds or the subscriber leaves."""
        if subscriber not in self._behind:
            return
        self._behind.discard(subscriber)
        self._joining.add(subscriber)
        while subscriber in self._joining:
            try:
                await self._send_state(subscriber)
            except Exception as error:  # noqa: BLE001 - whatever it is, the subscriber has to catch up
                await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        """Wait before the database is queried again; log any error but its absence."""
        if not isinstance(error, errors.ServiceUnavailable | errors.Missing):
            logger.error("topic_fault", topic=self.broadcast.method, key=self.key, exc_info=error)
        await trio.sleep(self._timing.retry_s)

    def _send_all(self, status: bytes, data: bytes, rev: int, epoch: str) -> None:
        """Broadcast a frame; subscribers whose send buffer it fills are behind, at that revision."""
        for subscriber in self.broadcast.send(status, data):
            subscriber.rev, subscriber.epoch = rev, epoch
            self.broadcast.discard(subscriber)
            self._behind.add(subscriber)

    def set_stale(self, *, stale: bool) -> None:
        """Notify every subscriber that what it sees may be old, or no longer is."""
        self.stale = stale
        for subscriber in [*self.broadcast, *self._ahead]:
            self._notify_stale(subscriber)

    def _notify_stale(self, subscriber: Subscription) -> None:
        if subscriber.stale != self.stale:
            subscriber.stale = self.stale
            subscriber.send(b"update", stale_notice(self.key, stale=self.stale))
