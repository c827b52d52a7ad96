"""When a server looks for holds that are due: by a fake database, and a clock that jumps."""

from typing import Any

import pytest
import trio
from attrs import define, field
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.queries import Query
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.hall.holds import BATCH, Expiry

TIMING = Timing()


@define
class FakeDatabase:
    """Holds by the times at which they are due, on trio's clock; some cannot be freed."""

    due: list[float] = field(factory=list)
    locked: int = 0
    fault: Exception | None = None
    looks: list[float] = field(factory=list)
    freed: list[tuple[float, int]] = field(factory=list)

    async def fetch(self, _: Query, most: int) -> list[dict[str, Any]]:
        """Free what is due."""
        await trio.lowlevel.checkpoint()
        now = trio.current_time()
        self.looks.append(now)
        if self.fault is not None:
            raise self.fault
        self.due.sort()
        number = min(most, max(0, sum(at <= now for at in self.due) - self.locked))
        del self.due[self.locked : self.locked + number]
        if number:
            self.freed.append((now, number))
        return [{"expired": number, "due_in": self.due[0] - now if self.due else None}]

    async def fetchval(self, _: Query) -> int:
        """Count them."""
        await trio.lowlevel.checkpoint()
        return len(self.due)


async def watch(database: FakeDatabase, seconds: float) -> Metrics:
    """Let a server look after that database for so long."""
    metrics = Metrics()
    with trio.move_on_after(seconds):
        await Expiry(database, metrics, TIMING).run()  # type: ignore[arg-type] # as much of one as it uses
    return metrics


async def test_it_wakes_when_the_next_is_due(autojump_clock: trio.testing.MockClock) -> None:
    """Not later, and in between no more often than a new hold could be due."""
    begin = trio.current_time()
    database = FakeDatabase(due=[begin + 10.3, begin + 10.31, begin + 30])
    metrics = await watch(database, 20)
    assert [number for _, number in database.freed] == [1, 1]
    assert database.freed[0][0] - begin == pytest.approx(10.3)
    assert database.freed[1][0] - begin == pytest.approx(10.3 + TIMING.hold_gather_s)
    assert len(database.looks) <= 20 / TIMING.hold_check_s + 4
    assert (metrics.holds_expired, metrics.holds) == (2, 1)


async def test_many_are_freed_in_batches(autojump_clock: trio.testing.MockClock) -> None:
    """One after the other, with a pause for writers, until none is due."""
    begin = trio.current_time()
    database = FakeDatabase(due=[begin + 1] * 10_000)
    metrics = await watch(database, 3)
    assert [number for _, number in database.freed] == [BATCH] * (10_000 // BATCH)
    assert database.freed[-1][0] - begin < 2
    assert metrics.holds_expired == 10_000


async def test_what_is_locked_is_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    """Soon, and not without a pause."""
    begin = trio.current_time()
    database = FakeDatabase(due=[begin], locked=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, database, 3)
        await trio.sleep(2)
        database.locked = 0
    assert database.freed[0][0] - begin <= 2 + TIMING.hold_locked_s
    assert len(database.looks) < 3 / TIMING.hold_locked_s


@pytest.mark.parametrize("fault", [errors.ServiceUnavailable(), DatabaseRejected("42501", "permission denied")])
async def test_a_database_that_is_away_or_refuses(
    autojump_clock: trio.testing.MockClock, fault: errors.SeatSyncError
) -> None:
    """Nothing ends, and all that is due meanwhile does when it is back; a refusal is logged now and then."""
    begin = trio.current_time()
    database = FakeDatabase(due=[begin + 1, begin + 2], fault=fault)
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, database, 3700)
            await trio.sleep(3600)
            database.fault = None
    assert [number for _, number in database.freed] == [2]
    assert database.freed[0][0] - begin <= 3600 + TIMING.hold_check_s
    events = [log["event"] for log in logs]
    assert set(events) == ({"holds_not_expired"} if isinstance(fault, DatabaseRejected) else set())
    assert len(events) <= 61
