"""The pool while PostgreSQL ends its connections, refuses writes, freezes, or stops and starts."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.postgres.pool import Database
from seatsync.core.timing import Timing
from tests.faults.postgres import Postgres, stoppable_postgres
from tests.support.pool import KILL, ONE, OUR_BACKENDS, SIZE, SLEEP, query, unavailable, works
from tests.support.waiting import eventually

ADD = query("insert into seat_type (name) values ('x')")


@pytest.fixture(scope="module")
def server(new_cluster: Path) -> Iterator[Postgres]:
    """A server that may be stopped."""
    with stoppable_postgres(new_cluster) as server:
        yield server


@pytest.fixture
async def own(server: Postgres) -> AsyncIterator[Database]:
    """A pool on a server that may be stopped."""
    async with Database.open(server.dsn, size=SIZE, timing=Timing(cancel_s=0.2)) as db:
        yield db


async def test_ended_connections_are_not_used(db: Database, other: Database) -> None:
    """After a restart of PostgreSQL the first query works."""
    await works(db)
    await other.fetchval(KILL)

    async def gone() -> bool:
        return not await other.fetch(OUR_BACKENDS)

    await eventually(gone)
    await trio.testing.wait_all_tasks_blocked(0.05)
    for _ in range(5):
        assert await db.fetchval(ONE) == 1
    await works(db)


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_connection_that_is_ended_in_use_is_an_outage(
    db: Database, other: Database, in_transaction: bool
) -> None:
    """The query raises `ServiceUnavailable` at once, and the pool stays usable."""
    async with trio.open_nursery() as nursery:

        async def use() -> None:
            async with db.transaction() if in_transaction else db.session() as session:
                await session.fetchval(SLEEP)

        async def fail() -> None:
            assert await unavailable(use()) < 1.5

        nursery.start_soon(fail)
        await trio.testing.wait_all_tasks_blocked(0.1)
        await other.fetchval(KILL)
    await works(db)


async def test_server_that_became_read_only_is_an_outage(db: Database, other: Database) -> None:
    """An old primary after a failover: its connections are dropped, the next may reach the new one."""
    async with db.session() as session:
        await session.script("set default_transaction_read_only = on")
    with pytest.raises(errors.ServiceUnavailable):
        await db.execute(ADD)
    await db.execute(ADD)


async def test_refused_connection_is_an_outage() -> None:
    """A refused connection raises at once, not at the deadline."""
    async with Database.open("postgresql://localhost:1/nothing", size=1) as db:
        assert await unavailable(db.fetchval(ONE)) < 1
        assert db.in_use == 0


async def test_frozen_server_costs_its_deadline(server: Postgres, own: Database) -> None:
    """Queries, new connections and open transactions all give up in time, and the pool works when it thaws."""
    await works(own)
    before = trio.current_time()
    try:
        async with trio.open_nursery() as nursery:

            async def use() -> None:
                async with own.transaction(timeout=0.3) as session:
                    await session.execute(ONE)
                    await trio.sleep(0.1)
                    await session.execute(ONE)

            for _ in range(SIZE):
                nursery.start_soon(unavailable, use())
            await trio.testing.wait_all_tasks_blocked(0.05)
            server.freeze()
            for _ in range(3 * SIZE):
                nursery.start_soon(unavailable, own.fetchval(ONE, timeout=0.3))
        assert trio.current_time() - before < 1.5
    finally:
        server.thaw()
    await works(own)


async def test_restart_during_cancellations_is_survived(server: Postgres, own: Database) -> None:
    """Callers see only outages, whatever the driver raises, and the pool recovers."""

    async def use(after_s: float) -> None:
        with trio.move_on_after(after_s):
            try:
                async with own.transaction() as session:
                    await session.fetchval(query("select pg_sleep(0.01)"))
            except errors.ServiceUnavailable:
                await trio.sleep(0.01)

    async def use_forever() -> None:
        number = 0
        while True:
            number += 1
            await use(number % 17 * 0.002)

    with capture_logs():
        async with trio.open_nursery() as nursery:
            for _ in range(2 * SIZE):
                nursery.start_soon(use_forever)
            for how in (signal.SIGQUIT, signal.SIGINT):
                await trio.sleep(0.2)
                await trio.to_thread.run_sync(server.stop, how)
                await trio.sleep(0.1)
                await trio.to_thread.run_sync(server.start)
            await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
        await works(own)
