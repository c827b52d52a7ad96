"""Holds that are due: their seats are freed, each once, by whichever server comes first.

The clock is the database's. Servers need not know each other, nor be notified of a new hold: each asks every
`Timing.hold_check_s`, which is sooner than the shortest hold ends, and when the next one is due. What one leaves undone
because it ends or has lost the database, another does, or the same when it is back.
"""

import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import REFUSALS, Lines
from seatsync.core.timing import Timing

#: Seats of one statement, at most: so long do writers in their halls wait.
BATCH = 250

_QUERIES = load("hall")

logger = structlog.get_logger(__name__)


@define(eq=False)
class Expiry:
    """Frees the seats of holds that are due."""

    _db: Database
    _metrics: Metrics
    _timing: Timing = Timing()
    _lines: Lines = field(factory=lambda: Lines(*REFUSALS))
    _count_at: float = 0.0

    async def run(self) -> None:
        """Free what is due when it is due, until cancelled; a statement that is cancelled has freed all or nothing."""
        while True:
            wait_s = self._timing.hold_check_s
            try:
                wait_s = await self._expire()
                await self._count()
            except errors.ServiceUnavailable:
                pass  # the pool reports it, and nothing is lost
            except DatabaseRejected as error:
                self._lines.write(logger.warning, "holds_not_expired", error=str(error))
            await trio.sleep(wait_s)

    async def _expire(self) -> float:
        """Free a batch, and return in how many seconds to look again."""
        (row,) = await self._db.fetch(_QUERIES["expire_holds"], BATCH)
        expired: int = row["expired"]
        due_in: float | None = row["due_in"]
        self._metrics.holds_expired += expired
        if due_in is None:
            return self._timing.hold_check_s
        if due_in > 0:
            return min(max(due_in, self._timing.hold_gather_s), self._timing.hold_check_s)
        return self._timing.hold_batch_s if expired else self._timing.hold_locked_s

    async def _count(self) -> None:
        """Count the holds now and then."""
        if trio.current_time() >= self._count_at:
            self._metrics.holds = await self._db.fetchval(_QUERIES["count_holds"])
            self._count_at = trio.current_time() + self._timing.hold_count_s
