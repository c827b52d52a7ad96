"""Subscribers that wait for their first frame: until the database answers, or for good if they leave.

A topic is read once for all of its subscribers that wait, and at most `MAX_READS` topics at a time. While the database
does not answer one topic is tried every `Timing.retry_s`, however many wait; the first that is answered releases the
others.
"""

import math
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence

import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.channels.broadcast import Subscription
from seatsync.core.timing import Timing

Spawn = Callable[..., object]

#: Topics that are read at once: some connections for reads stay free, whoever subscribes.
MAX_READS = 4

#: Subscribers whose sessions are checked in one read; and that are sent a frame before other tasks have their turn.
MAX_ADMISSIONS = 500
BURST = 100

logger = structlog.get_logger(__name__)


class Joining(ABC):
    """A topic, as far as its joining subscribers go. Subclasses send first frames in `_serve`."""

    def __init__(
        self, method: str, key: int | None, spawn: Spawn, timing: Timing, reads: "Reads | None" = None
    ) -> None:
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


@define(eq=False)
class Reads:
    """The topics to read: those that are due, and those to try again."""

    _spawn: Spawn
    _timing: Timing
    _due: OrderedDict[Joining, None] = field(factory=OrderedDict, init=False)
    _failed: OrderedDict[Joining, None] = field(factory=OrderedDict, init=False)
    _reading: set[Joining] = field(factory=set, init=False)
    _failed_at: float = field(default=-math.inf, init=False)
    """When the last read failed; minus infinity after one that was answered."""
    _retrying: bool = field(default=False, init=False)
    _old: "_Delay" = field(init=False)
    _notices: "_Delay" = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._old = _Delay(self._spawn, self._timing.first_frame_s)
        self._notices = _Delay(self._spawn, self._timing.waiting_after_s)

    @property
    def _failing(self) -> bool:
        """The last read failed, and the next is under way or at hand."""
        if self._failed or self._reading:
            return self._failed_at > -math.inf
        return trio.current_time() - self._failed_at < self._timing.retry_s

    def add(self, topic: Joining, subscriber: Subscription) -> None:
        """Read the topic, since that subscriber waits; never waits itself."""
        if self._failing:
            topic.send_old(subscriber)
        else:
            self._old.add(topic.send_old, subscriber)
        self._notices.add(topic.notify_waiting, subscriber)
        if topic in self._reading or topic in self._due or topic in self._failed:
            return
        if self._failing:
            self._try_again(topic)
        else:
            self._due[topic] = None
            self._start()

    def discard(self, topic: Joining) -> None:
        """No subscriber of the topic waits any more."""
        self._due.pop(topic, None)
        self._failed.pop(topic, None)

    def _start(self) -> None:
        while self._due and len(self._reading) < MAX_READS:
            topic, _ = self._due.popitem(last=False)
            self._reading.add(topic)
            self._spawn(self._read, topic)

    async def _read(self, topic: Joining) -> None:
        """Read until no subscriber of the topic waits, or a read fails."""
        try:
            while topic.waits:
                await topic.read()
                self._failed_at = -math.inf
        except Exception as error:  # noqa: BLE001 - whatever it is, the subscribers still wait
            self._failed_at = trio.current_time()
            await topic.read_failed(error)
            for one in (*self._due, topic):
                self._try_again(one)
            self._due.clear()
        finally:
            self._reading.discard(topic)
            self._start()

    def _try_again(self, topic: Joining) -> None:
        if topic.waits:
            self._failed[topic] = None
        if self._failed and not self._retrying:
            self._retrying = True
            self._spawn(self._retry)

    async def _retry(self) -> None:
        """Try one topic after the other for as long as reads fail, then all."""
        try:
            while self._failed:
                await trio.sleep(self._timing.retry_s)
                for _ in range(min(1, len(self._failed)) if self._failed_at > -math.inf else len(self._failed)):
                    topic, _ = self._failed.popitem(last=False)
                    self._due[topic] = None
                self._start()
        finally:
            self._retrying = False


@define(eq=False)
class _Delay:
    """Calls a function with each subscriber that was added, so many seconds later."""

    _spawn: Spawn
    _after_s: float
    _calls: deque[tuple[float, Callable[[Subscription], None], Subscription]] = field(factory=deque)
    _running: bool = False

    def add(self, function: Callable[[Subscription], None], subscriber: Subscription) -> None:
        """Call ``function(subscriber)`` when the time has passed."""
        self._calls.append((trio.current_time() + self._after_s, function, subscriber))
        if not self._running:
            self._running = True
            self._spawn(self._run)

    async def _run(self) -> None:
        try:
            while self._calls:
                at, function, subscriber = self._calls.popleft()
                await trio.sleep_until(at)
                function(subscriber)
        finally:
            self._running = False
