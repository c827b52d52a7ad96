"""The state of the database as a whole, by a connection of its own, and the log of what fails.

A query that fails says little about the database: it may be slow, or its table locked. So a connection apart from the
pools is queried every `Timing.check_s`. The pools report their faults here, for the log; that the disk is full is known
from them alone, until a check finds room.
"""

from contextlib import closing

import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseFull, DatabaseGone, DatabaseTooSlow, DatabaseUnavailable
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Session
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import Reminders
from seatsync.core.timing import Timing

#: Usage of the notification queue from which on it counts as filling up, as for PostgreSQL's own warnings.
FILLING = 0.5

OK, UNREACHABLE, SILENT, READ_ONLY, DISK_FULL = "ok", "unreachable", "does not answer", "read-only", "disk full"

_DISK_FULL = "53100"
_READ_ONLY = "25006"
_QUERIES = load("system")

logger = structlog.get_logger(__name__)


@define(eq=False)
class Health:
    """The database's ability to serve, and the fault that keeps it from that."""

    dsn: str
    metrics: Metrics
    timing: Timing = field(factory=Timing, kw_only=True)
    state: str = field(default=OK, init=False)
    """`OK`, or in a few words what is wrong, for a load balancer and its operator."""
    _disk_full: bool = field(default=False, init=False)
    _reminders: Reminders = field(factory=Reminders, init=False)

    def report(self, fault: DatabaseUnavailable) -> None:
        """Log why a query has failed, once a minute for each kind."""
        if fault.sqlstate == _DISK_FULL:
            self._disk_full, self.state = True, DISK_FULL
        full = isinstance(fault, DatabaseFull)
        log, event = (logger.error, "database_full") if full else (logger.warning, "query_failed")
        self._reminders.write(type(fault), log, event, error=str(fault))

    async def run(self) -> None:
        """Check the database until cancelled; a cancellation closes the connection."""
        while True:
            checked = False
            try:
                with closing(await Session.connect(self.dsn, application_name="seatsync health")) as session:
                    self.metrics.build_info["postgres"] = session.server_version
                    await session.script("set work_mem = '64kB'")  # see the query for room
                    while True:
                        await self._check(session)
                        checked = True
                        with trio.move_on_after(self.timing.check_s):
                            await session.notifications(lambda _: None)  # none come, but the end of the connection
            except errors.SeatSyncError as error:
                if checked and isinstance(error, DatabaseGone):  # perhaps this connection alone has ended
                    await trio.sleep(self.timing.first_backoff_s)
                    continue
                self._lose(error)
            await trio.sleep(self.timing.check_s)

    async def _check(self, session: Session) -> None:
        """Find out the state; raises `DatabaseUnavailable` without an answer in time."""
        with trio.move_on_after(self.timing.query_s) as scope:
            if await session.fetchval(_QUERIES["read_only"]):
                raise DatabaseGone("PostgreSQL is read-only.", _READ_ONLY)
            if self._disk_full:
                try:
                    await session.fetchval(_QUERIES["room"])
                    self._disk_full = False
                except DatabaseFull as fault:
                    self.report(fault)
            usage = self.metrics.notification_queue_usage
            if usage >= FILLING:
                await self._warn_of_queue(session, usage)
        if scope.cancelled_caught:
            raise DatabaseTooSlow("PostgreSQL has not answered in time.")
        if self.state in {UNREACHABLE, SILENT, READ_ONLY}:
            self._reminders.over()
            logger.info("database_back")
        queue = f"notification queue {usage:.0%} full" if usage >= FILLING else OK
        self.state = DISK_FULL if self._disk_full else queue

    async def _warn_of_queue(self, session: Session, usage: float) -> None:
        """Log who probably holds the notification queue up: a listener that stays in a transaction."""
        holder = await session.fetchrow(_QUERIES["oldest_transaction"])
        if holder is None:
            advice = "grant pg_read_all_stats to the server's role, and this line names the oldest transaction"
        else:
            advice = f"end the oldest transaction if its session listens: select pg_terminate_backend({holder['pid']})"
        fields = {"usage": round(usage, 2), "advice": advice, **(holder or {})}
        self._reminders.write(FILLING, logger.warning, "notification_queue_filling", **fields)

    def _lose(self, error: errors.SeatSyncError) -> None:
        if isinstance(error, DatabaseTooSlow):
            self.state = SILENT
        else:
            self.state = READ_ONLY if isinstance(error, DatabaseGone) and error.sqlstate == _READ_ONLY else UNREACHABLE
        self._reminders.write(self.state, logger.warning, "database_lost", state=self.state, error=str(error))
