"""Group commit under whatever may happen, in any order: locks, bad changes, faults and a slow database.

At the end every change has one outcome, what was done was done once, and the changes of one seat in their order.
"""

from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.postgres.group_commit import DEADLINE_S, FLOOR_S, MAX_ROWS, GroupCommit, Ticket
from seatsync.core.telemetry.metrics import Metrics
from tests.support.batches import FakeDatabase, Seats, outcomes

GROUPS = st.sampled_from(["a", "b", "c"])

STEPS = st.one_of(
    st.tuples(st.just("submit"), GROUPS, st.frozensets(st.integers(1, 3), min_size=1), st.booleans()),
    st.tuples(st.just("submit_many"), GROUPS, st.integers(1, 600)),
    st.tuples(st.sampled_from(["lock", "unlock"]), GROUPS),
    st.tuples(st.just("take"), st.sampled_from([0.0, 0.05, 0.7, 5.0])),
    st.tuples(st.just("fail"), st.sampled_from([None, errors.ServiceUnavailable(), RuntimeError("a bug")])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.2, 1.0])),
)


class World:
    """A queue, its database and what was asked of it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.database = FakeDatabase()
        self.writer: GroupCommit[Seats] = GroupCommit(self.database.commit, self.database.free, Metrics())
        self.tickets: list[Ticket[Seats]] = []
        nursery.start_soon(self.writer.run)

    async def submit(self, group: str, seats: frozenset[int], bad: bool) -> None:
        """A change of some seats of a hall."""
        number = len(self.tickets)
        claims = frozenset((group, seat) for seat in seats)
        self.tickets.append(self.writer.submit(Seats(number, group, claims, len(seats))))
        if bad:
            self.database.bad.add(number)

    async def submit_many(self, group: str, rows: int) -> None:
        """A large change of seats that nobody else wants."""
        self.tickets.append(self.writer.submit(Seats(len(self.tickets), group, frozenset(), rows)))

    async def lock(self, group: str) -> None:
        """Somebody begins a transaction on a hall."""
        self.database.locked.add(group)

    async def unlock(self, group: str) -> None:
        """And ends it."""
        self.database.locked.discard(group)

    async def take(self, seconds: float) -> None:
        """How long a commit takes from now on."""
        self.database.takes_s = seconds

    async def fail(self, fault: Exception | None) -> None:
        """How every commit ends from now on."""
        self.database.fault = fault

    async def wait(self, seconds: float) -> None:
        """Time passes."""
        await trio.sleep(seconds)

    async def check(self) -> None:
        """Everything has ended well, or in an error, within its time."""
        self.database.takes_s = 0.0
        with trio.fail_after(DEADLINE_S + 2 * FLOOR_S):
            found = await outcomes(self.tickets)
        done = self.database.numbers
        assert len(done) == len(set(done))
        assert {number for number, code in enumerate(found) if code == "done"} == set(done)
        by_seat: dict[Any, list[int]] = {}
        for number in done:
            for claim in self.tickets[number].change.claims:
                by_seat.setdefault(claim, []).append(number)
        assert all(numbers == sorted(numbers) for numbers in by_seat.values())
        for batch in self.database.tried:
            changes = [self.tickets[number].change for number in batch]
            assert sum(change.rows for change in changes) <= MAX_ROWS
            assert sum(len(change.claims) for change in changes) == len(frozenset().union(*(c.claims for c in changes)))


async def live_through(steps: list[tuple[Any, ...]]) -> None:
    """Take the steps, then look at what became of everything."""
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        for name, *args in steps:
            await getattr(world, name)(*args)
        await world.check()
        nursery.cancel_scope.cancel()


@settings(deadline=None, max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_every_change_ends_once_and_in_order(steps: list[tuple[Any, ...]]) -> None:
    """Whatever happened to the batches that it was in."""
    with capture_logs():
        trio.run(live_through, steps, clock=trio.testing.MockClock(autojump_threshold=0))
