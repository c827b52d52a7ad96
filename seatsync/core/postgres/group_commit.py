"""Group commit: whatever changes have gathered while one batch commits go into the next, as one statement.

A commit that notifies takes a lock that is global to the database (PostgreSQL, NOTIFY, notes), so many small commits
do not scale while one statement over many rows does. There is no timer: an idle queue commits a change at once.

Each change has its own outcome. A change waits for a later batch when it claims something (a seat, a key) that an
earlier one in the batch or before it in the queue claims. A group (a hall) whose rows somebody else has locked is put
aside, with everything that follows in it, until the lock is gone or its changes' deadline has passed: a batch waits
for a lock once, and the other groups go on.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence, Set
from typing import Generic, Protocol, TypeVar

import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.postgres.pool import DatabaseRejected
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics

logger = structlog.get_logger(__name__)

#: Rows in one batch, at most (one change alone may have as many).
MAX_ROWS = 1000

#: A change that has not committed this long after it was queued ends in `ServiceUnavailable`.
DEADLINE_S = 2.0

#: How long a batch may take, so that what waits behind it still has time; and how long it may take at least, so that
#: one change that is almost late does not hurry the others.
COMMIT_S, FLOOR_S = 1.5, 0.5

#: What a change is told that was put aside until its deadline.
HELD = "Somebody else is changing that hall and has not finished; try again in a moment."

#: How often it is looked whether groups put aside are free again, in seconds.
ASIDE_S = 0.05

#: Answers given before other tasks get their turn, among them the one that hands over the next batch.
ANSWERS = 16

#: SQLSTATEs that mean "somebody else holds the rows": lock_not_available, deadlock_detected, serialization_failure.
_LOCKED = frozenset({"55P03", "40P01", "40001"})


class Change(Protocol):
    """What the queue needs to know of a change."""

    @property
    def group(self) -> Hashable:
        """What a lock held by somebody else is likely to be confined to: the hall."""

    @property
    def rows(self) -> int:
        """How many rows it wants to change."""

    @property
    def claims(self) -> frozenset[Hashable]:
        """What no two changes of a batch may share."""


C = TypeVar("C", bound=Change)
Outcome = Json | errors.SeatSyncError


@define(eq=False)
class Ticket(Generic[C]):
    """A queued change: a `seatsync.core.protocol.registry.Pending`."""

    change: C
    deadline: float
    """On trio's clock."""
    _outcome: Outcome | None = None
    _callback: Callable[["Ticket[C]"], None] | None = None

    def on_done(self, callback: Callable[["Ticket[C]"], None]) -> None:
        """Call ``callback(self)`` once the outcome is known; it must not raise."""
        self._callback = callback

    def result(self) -> Json:
        """The answer's data; raises the error the change ended in."""
        if isinstance(self._outcome, errors.SeatSyncError):
            raise self._outcome
        assert self._outcome is not None  # noqa: S101 - only asked when done
        return self._outcome

    async def wait(self) -> Json:
        """Wait for the outcome, then `result`. A cancellation does not take the change back."""
        done = trio.Event()
        if self._outcome is None:
            self.on_done(lambda _: done.set())
            await done.wait()
        return self.result()

    def settle(self, outcome: Outcome) -> None:
        """The outcome is known."""
        self._outcome = outcome
        if self._callback is not None:
            self._callback(self)


@define(eq=False)
class GroupCommit(Generic[C]):
    """The queue and the task (`run`) that empties it.

    ``commit`` applies a batch in one transaction of at most ``timeout`` seconds and returns an outcome for each change,
    in order; it raises `ServiceUnavailable` (then nobody knows whether it happened) or `DatabaseRejected` (it did not).
    ``free`` returns the groups of those changes that nobody has locked; it raises the same.
    """

    commit: Callable[[Sequence[C], float], Awaitable[Sequence[Outcome]]]
    free: Callable[[Sequence[C]], Awaitable[Set[Hashable]]]
    metrics: Metrics
    _queue: deque[Ticket[C]] = field(factory=deque)
    _aside: dict[Hashable, deque[Ticket[C]]] = field(factory=dict)
    _arrived: trio.Event = field(factory=trio.Event)
    _put_aside: trio.Event = field(factory=trio.Event)
    _unanswered: deque[tuple[Ticket[C], Outcome]] = field(factory=deque)
    _committed: trio.Event = field(factory=trio.Event)

    def submit(self, change: C) -> Ticket[C]:
        """Queue a change; it will be done even if nobody waits for it."""
        ticket = Ticket(change, trio.current_time() + DEADLINE_S)
        aside = self._aside.get(change.group)
        if aside is not None:
            aside.append(ticket)
        else:
            self._queue.append(ticket)
            self._arrived.set()
        return ticket

    async def run(self) -> None:
        """Commit what is queued, batch after batch, until cancelled; what is queued then stays undone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_aside)
            nursery.start_soon(self._answer)
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                while self._queue:
                    await self._commit(_in_time(_take(self._queue)))

    async def _commit(self, batch: list[Ticket[C]]) -> None:
        """Commit a batch and see to its outcomes, of some perhaps past their deadline, by `FLOOR_S` at most."""
        if not batch:
            return
        changes = [ticket.change for ticket in batch]
        left_s = min(ticket.deadline for ticket in batch) - trio.current_time()
        self.metrics.write_batch_seats.observe(sum(change.rows for change in changes))
        try:
            outcomes = await self.commit(changes, min(COMMIT_S, max(FLOOR_S, left_s)))
            settled = list(zip(batch, outcomes, strict=True))
        except DatabaseRejected as error:
            await self._rejected(batch, error)
        except errors.SeatSyncError as error:
            _settle_all(batch, error)
        except Exception:
            logger.exception("write_fault")
            _settle_all(batch, errors.InternalServerError())
        else:
            self._unanswered += settled
            if self._queue:
                self._committed.set()
            else:
                self._answer_some(len(self._unanswered))

    async def _answer(self) -> None:
        """Settle what has committed, while the next batch is under way; all of it at once when cancelled."""
        try:
            while True:
                await self._committed.wait()
                self._committed = trio.Event()
                while self._unanswered:
                    await trio.lowlevel.checkpoint()
                    self._answer_some(ANSWERS)
        finally:
            self._answer_some(len(self._unanswered))

    def _answer_some(self, most: int) -> None:
        for _ in range(min(most, len(self._unanswered))):
            ticket, outcome = self._unanswered.popleft()
            ticket.settle(outcome)

    async def _rejected(self, batch: list[Ticket[C]], error: DatabaseRejected) -> None:
        """Nothing of the batch has happened: go on with all of it but what was in the way."""
        if error.sqlstate in _LOCKED:
            await self._sort_out(batch)
        elif error.is_about_data and len(batch) > 1:
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                await self._commit(_in_time(half))
        else:
            logger.error("write_rejected", exc_info=error)
            _settle_all(batch, errors.InternalServerError())

    async def _sort_out(self, batch: list[Ticket[C]]) -> None:
        """Put the locked groups of a batch aside and the rest of it back in front of the queue."""
        free = await self._free([ticket.change for ticket in batch])
        for ticket in batch:
            if ticket.change.group not in free:
                self._aside.setdefault(ticket.change.group, deque()).append(ticket)
        if not self._aside:  # the lock is gone, or it was another error that may come back at once
            await trio.sleep(ASIDE_S)
        queue = [*(ticket for ticket in batch if ticket.change.group in free), *self._queue]
        self._queue.clear()
        for ticket in queue:
            self._aside.get(ticket.change.group, self._queue).append(ticket)
        self._put_aside.set()

    async def _free(self, changes: Sequence[C]) -> Set[Hashable]:
        try:
            return await self.free(changes)
        except errors.SeatSyncError:
            return frozenset()
        except Exception:
            logger.exception("write_fault")
            return frozenset()

    async def _watch_aside(self) -> None:
        """Bring groups back into the queue when they are free again; end the changes whose deadline passes before."""
        while True:
            await self._put_aside.wait()
            self._put_aside = trio.Event()
            while self._aside:
                await trio.sleep(ASIDE_S)
                for group, tickets in list(self._aside.items()):
                    self._aside[group] = deque(_in_time(tickets, HELD))
                free = await self._free([ticket.change for tickets in self._aside.values() for ticket in tickets])
                for group in [group for group, tickets in self._aside.items() if group in free or not tickets]:
                    self._queue.extend(self._aside.pop(group))
                    self._arrived.set()


def _take(queue: deque[Ticket[C]]) -> list[Ticket[C]]:
    """The next batch, taken off the queue in order: at most `MAX_ROWS` rows, nothing claimed twice."""
    batch: list[Ticket[C]] = []
    passed: list[Ticket[C]] = []
    claimed: set[Hashable] = set()
    rows = 0
    while queue and len(batch) + len(passed) < MAX_ROWS:
        ticket = queue[0]
        if batch and rows + ticket.change.rows > MAX_ROWS:
            break
        queue.popleft()
        if claimed.isdisjoint(ticket.change.claims):
            batch.append(ticket)
            rows += ticket.change.rows
        else:
            passed.append(ticket)
        claimed |= ticket.change.claims
    queue.extendleft(reversed(passed))
    return batch


def _in_time(tickets: Iterable[Ticket[C]], sentence: str | None = None) -> list[Ticket[C]]:
    """Those whose deadline has not passed; the others end in `ServiceUnavailable`."""
    now = trio.current_time()
    in_time = []
    for ticket in tickets:
        if ticket.deadline > now:
            in_time.append(ticket)
        else:
            ticket.settle(errors.ServiceUnavailable(sentence, retry_after=1.0))
    return in_time


def _settle_all(tickets: Iterable[Ticket[C]], outcome: Outcome) -> None:
    for ticket in tickets:
        ticket.settle(outcome)
