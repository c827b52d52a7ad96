"""A fake database that commits batches of changes: it can be slow, locked, unreachable or rejecting."""

from collections.abc import Callable, Hashable, Sequence, Set

import trio
from attrs import define, field, frozen

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.group_commit import GroupCommit
from seatsync.core.postgres.write_queue import Outcome, Ticket

LOCK_S = 0.3
"""How long the database waits for a lock."""

DONE = b"{}"


@frozen(eq=False)
class FakeChange:
    """A change of ``rows`` rows of a group, identified by its number."""

    number: int
    group: str = "group"
    claims: frozenset[Hashable] = frozenset()
    rows: int = 1


@define
class FakeDatabase:
    """Commits batches, in the way that the attributes prescribe."""

    done: list[list[int]] = field(factory=list)
    """The committed batches, by their changes' numbers."""
    tried: list[list[int]] = field(factory=list)
    timeouts: list[float] = field(factory=list)
    takes_s: float = 0.0
    gate: trio.Event | None = None
    locked: set[str] = field(factory=set)
    """Groups with rows that another session has locked."""
    lock_error: str = "55P03"
    lock_wait_s: float = LOCK_S
    bad: set[int] = field(factory=set)
    """Changes that a constraint forbids."""
    fault: Exception | None = None
    refused: dict[int, errors.SeatSyncError] = field(factory=dict)
    free_fault: Exception | None = None

    @property
    def numbers(self) -> list[int]:
        """The numbers of the committed changes, in order."""
        return [number for batch in self.done for number in batch]

    async def commit(self, changes: Sequence[FakeChange], timeout: float) -> list[Outcome[bytes]]:  # noqa: ASYNC109 - the real one's
        """Apply a batch, or fail as PostgreSQL would."""
        numbers = [change.number for change in changes]
        self.tried.append(numbers)
        self.timeouts.append(timeout)
        with trio.move_on_after(timeout):
            return await self._commit(changes, numbers)
        raise errors.ServiceUnavailable

    async def free(self, changes: Sequence[FakeChange]) -> Set[Hashable]:
        """Return the groups that are not locked."""
        await trio.lowlevel.checkpoint()
        if self.free_fault is not None:
            raise self.free_fault
        return {change.group for change in changes} - self.locked

    async def _commit(self, changes: Sequence[FakeChange], numbers: list[int]) -> list[Outcome[bytes]]:
        if self.gate is not None:
            await self.gate.wait()
        await trio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        if not self.locked.isdisjoint(change.group for change in changes):
            await trio.sleep(self.lock_wait_s)
            raise DatabaseRejected(self.lock_error, "locked by another session")
        if not self.bad.isdisjoint(numbers):
            raise DatabaseRejected("23514", "violates a check constraint")
        self.done.append(numbers)
        return [self.refused.get(number, DONE) for number in numbers]


Writer = GroupCommit[FakeChange, bytes]

BLOCKED = "The group is locked."


def writer_on(database: FakeDatabase, observe: Callable[[int], None] = lambda _: None) -> Writer:
    """A queue on that database, not yet running."""
    return GroupCommit(database.commit, database.free, observe, BLOCKED)


async def outcome(ticket: Ticket[FakeChange, bytes]) -> str:
    """Wait for the outcome; return the error's code, or ``done``."""
    try:
        await ticket.wait()
    except errors.SeatSyncError as error:
        return error.code
    return "done"


async def outcomes(tickets: Sequence[Ticket[FakeChange, bytes]]) -> list[str]:
    """The same for each of several."""
    return [await outcome(ticket) for ticket in tickets]
