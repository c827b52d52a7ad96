"""The queue of group commit, without I/O: the order of changes, the next batch, and groups blocked by a lock."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from typing import Generic, Protocol, TypeAlias, TypeVar

import trio
from attrs import define, field

from seatsync import errors

#: Rows in one batch, at most. A single change may have as many.
MAX_ROWS = 1000


class Change(Protocol):
    """The properties of a change that decide when it is committed."""

    @property
    def group(self) -> Hashable:
        """The unit of locking: a lock of another session blocks the changes of one group."""

    @property
    def rows(self) -> int:
        """The number of rows to change."""

    @property
    def claims(self) -> frozenset[Hashable]:
        """Keys of rows and idempotency keys. Two changes of a batch never share one."""


C = TypeVar("C", bound=Change)
R = TypeVar("R")

Outcome: TypeAlias = R | errors.SeatSyncError


@define(eq=False)
class Ticket(Generic[C, R]):
    """A queued change: a `seatsync.core.protocol.registry.Pending`."""

    change: C
    deadline: float
    """On trio's clock."""
    _outcome: Outcome[R] | None = None
    _callback: Callable[["Ticket[C, R]"], None] | None = None

    def on_done(self, callback: Callable[["Ticket[C, R]"], None]) -> None:
        """Call ``callback(self)`` when the outcome is known; it must not raise."""
        self._callback = callback

    def result(self) -> R:
        """Return the outcome of a settled change; raises it if it is an error."""
        if isinstance(self._outcome, errors.SeatSyncError):
            raise self._outcome
        assert self._outcome is not None  # noqa: S101 - an error of the caller's
        return self._outcome

    async def wait(self) -> R:
        """Wait for the outcome, then return `result`. A cancellation does not withdraw the change."""
        done = trio.Event()
        if self._outcome is None:
            self.on_done(lambda _: done.set())
            await done.wait()
        return self.result()

    def settle(self, outcome: Outcome[R]) -> None:
        """Set the outcome and call the callback."""
        self._outcome = outcome
        if self._callback is not None:
            self._callback(self)


@define(eq=False)
class WriteQueue(Generic[C, R]):
    """Tickets in order of arrival. Those of a blocked group wait apart, in order, until it is unblocked."""

    _queue: deque[Ticket[C, R]] = field(factory=deque)
    _blocked: dict[Hashable, deque[Ticket[C, R]]] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self._queue)

    def put(self, ticket: Ticket[C, R]) -> None:
        """Append a ticket."""
        self._blocked.get(ticket.change.group, self._queue).append(ticket)

    def take(self) -> list[Ticket[C, R]]:
        """Remove and return the next batch: at most `MAX_ROWS` rows, and no claim twice.

        A change is passed over when a change before it, in the batch or not, has one of its claims.
        """
        batch: list[Ticket[C, R]] = []
        passed: list[Ticket[C, R]] = []
        claimed: set[Hashable] = set()
        rows = 0
        while self._queue and len(batch) + len(passed) < MAX_ROWS:
            ticket = self._queue[0]
            if batch and rows + ticket.change.rows > MAX_ROWS:
                break
            self._queue.popleft()
            if claimed.isdisjoint(ticket.change.claims):
                batch.append(ticket)
                rows += ticket.change.rows
            else:
                passed.append(ticket)
            claimed |= ticket.change.claims
        self._queue.extendleft(reversed(passed))
        return batch

    def put_back(self, batch: Sequence[Ticket[C, R]], free: Set[Hashable]) -> None:
        """Return a batch to the front, before all changes with the same claims; block its groups that are not free."""
        for ticket in reversed(batch):
            if ticket.change.group not in free:
                self._blocked.setdefault(ticket.change.group, deque())
            self._blocked.get(ticket.change.group, self._queue).appendleft(ticket)
        queued, self._queue = self._queue, deque()
        for ticket in queued:
            self.put(ticket)

    @property
    def blocked(self) -> Iterator[Ticket[C, R]]:
        """The tickets of all blocked groups."""
        return (ticket for tickets in self._blocked.values() for ticket in tickets)

    def expire(self, now: float) -> list[Ticket[C, R]]:
        """Remove and return the blocked tickets whose deadline has passed."""
        late = [ticket for ticket in self.blocked if ticket.deadline <= now]
        for ticket in late:
            self._blocked[ticket.change.group].remove(ticket)
        self._blocked = {group: tickets for group, tickets in self._blocked.items() if tickets}
        return late

    def unblock(self, free: Set[Hashable]) -> None:
        """Move the tickets of these groups back into the queue, each group's in order."""
        for group in free & self._blocked.keys():
            self._queue.extend(self._blocked.pop(group))
