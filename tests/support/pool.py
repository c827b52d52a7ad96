"""Queries for tests of the pool, and assertions about it."""

from typing import Any

import pytest
import trio

from seatsync import errors
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query

SIZE = 3


def query(sql: str) -> Query:
    """A query of the test's own."""
    return Query("test", sql)


ONE = query("select 1")
MY_PID = query("select pg_backend_pid()")
OUR_BACKENDS = query(
    "select pid from pg_stat_activity"
    " where datname = current_database() and application_name = 'seatsync' and pid <> pg_backend_pid()"
)
KILL = query(
    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
    " where datname = current_database() and application_name = 'seatsync' and pid <> pg_backend_pid()"
)
SLEEP = query("select pg_sleep(30)")
SLEEPERS = query("select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'")


async def unavailable(attempt: Any) -> float:
    """Assert that the attempt raises `ServiceUnavailable`; return its seconds."""
    before = trio.current_time()
    with pytest.raises(errors.ServiceUnavailable):
        await attempt
    return trio.current_time() - before


async def works(db: Database) -> None:
    """Assert that all slots of the pool can be used at once."""
    pids: set[int] = set()
    all_used = trio.Event()
    async with trio.open_nursery() as nursery:

        async def use() -> None:
            async with db.session(timeout=10) as session:
                pids.add(await session.fetchval(MY_PID))
                if len(pids) == db.size:
                    all_used.set()
                await all_used.wait()

        for _ in range(db.size):
            nursery.start_soon(use)
    assert db.in_use == 0
