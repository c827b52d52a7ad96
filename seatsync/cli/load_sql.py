"""The process of a load test that changes seats by SQL: ``python -m seatsync.cli.load_sql DESCRIPTOR``.

DATABASE_URL has to be set; `seatsync.load.processes` has the lines it receives and reports. The server receives these
changes as it does a maintainer's: through PostgreSQL alone.
"""

import math
import os
import signal
import sys
from time import monotonic
from typing import Any

import trio
from attrs import frozen

from seatsync.core.postgres.pool import Database, open_loop
from seatsync.core.postgres.queries import load
from seatsync.core.telemetry.logs import configure_logs
from seatsync.errors import SeatSyncError
from seatsync.load import LoadError
from seatsync.load.processes import REPORT_S, Lines, Reporter
from seatsync.load.schedule import Pace, SendTimes
from seatsync.load.stats import Count, Kind, Timing
from seatsync.load.writer import SALES, UNKNOWN, Seat, SeatQueue

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
    seats: SeatQueue


class SqlWriters:
    """Change seats on a schedule."""

    def __init__(self, database: Database, send_times: SendTimes, share: dict[str, Any], reporter: Reporter) -> None:
        self._database = database
        self._send_times = send_times
        self._halls: list[int] = share["halls"]
        self._bulk: int = share["bulk"]
        self._survive: bool = share["survive"]
        self._pace = Pace(share["rate"])
        self._writers: list[Writer] = []
        self._reporter = reporter
        self._stats = reporter.stats
        self._schedule = trio.CancelScope()
        self._all_done = trio.Event()

    async def run(self, orders: Lines) -> None:
        """Follow the orders until they end. Raises `LoadError` and `SeatSyncError`."""
        self._reporter.send("started")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_stats)
            while True:  # until the parent closes its end
                await trio.lowlevel.wait_readable(orders.descriptor)
                lines = orders.receive()
                if lines is None:
                    break
                for order in lines:
                    await self._follow(order, nursery)
            nursery.cancel_scope.cancel()

    async def _follow(self, order: dict[str, Any], nursery: trio.Nursery) -> None:
        match order["order"]:
            case "prepare":
                await self._prepare()
                self._reporter.send("ready")
            case "go":
                self._reporter.send_stats(0, "load")
                nursery.start_soon(self._load, order["at"])
            case "stop":
                self._reporter.send_stats(0, "drain")
                await self._finish(order["patience_s"])
                self._reporter.send_stats(0)
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
                writer = Writer(number, hall_id, SeatQueue(SALES))
                writer.seats.add(seats[first::count])
                self._writers.append(writer)

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
        seats = writer.seats.take(self._bulk)
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
        writer.seats.add(seats)

    async def _finish(self, patience_s: float) -> None:
        """Start no more changes, and wait for those that were due."""
        self._schedule.cancel()
        with trio.move_on_after(patience_s) as scope:
            await self._all_done.wait()
        if scope.cancelled_caught:
            self._stats.fault(Kind.UNANSWERED, "Changes by SQL did not end.")

    async def _report_stats(self) -> None:
        while True:  # until cancelled
            await trio.sleep(REPORT_S)
            self._reporter.send_stats(0)


async def _sleep_until(at: float) -> None:
    """Sleep until a time on `time.monotonic`, to a fraction of a millisecond."""
    await trio.sleep(max(0.0, at - monotonic() - AWAKE_S))
    while monotonic() < at:
        await trio.lowlevel.checkpoint()


async def _run(orders: Lines, reporter: Reporter) -> None:
    lines = orders.receive()
    if lines is None:
        return
    configure_logs("warning", "console")
    send_times = SendTimes(int(sys.argv[1]), len(lines[0]["halls"]))
    async with open_loop(), Database.open(os.environ["DATABASE_URL"], size=WRITERS) as database:
        await SqlWriters(database, send_times, lines[0], reporter).run(orders)


def main() -> int:
    """Do the share; returns 1, and reports why, when the database refuses it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops us in order
    reporter = Reporter(sys.stdout.fileno())
    status = 0
    try:
        trio.run(_run, Lines(sys.stdin.fileno()), reporter)
    except* (SeatSyncError, LoadError) as group:
        status = 1
        reporter.send("failed", reason=str(group.exceptions[0]))
    except* BrokenPipeError:  # the parent has ended
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
