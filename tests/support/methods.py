"""Methods for tests of their callers, and a feed to subscribe to."""

from collections.abc import Callable

import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.channels.broadcast import Subscription
from seatsync.core.connections.connection import subscribing, unsubscribing
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.params import NoParams
from seatsync.core.protocol.registry import Json, Kind, Method, Pending, Registry


@define(eq=False)
class FakeWrite:
    """A write that a test commits."""

    eid: str
    outcome: errors.SeatSyncError | None = None
    _callback: Callable[[Pending], None] | None = None

    def on_done(self, callback: Callable[[Pending], None]) -> None:
        """Keep the callback."""
        self._callback = callback

    def result(self) -> Json:
        """Its answer."""
        if self.outcome is not None:
            raise self.outcome
        return Json(b'"written"')

    async def wait(self) -> Json:
        """Used over HTTP only, not in these tests."""
        return self.result()

    def commit(self) -> None:
        """Commit: the outcome is known."""
        assert self._callback is not None
        self._callback(self)


@define(eq=False)
class Domain:
    """Methods to be called, and a feed to subscribe to."""

    gate: trio.Event = field(factory=trio.Event)
    fault: Exception | None = None
    """Raised by the method ``fail`` and by `caught_up`."""
    answer: bytes = b'"done"'
    called: list[str] = field(factory=list)
    writes: list[FakeWrite] = field(factory=list)
    subscribers: list[Subscription] = field(factory=list)
    caught: list[str] = field(factory=list)
    missed: bytes | None = None
    """Sent to a subscriber that has caught up."""

    def registry(self) -> Registry:
        """The methods by name."""
        return Registry(
            [
                Method("quick", NoParams, self.quick),
                Method("slow", NoParams, self.slow),
                Method("fail", NoParams, self.fail),
                Method("write", NoParams, self.write, kind=Kind.WRITE),
                Method("watch", NoParams, self.watch, kind=Kind.SUBSCRIBE),
                unsubscribing("unwatch", "watch"),
            ],
            public_view=True,
        )

    async def quick(self, call: Call, _: NoParams) -> Json:
        """Answers at once."""
        self.called.append(call.eid)
        return Json(self.answer)

    async def slow(self, call: Call, _: NoParams) -> Json:
        """Answers when the gate is open."""
        await self.gate.wait()
        return await self.quick(call, _)

    async def fail(self, _: Call, __: NoParams) -> Json:
        """Raises."""
        assert self.fault is not None
        raise self.fault

    def write(self, call: Call, _: NoParams) -> FakeWrite:
        """Queues a write."""
        self.called.append(call.eid)
        self.writes.append(FakeWrite(call.eid))
        return self.writes[-1]

    def watch(self, call: Call, _: NoParams) -> None:
        """Subscribes, and sends a first frame."""
        with subscribing(call, self) as subscriber:
            self.subscribers.append(subscriber)
            subscriber.send(b"snapshot", b"[]")

    def leave(self, subscriber: Subscription) -> None:
        """The subscriber goes."""
        self.subscribers.remove(subscriber)

    def caught_up(self, subscriber: Subscription) -> None:
        """Its connection has drained."""
        self.caught.append(subscriber.eid)
        if self.fault is not None:
            raise self.fault
        if self.missed is not None:
            subscriber.send(b"update", self.missed)
