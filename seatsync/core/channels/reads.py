"""The reads of a node for subscribers that wait for their first frame.

A topic is read once for all of its subscribers that wait, and at most `MAX_READS` topics at a time. While the database
does not answer one topic is tried every `Timing.retry_s`, however many wait; the first that is answered releases the
others.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

import trio
from attrs import define, field

from seatsync.core.channels.broadcast import Subscription
from seatsync.core.timing import Timing

#: Topics that are read at once: some connections for reads stay free, whoever subscribes.
MAX_READS = 4


class Readable(Protocol):
    """A topic with subscribers that wait."""

    @property
    def waits(self) -> bool:
        """A subscriber waits."""

    async def read(self) -> None:
        """Read what the subscribers wait for, and send it to some of them at least; raises what the database raises."""

    async def read_failed(self, error: Exception) -> None:
        """A read has failed: the subscribers get what is in memory."""

    def send_old(self, subscriber: Subscription) -> None:
        """Send what is in memory to a subscriber that still waits and has nothing yet."""

    def notify_waiting(self, subscriber: Subscription) -> None:
        """Notify a subscriber that still waits and has nothing yet."""


@define(eq=False)
class Reads:
    """The topics to read: those that are due, and those to try again."""

    _spawn: Callable[..., object]
    _timing: Timing
    _due: OrderedDict[Readable, None] = field(factory=OrderedDict, init=False)
    _failed: OrderedDict[Readable, None] = field(factory=OrderedDict, init=False)
    _reading: set[Readable] = field(factory=set, init=False)
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

    def add(self, topic: Readable, subscriber: Subscription) -> None:
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

    def discard(self, topic: Readable) -> None:
        """No subscriber of the topic waits any more."""
        self._due.pop(topic, None)
        self._failed.pop(topic, None)

    def _start(self) -> None:
        while self._due and len(self._reading) < MAX_READS:
            topic, _ = self._due.popitem(last=False)
            self._reading.add(topic)
            self._spawn(self._read, topic)

    async def _read(self, topic: Readable) -> None:
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

    def _try_again(self, topic: Readable) -> None:
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

    _spawn: Callable[..., object]
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
