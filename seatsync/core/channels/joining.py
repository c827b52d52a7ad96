"""Subscribers that wait for their first frame: until the database answers, or for good if they leave."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import structlog
import trio

from seatsync import errors
from seatsync.core.channels.broadcast import Subscription
from seatsync.core.channels.reads import Reads
from seatsync.core.timing import Timing

Spawn = Callable[..., object]

#: Subscribers whose sessions are checked in one read; and that are sent a frame before other tasks have their turn.
MAX_ADMISSIONS = 500
BURST = 100

logger = structlog.get_logger(__name__)


class Joining(ABC):
    """A topic, as far as its joining subscribers go. Subclasses send first frames in `_serve`."""

    def __init__(self, method: str, key: int | None, spawn: Spawn, timing: Timing, reads: Reads | None = None) -> None:
        self.key = key
        self._method = method
        self._spawn = spawn
        self._timing = timing
        self._reads = reads or Reads(spawn, timing)
        self._joining: dict[Subscription, None] = {}
        """In the order of their arrival."""

    @property
    def waits(self) -> bool:
        """A subscriber waits."""
        return bool(self._joining)

    def leave(self, subscriber: Subscription) -> None:
        """Remove the subscriber, if it is there."""
        if subscriber in self._joining:
            del self._joining[subscriber]
            if not self._joining:
                self._reads.discard(self)

    def _join(self, subscriber: Subscription) -> None:
        """Send the subscriber its first frame with the next read that is answered. Never waits."""
        self._joining[subscriber] = None
        self._reads.add(self, subscriber)

    # Reads

    async def read(self) -> None:
        """Send first frames to those who wait, then check the sessions that could not be checked yet.

        Raises what the database raises.
        """
        await trio.lowlevel.checkpoint()
        faults: list[Exception] = []
        for group in self._groups([subscriber for subscriber in self._joining if subscriber.admission is None]):
            try:
                await self._serve(group)
            except Exception as error:  # noqa: BLE001 - whatever it is, others may be served
                self._set_back(group, error, faults)
        others = [subscriber for subscriber in self._joining if subscriber.admission is not None][:MAX_ADMISSIONS]
        if others:
            await self._admit_all(others, faults)
        if faults:
            raise faults[0]

    def _groups(self, subscribers: list[Subscription]) -> Iterable[list[Subscription]]:
        """Those of them that the next queries are for, one for each group."""
        return [subscribers] if subscribers else []

    @abstractmethod
    async def _serve(self, group: Sequence[Subscription]) -> None:
        """Send first frames to a group, whose members then wait no more; raises what the database raises."""

    def _set_back(self, group: Sequence[Subscription], error: Exception, faults: list[Exception]) -> None:
        """Let the others come first the next time; any error but the database's absence answers a request."""
        for subscriber in group:
            if subscriber not in self._joining:
                continue
            if subscriber.asked_at is not None and not isinstance(error, errors.ServiceUnavailable):
                self._refuse(subscriber, error)
            else:
                self._joining[subscriber] = self._joining.pop(subscriber)
                faults.append(error)

    def _refuse(self, subscriber: Subscription, error: Exception) -> None:
        if subscriber in self._joining:
            self.leave(subscriber)
            subscriber.ended(subscriber, error)

    async def _admit_all(self, subscribers: Sequence[Subscription], faults: list[Exception]) -> None:
        """Check the first session, and if that could be done, all of them at once."""
        before = len(faults)
        await self._admit(subscribers[0], faults)
        if len(faults) == before:
            async with trio.open_nursery() as nursery:
                for subscriber in subscribers[1:]:
                    nursery.start_soon(self._admit, subscriber, faults)

    async def _admit(self, subscriber: Subscription, faults: list[Exception]) -> None:
        assert subscriber.admission is not None  # noqa: S101 - the caller's
        try:
            await subscriber.admission()
        except errors.ServiceUnavailable as error:
            faults.append(error)
        except Exception as error:  # noqa: BLE001 - it answers the request
            self._refuse(subscriber, error)
        else:
            subscriber.admission = None

    # Meanwhile

    async def read_failed(self, error: Exception) -> None:
        """Log any error but the database's absence; those who wait get what is in memory."""
        self._log(error)
        for number, subscriber in enumerate(list(self._joining), 1):
            self.send_old(subscriber)
            if number % BURST == 0:
                await trio.lowlevel.checkpoint()

    def send_old(self, subscriber: Subscription) -> None:
        """Send what is in memory to a subscriber that still waits and has nothing yet."""
        if self._has_nothing(subscriber) and subscriber.admission is None:
            self._send_old(subscriber)

    def notify_waiting(self, subscriber: Subscription) -> None:
        """Notify a subscriber that still waits and has nothing yet."""
        if self._has_nothing(subscriber):
            self._notify_waiting(subscriber)

    def _has_nothing(self, subscriber: Subscription) -> bool:
        return subscriber in self._joining and subscriber.rev < 0 and not subscriber.stale

    @abstractmethod
    def _send_old(self, subscriber: Subscription) -> None:
        """Send what is in memory, if there is something, and note that it is ``stale``."""

    @abstractmethod
    def _notify_waiting(self, subscriber: Subscription) -> None:
        """Notify the subscriber that it waits, and note that it is ``stale``."""

    def _log(self, error: Exception) -> None:
        if not isinstance(error, errors.ServiceUnavailable | errors.Missing):
            logger.error("topic_fault", topic=self._method, key=self.key, exc_info=error)
