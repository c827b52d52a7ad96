"""Channels under any order of events.

Each example is a list of steps: changes, notifications that come late, twice or never, or again, new layouts and
epochs, clients that come, go, resume, stall and drain, queries that fail or take their time, a feed that is lost and
found. The clients (`Watcher`) fail the test by themselves when a frame repeats or skips a revision; at the end each of
them must see the hall as it is.
"""

from collections import deque
from contextlib import suppress
from typing import Any

import trio
import trio.testing
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seatsync import errors
from seatsync.core.channels.channels import PARTS, Channels
from seatsync.core.telemetry.metrics import Metrics
from tests.support.feeds import HALL, METHOD, FakeHall, Notice, Watcher

SEATS = st.integers(1, 4)
STATUSES = st.sampled_from(["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"])
INDEX = st.integers(0, 3)

STEPS = st.one_of(
    st.tuples(st.just("change"), SEATS, STATUSES),
    st.tuples(st.just("change_here"), SEATS, STATUSES),
    st.tuples(st.just("change_at_length"), SEATS, STATUSES),
    st.tuples(st.sampled_from(["relay", "renew_epoch", "restore", "prune", "drop", "compare"])),
    st.tuples(st.just("deliver"), st.integers(1, 5)),
    st.tuples(st.just("copy"), st.integers(0, 50)),
    st.tuples(st.sampled_from(["join", "resume", "leave", "fill", "choke", "drain"]), INDEX),
    st.tuples(st.sampled_from(["hold_answers", "release_answers", "fail", "recover"])),
    st.tuples(st.sampled_from(["lose_feed", "find_feed", "set_stale", "evict"])),
    st.tuples(st.just("pass_time"), st.sampled_from([0.0, 0.1, 1.0, 100.0])),
)


@define(eq=False)
class World:
    """One hall, its channel, four clients and all events."""

    nursery: trio.Nursery
    hall: FakeHall = field(factory=FakeHall)
    channels: Channels = field(init=False)
    watchers: list[Watcher] = field(factory=lambda: [Watcher(eid) for eid in ("a", "a", "b", "c")])
    joined: set[Watcher] = field(factory=set)
    under_way: deque[Notice] = field(factory=deque)
    """Notifications that PostgreSQL has sent and this node has not received."""
    feed_is_up: bool = False
    delivered: list[Notice] = field(factory=list)
    gates: list[trio.Event] = field(factory=list)
    resyncing: trio.CancelScope = field(factory=trio.CancelScope)

    def __attrs_post_init__(self) -> None:
        self.channels = Channels(METHOD, self.hall, self.nursery.start_soon, Metrics())

    def _commit(self, notice: Notice) -> None:
        if self.feed_is_up:
            self.under_way.append(notice)

    def _notify(self, notice: Notice) -> None:
        channel = self.channels.find(HALL)
        if channel is not None:
            notice.notify(channel)

    async def change(self, seat: int, status: str) -> None:
        """Another node, or psql, changes a seat."""
        self._commit(self.hall.change(seat, status))

    async def change_here(self, seat: int, status: str) -> None:
        """This node changes a seat: it knows of the revision before it is notified."""
        await self.change(seat, status)
        channel = self.channels.find(HALL)
        if channel is not None:
            channel.revisions.note_committed(self.hall.rev)

    async def change_at_length(self, seat: int, status: str) -> None:
        """A change whose data do not fit a notification."""
        self._commit(Notice(self.hall.change(seat, status).rev, self.hall.epoch, None))

    async def relay(self) -> None:
        """The layout changes."""
        self._commit(self.hall.relay())

    async def renew_epoch(self) -> None:
        """A maintainer renews the epoch."""
        self._commit(self.hall.renew_epoch())

    async def restore(self) -> None:
        """PostgreSQL is restored from an older copy."""
        await self.lose_feed()
        self.hall.renew_epoch(rev=max(1, self.hall.rev - 3))

    async def prune(self) -> None:
        """History is dropped."""
        self.hall.pruned = self.hall.rev

    async def deliver(self, count: int) -> None:
        """Notifications arrive."""
        for _ in range(min(count, len(self.under_way))):
            self.delivered.append(self.under_way.popleft())
            self._notify(self.delivered[-1])

    async def drop(self) -> None:
        """A notification is lost."""
        if self.under_way:
            self.under_way.popleft()

    async def copy(self, index: int) -> None:
        """A role sends a copy of a notification that it has seen, of whatever epoch."""
        if self.delivered and self.feed_is_up:
            self._notify(self.delivered[index % len(self.delivered)])

    async def compare(self) -> None:
        """The channel is compared with the database."""
        self.nursery.start_soon(self._compare)

    async def _compare(self) -> None:
        with suppress(errors.ServiceUnavailable):
            await self.channels.compare(HALL % PARTS)

    async def join(self, index: int, resume: bool = False) -> None:
        """A client subscribes; it may have to wait."""
        watcher = self.watchers[index]
        if watcher not in self.joined:
            self.joined.add(watcher)
            if not resume:
                watcher.rev = watcher.epoch = None
            watcher.subscribe(self.channels.open(HALL), resume=resume)

    async def resume(self, index: int) -> None:
        """A client resumes its earlier subscription."""
        await self.join(index, resume=True)

    async def leave(self, index: int) -> None:
        """A client goes, perhaps while it waits."""
        watcher = self.watchers[index]
        if watcher in self.joined:
            watcher.subscriber.topic.leave(watcher.subscriber)
            self.joined.discard(watcher)
            watcher.frames.clear()

    async def fill(self, index: int) -> None:
        """A client's send buffer is full."""
        self.watchers[index].full = True

    async def choke(self, index: int) -> None:
        """From now on each frame fills a client's send buffer."""
        self.watchers[index].chokes = True

    async def drain(self, index: int) -> None:
        """A client's send buffer has drained."""
        watcher = self.watchers[index]
        watcher.full = False
        if watcher in self.joined:
            watcher.drain()

    async def hold_answers(self) -> None:
        """Queries read at once, but their results are delayed."""
        self.hall.gate = trio.Event()
        self.gates.append(self.hall.gate)

    async def release_answers(self) -> None:
        """The delayed results arrive."""
        self.hall.gate = None
        while self.gates:
            self.gates.pop().set()

    async def fail(self) -> None:
        """Queries fail: the database is unavailable."""
        self.hall.fault = errors.ServiceUnavailable()

    async def recover(self) -> None:
        """Queries work again."""
        self.hall.fault = None

    async def lose_feed(self) -> None:
        """Notifications stop; those in flight are lost."""
        self.feed_is_up = False
        self.resyncing.cancel()
        self.under_way.clear()
        self.channels.lost()

    async def find_feed(self) -> None:
        """Notifications arrive again, and the channels resync."""
        if not self.feed_is_up:
            self.feed_is_up = True
            self.resyncing = trio.CancelScope()
            self.nursery.start_soon(self._resync, self.resyncing)

    async def _resync(self, scope: trio.CancelScope) -> None:
        with scope:
            try:
                await self.channels.resync()
            except errors.ServiceUnavailable:
                await self.lose_feed()
            else:
                self.channels.set_stale(stale=False)

    async def set_stale(self) -> None:
        """The loss has outlasted its grace period."""
        if not self.feed_is_up:
            self.channels.set_stale(stale=True)

    async def evict(self) -> None:
        """Idle channels are dropped."""
        self.channels.evict_idle()

    async def pass_time(self, seconds: float) -> None:
        """Tasks run; without time, until all of them wait."""
        if seconds:
            await trio.sleep(seconds)
        else:
            await trio.testing.wait_all_tasks_blocked()

    async def calm_down(self) -> None:
        """All faults end."""
        await self.recover()
        await self.release_answers()
        await self.pass_time(1.0)
        await self.lose_feed()
        await self.find_feed()
        for index, watcher in enumerate(self.watchers):
            watcher.chokes = False
            await self.drain(index)
        await self.pass_time(10.0)


async def live_through(steps: list[tuple[Any, ...]]) -> None:
    """Take the steps, then compare every client's view with the hall."""
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        await world.find_feed()
        await world.pass_time(0.0)
        for name, *args in steps:
            await getattr(world, name)(*args)
        await world.calm_down()
        assert not nursery.child_tasks, "something still runs"
        await world.change(1, "RESERVED")
        await world.change(2, "OCCUPIED")
        await world.deliver(2)
        await world.pass_time(0.0)
        for watcher in world.joined:
            watcher.assert_sees(world.hall)
            assert not watcher.stale


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=60))
def test_every_client_ends_with_the_hall(steps: list[tuple[Any, ...]]) -> None:
    """After any order of events no revision is lost and none is repeated."""
    trio.run(live_through, steps, clock=trio.testing.MockClock(autojump_threshold=0))
