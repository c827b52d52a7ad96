"""A database that commits batches of changes, in a few lines: it can be slow, locked, away or wrong."""

from collections.abc import Hashable, Sequence, Set

import trio
from attrs import define, field, frozen

from seatsync import errors
from seatsync.core.postgres.group_commit import Outcome, Ticket
from seatsync.core.postgres.pool import DatabaseRejected
from seatsync.core.protocol.registry import Json

LOCK_S = 0.3
"""How long the database waits for a lock."""

DONE = Json(b"{}")


@frozen(eq=False)
class Seats:
    """A change of some seats of a hall; the number tells it apart."""

    number: int
    group: str = "hall"
    claims: frozenset[Hashable] = frozenset()
    rows: int = 1


@define
class FakeDatabase:
    """Commits batches: what happens is set from outside."""

    done: list[list[int]] = field(factory=list)
    """The batches that were committed, by their changes' numbers."""
    tried: list[list[int]] = field(factory=list)
    timeouts: list[float] = field(factory=list)
    takes_s: float = 0.0
    gate: trio.Event | None = None
    locked: set[str] = field(factory=set)
    """Groups whose rows somebody else has locked."""
    lock_error: str = "55P03"
    lock_wait_s: float = LOCK_S
    bad: set[int] = field(factory=set)
    """Changes that a rule of the database forbids."""
    fault: Exception | None = None
    refused: dict[int, errors.SeatSyncError] = field(factory=dict)
    free_fault: Exception | None = None

    @property
    def numbers(self) -> list[int]:
        """What was committed, in order."""
        return [number for batch in self.done for number in batch]

    async def commit(self, changes: Sequence[Seats], timeout: float) -> list[Outcome]:  # noqa: ASYNC109 - the real one's
        """Apply a batch, or fail as the real one would."""
        numbers = [change.number for change in changes]
        self.tried.append(numbers)
        self.timeouts.append(timeout)
        with trio.move_on_after(timeout):
            return await self._commit(changes, numbers)
        raise errors.ServiceUnavailable

    async def free(self, changes: Sequence[Seats]) -> Set[Hashable]:
        """The groups that nobody has locked."""
        await trio.lowlevel.checkpoint()
        if self.free_fault is not None:
            raise self.free_fault
        return {change.group for change in changes} - self.locked

    async def _commit(self, changes: Sequence[Seats], numbers: list[int]) -> list[Outcome]:
        if self.gate is not None:
            await self.gate.wait()
        await trio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        if not self.locked.isdisjoint(change.group for change in changes):
            await trio.sleep(self.lock_wait_s)
            raise DatabaseRejected(self.lock_error, "somebody else has it")
        if not self.bad.isdisjoint(numbers):
            raise DatabaseRejected("23514", "a check says no")
        self.done.append(numbers)
        return [self.refused.get(number, DONE) for number in numbers]


async def outcome(ticket: Ticket[Seats]) -> str:
    """The code of the error it ended in, or ``done``."""
    try:
        await ticket.wait()
    except errors.SeatSyncError as error:
        return error.code
    return "done"


async def outcomes(tickets: Sequence[Ticket[Seats]]) -> list[str]:
    """Of each."""
    return [await outcome(ticket) for ticket in tickets]
