"""Group commit: the changes that arrive while one batch commits form the next batch, as one statement.

A commit that notifies takes a lock that is global to the database (PostgreSQL, NOTIFY, notes), so many small commits
do not scale while one statement over many rows does. There is no timer: an idle queue commits a change at once.

Each change has its own outcome. When another session has locked rows of a group, the batch waits for that lock once;
then the group is blocked until the lock is gone or its changes' deadlines have passed, and the other groups go on.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence, Set
from typing import Generic

import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected, DatabaseTooSlow
from seatsync.core.postgres.write_queue import C, Outcome, R, Ticket, WriteQueue
from seatsync.core.timing import Timing

logger = structlog.get_logger(__name__)

#: Outcomes delivered before other tasks get their turn, among them the one that sends the next batch.
ANSWERS = 16

#: SQLSTATEs of a lock held by another session: lock_not_available, deadlock_detected, serialization_failure.
_LOCKED = frozenset({"55P03", "40P01", "40001"})


@define(eq=False)
class GroupCommit(Generic[C, R]):
    """The queue and the task (`run`) that empties it.

    ``commit`` applies a batch in one transaction of at most ``timeout`` seconds and returns an outcome for each change,
    in order. It raises `ServiceUnavailable` (the outcome is unknown) or `DatabaseRejected` (nothing has happened).
    ``free`` returns the groups of these changes that no other session has locked; it raises the same.
    ``observe`` receives the number of rows of each batch. ``blocked_message`` is for the client whose change's
    deadline passes while its group is blocked.
    """

    commit: Callable[[Sequence[C], float], Awaitable[Sequence[Outcome[R]]]]
    free: Callable[[Sequence[C]], Awaitable[Set[Hashable]]]
    observe: Callable[[int], None]
    blocked_message: str
    timing: Timing = field(factory=Timing, kw_only=True)
    _queue: WriteQueue[C, R] = field(factory=WriteQueue, init=False)
    _arrived: trio.Event = field(factory=trio.Event, init=False)
    _blocked: trio.Event = field(factory=trio.Event, init=False)
    _unanswered: deque[tuple[Ticket[C, R], Outcome[R]]] = field(factory=deque, init=False)
    _committed: trio.Event = field(factory=trio.Event, init=False)

    def submit(self, change: C) -> Ticket[C, R]:
        """Queue a change; it is committed even if its ticket is dropped."""
        ticket: Ticket[C, R] = Ticket(change, trio.current_time() + self.timing.write_s)
        self._queue.put(ticket)
        self._arrived.set()
        return ticket

    async def run(self) -> None:
        """Commit batch after batch until cancelled; changes still queued then are not committed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._poll_blocked)
            nursery.start_soon(self._answer)
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                while batch := self._queue.take():
                    await self._commit(batch)

    async def _commit(self, batch: list[Ticket[C, R]]) -> None:
        """Commit the changes of a batch whose deadline has not passed, and settle all of it or put it back.

        A deadline may pass during the commit, by `Timing.least_commit_s` at most.
        """
        now = trio.current_time()
        late = [ticket for ticket in batch if ticket.deadline <= now]
        _settle(late, DatabaseTooSlow("The changes before it took too long."))
        batch = [ticket for ticket in batch if ticket.deadline > now]
        if not batch:
            return
        changes = [ticket.change for ticket in batch]
        left_s = min(ticket.deadline for ticket in batch) - now
        self.observe(sum(change.rows for change in changes))
        try:
            outcomes = await self.commit(changes, min(self.timing.commit_s, max(self.timing.least_commit_s, left_s)))
            answers = list(zip(batch, outcomes, strict=True))
        except DatabaseRejected as error:
            await self._rejected(batch, error)
        except errors.SeatSyncError as error:
            _settle(batch, error)
        except Exception:
            logger.exception("write_fault")
            _settle(batch, errors.InternalServerError())
        else:
            self._unanswered += answers
            if self._queue:
                self._committed.set()
            else:
                self._answer_some(len(self._unanswered))

    async def _answer(self) -> None:
        """Settle committed changes while the next batch is in flight; all of them at once when cancelled."""
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

    async def _rejected(self, batch: list[Ticket[C, R]], error: DatabaseRejected) -> None:
        """Commit nothing of the batch yet: put it back behind a lock, or bisect it to find a change with bad values."""
        if error.sqlstate in _LOCKED:
            free = await self._free([ticket.change for ticket in batch])
            if all(ticket.change.group in free for ticket in batch):  # the lock is gone, or the error may recur at once
                await trio.sleep(self.timing.blocked_poll_s)
            self._queue.put_back(batch, free)
            self._blocked.set()
        elif error.is_about_data and len(batch) > 1:
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
        else:
            logger.error("write_rejected", exc_info=error)
            _settle(batch, errors.InternalServerError())

    async def _free(self, changes: Sequence[C]) -> Set[Hashable]:
        try:
            return await self.free(changes)
        except Exception as error:
            if not isinstance(error, errors.SeatSyncError):
                logger.exception("write_fault")
            return frozenset()

    async def _poll_blocked(self) -> None:
        """Unblock groups when their locks are gone; settle the blocked changes whose deadline passes before."""
        while True:
            await self._blocked.wait()
            self._blocked = trio.Event()
            while any(self._queue.blocked):
                await trio.sleep(self.timing.blocked_poll_s)
                late = self._queue.expire(trio.current_time())
                _settle(late, errors.ServiceUnavailable(self.blocked_message, retry_after=1.0))
                self._queue.unblock(await self._free([ticket.change for ticket in self._queue.blocked]))
                self._arrived.set()


def _settle(tickets: Iterable[Ticket[C, R]], outcome: Outcome[R]) -> None:
    for ticket in tickets:
        ticket.settle(outcome)
