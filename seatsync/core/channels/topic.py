"""A topic and its subscribers, each kept up to date or known not to be.

- *joining*: it waits for the state to be read, for its first frame or because memory lacks what it missed; until the
  database answers, it may have been sent an old state;
- *ahead*: it was sent a state newer than what is published;
- *live*: it has everything that is published, and gets every broadcast;
- *behind*: its send buffer is full, and it gets nothing until that has drained.
"""

from abc import abstractmethod
from collections.abc import Iterator
from itertools import chain

import trio

from seatsync.core.channels.broadcast import Broadcast, Subscription
from seatsync.core.channels.documents import stale_notice
from seatsync.core.channels.joining import Joining, Reads, Spawn
from seatsync.core.timing import Timing


class Topic(Joining):
    """Subclasses publish with `_send_all`. ``key`` identifies the topic among those of its method."""

    def __init__(
        self, key: int | None, broadcast: Broadcast, spawn: Spawn, timing: Timing, reads: Reads | None = None
    ) -> None:
        super().__init__(broadcast.method, key, spawn, timing, reads)
        self.broadcast = broadcast
        self.stale = False
        """Subscribers are notified that what they see may be old."""
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
        super().leave(subscriber)
        self.broadcast.discard(subscriber)
        self._ahead.discard(subscriber)
        self._behind.discard(subscriber)

    def _deliver(self, subscriber: Subscription, rev: int, epoch: str, *frames: tuple[bytes, bytes]) -> None:
        """Send what was read for a joining subscriber, unless it has left, or its send buffer is full again."""
        if subscriber not in self._joining:
            return
        del self._joining[subscriber]
        subscriber.since = None
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
        elif not subscriber.sink.has_room:
            self._behind.add(subscriber)
        elif (has_all := self._bring_up(subscriber)) is None:
            self._join(subscriber)
        elif has_all:
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
    def _bring_up(self, subscriber: Subscription) -> bool | None:
        """Send what the subscriber misses; ``False`` if its send buffer is full then, ``None`` if memory lacks it."""

    def caught_up(self, subscriber: Subscription) -> None:
        """The subscriber's send buffer has drained: send what it missed."""
        if subscriber in self._behind:
            self._settle(subscriber)

    async def _pause(self, error: Exception) -> None:
        """Wait before the database is queried again; log any error but its absence."""
        self._log(error)
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
            subscriber.notify_stale(stale_notice(self.key, stale=self.stale), stale=self.stale)

    def _notify_waiting(self, subscriber: Subscription) -> None:
        subscriber.notify_stale(stale_notice(self.key, stale=True), stale=True)
