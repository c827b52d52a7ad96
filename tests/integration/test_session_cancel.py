"""Cancellation at every point at which a task may be cancelled."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio

from seatsync import errors
from seatsync.core.postgres.pool import Database
from tests.support.pool import OUR_BACKENDS, SIZE, query, works
from tests.support.waiting import eventually

ADD = query("insert into seat_type (name) values ($1)")
ECHO = query("select $1::int from pg_sleep(0.001)")
LONG = query("select $1::text, pg_sleep(30)")
UNDER_WAY = query(
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
    " and state <> 'idle' and backend_type = 'client backend'"
)


async def nothing_under_way(other: Database) -> bool:
    """No statement and no transaction is under way in the database of that pool, beside its own."""
    return bool(await other.fetchval(UNDER_WAY) == 0)


class CancelAt(trio.abc.Instrument):
    """Cancels a scope just before the given step of the task that created this."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self.task = trio.lowlevel.current_task()
        self.left = step
        self.scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the task's steps."""
        if task is self.task:
            self.left -= 1
            if self.left < 0:
                self.scope.cancel()


async def in_a_transaction(db: Database, number: int) -> None:
    """Two statements and their commit."""
    async with db.transaction() as session:
        await session.execute(ADD, f"name {number}")
        assert await session.fetchval(ECHO, number) == number


async def alone(db: Database, number: int) -> None:
    """A connect, where the pool is empty, a preparation and a statement."""
    assert await db.fetchval(ECHO, number) == number


async def large(db: Database, number: int) -> None:
    """A statement that is sent and answered in many steps."""
    text = str(number) * 300_000
    assert await db.fetchval(query("select $1::text"), text) == text


@pytest.mark.parametrize("work", [in_a_transaction, alone, large])
@pytest.mark.parametrize("connected", [False, True])
async def test_cancellation_at_every_step(
    db: Database, other: Database, work: Callable[[Database, int], Awaitable[None]], connected: bool
) -> None:
    """Whichever step is cancelled, the next query gets its own result, and no statement or transaction goes on."""
    cancelled, step = True, 0
    while cancelled:
        if not connected:
            db.close()
        with trio.CancelScope() as scope:
            instrument = CancelAt(step, scope)
            trio.lowlevel.add_instrument(instrument)
            try:
                await work(db, step)
            finally:
                trio.lowlevel.remove_instrument(instrument)
        cancelled = scope.cancelled_caught
        assert await db.fetchval(ECHO, -step) == -step
        step += 1
    assert step > 1
    await works(db)
    await eventually(partial(nothing_under_way, other))


async def test_cancelled_statements_end_on_the_server(db: Database, other: Database) -> None:
    """However early it is cancelled, a long statement ends on the server, and the sessions are used again."""
    for microseconds in range(0, 4000, 100):
        with trio.move_on_after(microseconds / 1e6):
            await db.fetchval(LONG, "x")
    async with trio.open_nursery() as nursery:
        for _ in range(SIZE):
            nursery.start_soon(alone, db, 1)
    await eventually(partial(nothing_under_way, other))
    assert len(await other.fetch(OUR_BACKENDS)) <= SIZE


async def test_deadline_at_every_step(db: Database) -> None:
    """A deadline of any length ends in `ServiceUnavailable` or in the right answer."""
    for milliseconds in range(30):
        with suppress(errors.ServiceUnavailable):
            assert await db.fetchval(ECHO, milliseconds, timeout=milliseconds / 10_000) == milliseconds
    await works(db)
