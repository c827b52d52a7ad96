"""The process of a load test that changes seats by SQL.

`seatsync.load.processes` has the orders it receives and what it reports. The server receives these changes as it does a
maintainer's: through PostgreSQL alone.
"""

import math
from collections import deque
from time import monotonic

import trio
from attrs import frozen

from seatsync.core.postgres.pool import Database, open_loop
from seatsync.core.postgres.queries import load
from seatsync.core.telemetry.logs import configure_logs
from seatsync.errors import SeatSyncError
from seatsync.load import LoadError
from seatsync.load.plan import Share
from seatsync.load.schedule import Pace, SendTimes
from seatsync.load.stats import Count, Kind, Pipe, Reporter, Timing, next_report_at
from seatsync.load.writer import SALES, UNKNOWN, Seat, take

#: Changes in flight at a time, each on a connection of its own.
WRITERS = 8

#: trio sleeps in milliseconds; the last of them are spent in checkpoints.
AWAKE_S = 0.002

_QUERIES = load("load")


@frozen
class Writer:
    """Seats of a hall that are changed one change after the other."""

    number: int
    """The hall's, in this test."""
    hall_id: int
    seats: deque[Seat]


class SqlWriters:
    """Change seats on a schedule."""

    def __init__(self, database: Database, send_times: SendTimes, share: Share, reporter: Reporter) -> None:
        self._database = database
        self._send_times = send_times
        self._halls = share.halls
        self._bulk = share.plan.bulk
        self._survive = share.plan.survive
        self._pace = Pace(share.plan.rate)
        self._writers: list[Writer] = []
        self._reporter = reporter
        self._stats = reporter.stats
        self._schedule = trio.CancelScope()
        self._all_done = trio.Event()

    async def run(self, pipe: Pipe) -> None:
        """Follow the orders. Raises `LoadError`, `SeatSyncError`, and `EOFError` when the parent has ended."""
        self._reporter.send("started")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_stats)
            while True:  # until the parent closes its end
                await trio.lowlevel.wait_readable(pipe.fileno())
                await self._follow(nursery, *pipe.recv())

    async def _follow(self, nursery: trio.Nursery, order: str, patience_s: float, at: float) -> None:
        match order:
            case "prepare":
                await self._prepare()
                self._reporter.send("ready")
            case "go":
                self._reporter.send_stats(next_phase="load")
                nursery.start_soon(self._load, at)
            case "stop":
                self._reporter.send_stats(next_phase="drain")
                await self._finish(patience_s)
                self._reporter.send_stats()
                self._reporter.send("quiet")
            case "check":
                self._reporter.send("result")

    async def _prepare(self) -> None:
        rows = await self._database.fetch(_QUERIES["seats"], self._halls)
        for number, hall_id in enumerate(self._halls):
            seats = [Seat(row["id"], row["status"]) for row in rows if row["hall_id"] == hall_id]
            count = min(max(1, WRITERS // len(self._halls)), len(seats) // self._bulk)
            if not count:
                raise LoadError(f"Hall {hall_id} has {len(seats)} seats, fewer than the {self._bulk} of one change.")
            for first in range(count):
                self._writers.append(Writer(number, hall_id, deque(seats[first::count])))

    async def _load(self, at: float) -> None:
        """Change seats from that time on, until `_finish`."""
        send, receive = trio.open_memory_channel[float](math.inf)  # a schedule does not wait
        async with trio.open_nursery() as nursery:
            for writer in self._writers:
                nursery.start_soon(self._write, writer, receive)
            async with send:
                self._pace.begin(at)
                with self._schedule:
                    while True:  # until the order to stop
                        await _sleep_until(self._pace.next_at)
                        now = monotonic()
                        for due_at in self._pace.due(now):
                            self._stats.record(Timing.LAG, now - due_at)
                            send.send_nowait(due_at)
        self._all_done.set()

    async def _write(self, writer: Writer, due: trio.MemoryReceiveChannel[float]) -> None:
        async for due_at in due:
            await self._change(writer, due_at)

    async def _change(self, writer: Writer, due_at: float) -> None:
        """One statement. The query for its revision is not part of the latency."""
        seats = take(writer.seats, self._bulk)
        status = SALES[seats[0].status]
        ids = [seat.id for seat in seats]
        try:
            await self._database.execute(_QUERIES["change"], ids, status)
            self._stats.record(Timing.ANSWER, monotonic() - due_at)
            rev = await self._database.fetchval(_QUERIES["changed_in"], writer.hall_id, ids[0])
        except SeatSyncError as error:
            status = UNKNOWN
            if not self._survive:
                self._stats.fault(Kind.REFUSED, f"A change by SQL failed: {error.message}")
        else:
            self._send_times.note(writer.number, rev, due_at)
            self._stats.counts[Count.ANSWERED] += 1
            self._stats.counts[Count.SEATS] += len(ids)
        for seat in seats:
            seat.status = status
        writer.seats.extend(seats)

    async def _finish(self, patience_s: float) -> None:
        """Start no more changes, and wait for those that were due."""
        self._schedule.cancel()
        with trio.move_on_after(patience_s) as scope:
            await self._all_done.wait()
        if scope.cancelled_caught:
            self._stats.fault(Kind.UNANSWERED, "Changes by SQL did not end.")

    async def _report_stats(self) -> None:
        while True:  # until cancelled
            await trio.sleep(next_report_at() - monotonic())
            self._reporter.send_stats()


async def _sleep_until(at: float) -> None:
    """Sleep until a time on `time.monotonic`, to a fraction of a millisecond."""
    await trio.sleep(max(0.0, at - monotonic() - AWAKE_S))
    while monotonic() < at:
        await trio.lowlevel.checkpoint()


async def _run(dsn: str, pipe: Pipe, share: Share, send_times: SendTimes, reporter: Reporter) -> None:
    async with open_loop(), Database.open(dsn, size=WRITERS) as database:
        await SqlWriters(database, send_times, share, reporter).run(pipe)


def work(dsn: str, pipe: Pipe, share: Share, send_times: SendTimes) -> None:
    """Do the share until the pipe ends, or report why the database refuses it."""
    configure_logs("warning", "console")
    reporter = Reporter(pipe)
    try:
        trio.run(_run, dsn, pipe, share, send_times, reporter)
    except* (SeatSyncError, LoadError) as group:
        reporter.send("failed", str(group.exceptions[0]))
    except* (EOFError, ConnectionError):  # the parent has ended
        pass
