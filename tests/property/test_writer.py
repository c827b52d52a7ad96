"""Group commit under locks, bad changes, faults and a slow database, in any order.

At the end every change has one outcome, is committed once or never, and changes with the same claim are in order.
"""

from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.postgres.write_queue import MAX_ROWS, Ticket
from seatsync.core.timing import Timing
from tests.support.batches import FakeChange, FakeDatabase, Writer, outcomes, writer_on

TIMING = Timing()

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
    """A queue, its database and the submitted changes."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.database = FakeDatabase()
        self.writer: Writer = writer_on(self.database)
        self.tickets: list[Ticket[FakeChange, bytes]] = []
        nursery.start_soon(self.writer.run)

    async def submit(self, group: str, rows: frozenset[int], bad: bool) -> None:
        """Submit a change of some rows of a group."""
        number = len(self.tickets)
        claims = frozenset((group, row) for row in rows)
        self.tickets.append(self.writer.submit(FakeChange(number, group, claims, len(rows))))
        if bad:
            self.database.bad.add(number)

    async def submit_many(self, group: str, rows: int) -> None:
        """Submit a large change without claims."""
        self.tickets.append(self.writer.submit(FakeChange(len(self.tickets), group, frozenset(), rows)))

    async def lock(self, group: str) -> None:
        """Another session locks a group."""
        self.database.locked.add(group)

    async def unlock(self, group: str) -> None:
        """It releases the lock."""
        self.database.locked.discard(group)

    async def take(self, seconds: float) -> None:
        """A commit takes this long from now on."""
        self.database.takes_s = seconds

    async def fail(self, fault: Exception | None) -> None:
        """Every commit raises this from now on."""
        self.database.fault = fault

    async def wait(self, seconds: float) -> None:
        """Time passes."""
        await trio.sleep(seconds)

    async def check(self) -> None:
        """Every change has an outcome in time, and the committed ones are in order and in lawful batches."""
        self.database.takes_s = 0.0
        with trio.fail_after(TIMING.write_s + 2 * TIMING.least_commit_s):
            found = await outcomes(self.tickets)
        done = self.database.numbers
        assert len(done) == len(set(done))
        assert {number for number, code in enumerate(found) if code == "done"} == set(done)
        by_claim: dict[Any, list[int]] = {}
        for number in done:
            for claim in self.tickets[number].change.claims:
                by_claim.setdefault(claim, []).append(number)
        assert all(numbers == sorted(numbers) for numbers in by_claim.values())
        for batch in self.database.tried:
            changes = [self.tickets[number].change for number in batch]
            assert sum(change.rows for change in changes) <= MAX_ROWS
            assert sum(len(change.claims) for change in changes) == len(frozenset().union(*(c.claims for c in changes)))


async def live_through(steps: list[tuple[Any, ...]]) -> None:
    """Take the steps, then check the outcomes."""
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        for name, *args in steps:
            await getattr(world, name)(*args)
        await world.check()
        nursery.cancel_scope.cancel()


@settings(deadline=None, max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_every_change_has_one_outcome_in_order(steps: list[tuple[Any, ...]]) -> None:
    """Faults, locks and rejections of a batch lose and repeat no change of it."""
    with capture_logs():
        trio.run(live_through, steps, clock=trio.testing.MockClock(autojump_threshold=0))
