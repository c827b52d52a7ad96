"""The process of a load test that changes seats by SQL.

`seatsync.load.processes` has the orders it receives and what it reports. The server receives these changes as it does a
maintainer's: through PostgreSQL alone.
"""

import math
from collections import deque
from time import monotonic

import trio
from attrs import define, field

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.telemetry.logs import configure_logs
from seatsync.errors import SeatSyncError
from seatsync.load import LoadError
from seatsync.load.plan import Share
from seatsync.load.schedule import Pace, SendTimes
from seatsync.load.stats import Count, Kind, Pipe, Reporter, Timing, next_report_at
from seatsync.load.writer import SALES, UNKNOWN, Seat, take
from seatsync.serve.failures import sentences

#: Changes in flight at a time, each on a connection of its own.
WRITERS = 8

#: trio sleeps in milliseconds; the last of them are spent in checkpoints.
AWAKE_S = 0.002

_QUERIES = load("load")


@define(eq=False)
class SqlWriters:
    """Change seats on a schedule."""

    _database: Database
    _send_times: SendTimes
    _share: Share
    _reporter: Reporter
    _writers: list[tuple[int, deque[Seat]]] = field(factory=list, init=False)
    """Seats that are changed one change after the other, with their hall's number in this test."""
    _schedule: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _all_done: trio.Event = field(factory=trio.Event, init=False)

    async def run(self, pipe: Pipe) -> None:
        """Follow the orders. Raises `LoadError`, `SeatSyncError`, and `EOFError` when the parent has ended."""
        self._reporter.send("started")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_stats)
            while True:  # until the parent closes its end
                await trio.lowlevel.wait_readable(pipe.fileno())
                await self._follow(nursery, *pipe.recv())

    async def _follow(self, nursery: trio.Nursery, order: str, patience_s: float, at: float) -> None:
        reporter = self._reporter
        match order:
            case "prepare":
                await self._prepare()
                reporter.send("ready")
            case "go":
                reporter.send_stats(next_phase="load")
                nursery.start_soon(self._load, at)
            case "stop":
                reporter.send_stats(next_phase="drain")
                self._schedule.cancel()
                with trio.move_on_after(patience_s) as scope:
                    await self._all_done.wait()
                if scope.cancelled_caught:
                    reporter.stats.fault(Kind.UNANSWERED, "Changes by SQL did not end.")
                reporter.send_stats()
                reporter.send("quiet")
            case "check":
                reporter.send("result")

    async def _prepare(self) -> None:
        halls, bulk = self._share.halls, self._share.plan.bulk
        rows = await self._database.fetch(_QUERIES["seats"], list(halls))
        for number, hall_id in enumerate(halls):
            seats = [Seat(row["id"], row["status"]) for row in rows if row["hall_id"] == hall_id]
            count = min(max(1, WRITERS // len(halls)), len(seats) // bulk)
            if not count:
                raise LoadError(f"Hall {hall_id} has {len(seats)} seats, fewer than the {bulk} of one change.")
            self._writers += [(number, deque(seats[first::count])) for first in range(count)]

    async def _load(self, at: float) -> None:
        """Change seats from that time on, until the order to stop; those that were due are changed then."""
        pace = Pace(self._share.plan.rate)
        pace.begin(at)
        send, receive = trio.open_memory_channel[float](math.inf)  # a schedule does not wait
        async with trio.open_nursery() as nursery:
            for number, free in self._writers:
                nursery.start_soon(self._write, number, free, receive)
            async with send:
                with self._schedule:
                    while True:  # until the order to stop
                        await trio.sleep(max(0.0, pace.next_at - monotonic() - AWAKE_S))
                        while monotonic() < pace.next_at:
                            await trio.lowlevel.checkpoint()
                        now = monotonic()
                        for due_at in pace.due(now):
                            self._reporter.stats.record(Timing.LAG, now - due_at)
                            send.send_nowait(due_at)
        self._all_done.set()

    async def _write(self, number: int, free: deque[Seat], due: trio.MemoryReceiveChannel[float]) -> None:
        """One statement for each change that is due. The query for its revision is not part of the latency."""
        stats, plan, hall_id = self._reporter.stats, self._share.plan, self._share.halls[number]
        async for due_at in due:
            seats = take(free, plan.bulk)
            status = SALES[seats[0].status]
            ids = [seat.id for seat in seats]
            try:
                await self._database.execute(_QUERIES["change"], ids, status)
                stats.record(Timing.ANSWER, monotonic() - due_at)
                rev = await self._database.fetchval(_QUERIES["changed_in"], hall_id, ids[0])
                self._send_times.note(number, rev, due_at)
                stats.counts[Count.ANSWERED] += 1
                stats.counts[Count.SEATS] += len(ids)
            except SeatSyncError as error:
                status = UNKNOWN
                if not plan.survive:
                    stats.fault(Kind.REFUSED, f"A change by SQL failed: {error.message}")
            for seat in seats:
                seat.status = status
            free.extend(seats)

    async def _report_stats(self) -> None:
        while True:  # until cancelled
            await trio.sleep(next_report_at() - monotonic())
            self._reporter.send_stats()


async def _run(dsn: str, pipe: Pipe, share: Share, send_times: SendTimes, reporter: Reporter) -> None:
    async with Database.open(dsn, size=WRITERS) as database:
        await SqlWriters(database, send_times, share, reporter).run(pipe)


def work(dsn: str, pipe: Pipe, share: Share, send_times: SendTimes) -> None:
    """Do the share until the pipe ends, or report why the database refuses it."""
    configure_logs("warning", "console")
    reporter = Reporter(pipe)
    try:
        trio.run(_run, dsn, pipe, share, send_times, reporter)
    except* (SeatSyncError, LoadError) as group:
        reporter.send("failed", "\n".join(sentences(group)))
    except* (EOFError, ConnectionError):  # the parent has ended
        pass
