"""The process of a load test that changes seats by SQL: `python -m seatsync.cli.load_sql`, with DATABASE_URL set.

It takes the orders, and says the words, of `seatsync.load.worker`. What the server does with the changes is what it
does with a maintainer's: it hears of them through PostgreSQL alone.
"""

import math
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from time import monotonic
from typing import Any

import orjson
import trio
from attrs import frozen

from seatsync.core.postgres.pool import Database, open_loop
from seatsync.core.postgres.queries import load
from seatsync.core.telemetry.logs import configure_logs
from seatsync.errors import SeatSyncError
from seatsync.load.failure import LoadError
from seatsync.load.faults import Kind
from seatsync.load.lines import REPORT_S, Reporter, first_line, hush, say
from seatsync.load.pace import Pace
from seatsync.load.seats import SALES, UNSURE, Place, Seats
from seatsync.load.stats import Count, Stats, Timing
from seatsync.load.timetable import Timetable

#: Changes under way at a time, each on a connection of its own.
LANES = 8

#: trio sleeps in milliseconds; the last of them are waited for awake.
AWAKE_S = 0.002

_QUERIES = load("load")


@frozen
class Lane:
    """Seats of a hall that are changed one change after the other."""

    number: int
    """The hall's, in this test."""
    hall_id: int
    seats: Seats


class SqlWriter:
    """Changes seats on a schedule."""

    def __init__(self, database: Database, timetable: Timetable, share: dict[str, Any]) -> None:
        self._database = database
        self._timetable = timetable
        self._halls: list[int] = share["halls"]
        self._bulk: int = share["bulk"]
        self._survive: bool = share["survive"]
        self._pace = Pace(share["rate"])
        self._lanes: list[Lane] = []
        self._stats = Stats()
        self._reporter = Reporter(self._stats, live=lambda: 0)
        self._schedule = trio.CancelScope()
        self._all_done = trio.Event()

    async def obey(self, orders: AsyncIterator[dict[str, Any]]) -> None:
        """Do as told until there are no more orders. Raises `LoadError` and `SeatSyncError`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_on)
            async for order in orders:
                match order["do"]:
                    case "prepare":
                        await self._prepare()
                        say("ready")
                    case "go":
                        self._reporter.report("load")
                        nursery.start_soon(self._load, order["at"])
                    case "stop":
                        self._reporter.report("drain")
                        await self._finish(order["patience_s"])
                        self._reporter.report()
                        say("quiet")
                    case "check":
                        say("result")
            nursery.cancel_scope.cancel()

    async def _prepare(self) -> None:
        rows = await self._database.fetch(_QUERIES["seats"], self._halls)
        for number, hall_id in enumerate(self._halls):
            places = [Place(row["id"], row["status"]) for row in rows if row["hall_id"] == hall_id]
            lanes = min(max(1, LANES // len(self._halls)), len(places) // self._bulk)
            if not lanes:
                raise LoadError(f"Hall {hall_id} has {len(places)} seats, not the {self._bulk} of one change.")
            for first in range(lanes):
                seats = Seats(SALES)
                seats.add(places[first::lanes])
                self._lanes.append(Lane(number, hall_id, seats))

    async def _load(self, at: float) -> None:
        """Change seats from that time on, until `_finish`."""
        send, receive = trio.open_memory_channel[float](math.inf)  # a schedule does not wait
        async with trio.open_nursery() as nursery:
            for lane in self._lanes:
                nursery.start_soon(self._work, lane, receive)
            async with send:
                self._pace.begin(at)
                with self._schedule:
                    while True:  # until the order to stop
                        await _sleep_until(self._pace.next_at)
                        now = monotonic()
                        for meant_at in self._pace.due(now):
                            self._stats.timings[Timing.LAG].record(now - meant_at)
                            send.send_nowait(meant_at)
        self._all_done.set()

    async def _work(self, lane: Lane, due: trio.MemoryReceiveChannel[float]) -> None:
        async for meant_at in due:
            await self._change(lane, meant_at)

    async def _change(self, lane: Lane, meant_at: float) -> None:
        """One statement. What it made is looked up afterwards: that is no part of what is measured."""
        places = lane.seats.take(self._bulk)
        status = SALES[places[0].status]
        ids = [place.id for place in places]
        try:
            await self._database.execute(_QUERIES["change"], ids, status)
            self._stats.timings[Timing.ANSWER].record(monotonic() - meant_at)
            rev = await self._database.fetchval(_QUERIES["changed_in"], lane.hall_id, ids[0])
        except SeatSyncError as error:
            status = UNSURE
            if not self._survive:
                self._stats.faults.add(Kind.REFUSED, f"A change by SQL failed: {error.message}")
        else:
            self._timetable.note(lane.number, rev, meant_at)
            self._stats.counts[Count.ANSWERED] += 1
            self._stats.counts[Count.SEATS] += len(ids)
        for place in places:
            place.status = status
        lane.seats.add(places)

    async def _finish(self, patience_s: float) -> None:
        """Start no more changes, and wait for those that were due."""
        self._schedule.cancel()
        with trio.move_on_after(patience_s) as scope:
            await self._all_done.wait()
        if scope.cancelled_caught:
            self._stats.faults.add(Kind.UNANSWERED, "Changes by SQL did not end.")

    async def _report_on(self) -> None:
        while True:  # until cancelled
            await trio.sleep(REPORT_S)
            self._reporter.report()


async def _sleep_until(at: float) -> None:
    """Sleep until a time on `time.monotonic`, to a fraction of a millisecond."""
    await trio.sleep(max(0.0, at - monotonic() - AWAKE_S))
    while monotonic() < at:
        await trio.lowlevel.checkpoint()


async def _orders(stream: trio.lowlevel.FdStream) -> AsyncGenerator[dict[str, Any], None]:
    """What the parent says, to its end."""
    rest = b""
    while data := await stream.receive_some():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield orjson.loads(line)


async def _run() -> None:
    share = first_line()
    configure_logs("warning", "console")
    timetable = Timetable(int(sys.argv[1]), len(share["halls"]))
    async with open_loop(), Database.open(os.environ["DATABASE_URL"], size=LANES) as database:
        say("started")
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream, aclosing(_orders(stream)) as orders:
            await SqlWriter(database, timetable, share).obey(orders)


def main() -> int:
    """Do the share; returns 1, having said why, when the database does not let us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops us in order
    status = 0
    try:
        trio.run(_run)
    except* (SeatSyncError, LoadError) as group:
        status = 1
        say("failed", words=str(group.exceptions[0]))
    except* BrokenPipeError:  # the parent is gone
        hush()
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
