"""The start of a server on a database that is slow, out of connections, or not what its address says."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from seatsync.core.postgres.faults import DatabaseTooSlow
from seatsync.core.postgres.pool import pools_transactions
from seatsync.core.timing import Timing
from seatsync.errors import StartError
from seatsync.serve.process import check_pooling
from tests.faults.drill import Skipped
from tests.faults.network import running_pgbouncer
from tests.faults.postgres import Postgres, running_postgres
from tests.support.client import http
from tests.support.database import open_session
from tests.support.places import scratch_directory
from tests.support.proxy import proxy_to
from tests.support.server import running_server
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def postgres(new_cluster: Path) -> Iterator[Postgres]:
    """A server for poolers, which run as another account."""
    with scratch_directory() as directory, running_postgres(directory, new_cluster=new_cluster) as postgres:
        postgres.open_to_all()
        yield postgres


@contextmanager
def pooler(postgres: Postgres, mode: str, *, size: int = 20) -> Iterator[str]:
    """The address of a pgbouncer before that server; skips the test where there is none."""
    with ExitStack() as stack:
        directory = stack.enter_context(scratch_directory())
        try:
            pgbouncer = stack.enter_context(running_pgbouncer(directory, postgres, mode, size=size))
        except Skipped as reason:
            pytest.skip(str(reason))
        yield pgbouncer.dsn


async def logged(logs: list[Any]) -> None:
    """Wait for a line of the log."""

    async def check() -> bool:
        return bool(logs)

    await eventually(check)


async def test_plain_postgresql_is_no_pooler(database_url: str) -> None:
    """Two sessions of PostgreSQL itself keep what each has set."""
    assert await pools_transactions(database_url) is False


async def test_slow_answer_is_no_pooler(database_url: str) -> None:
    """No answer in time says nothing about the kind of address."""
    with pytest.raises(DatabaseTooSlow):
        await pools_transactions(database_url, timing=Timing(query_s=0))


async def test_start_waits_for_a_slow_database(database_url: str) -> None:
    """A database that does not answer yet is awaited, and the log says so once."""
    async with proxy_to(database_url) as proxy:
        proxy.freeze()
        with capture_logs() as logs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(check_pooling, "DATABASE_URL", f"{proxy.url}?connect_timeout=2")
                await logged(logs)
                proxy.thaw()
        (line,) = logs
        assert (line["event"], line["log_level"]) == ("database_awaited", "warning")
        assert "DATABASE_URL does not answer yet" in line["message"]
        assert line["error"].isprintable()


async def test_start_waits_for_a_connection_of_a_pooler(postgres: Postgres) -> None:
    """A pooler of sessions without a free connection is none of transactions."""
    with pooler(postgres, "session", size=2) as dsn, capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            with open_session(dsn) as busy:
                busy.do("select 1")
                check = partial(check_pooling, timing=Timing(query_s=0.3))
                nursery.start_soon(check, "DATABASE_URL", dsn)
                await logged(logs)
        assert [line["event"] for line in logs] == ["database_awaited"]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_pooler_that_shares_connections_is_refused(postgres: Postgres, mode: str) -> None:
    """It is named, with the setting and what to do."""
    with pooler(postgres, mode) as dsn, pytest.raises(StartError, match=r"^LISTEN_URL is a pooler that gives each"):
        await check_pooling("LISTEN_URL", dsn)


async def test_feed_that_cannot_be_reached_is_named(database_url: str) -> None:
    """The start fails with the reason, and not with a guess at a pooler."""
    timing, elsewhere = Timing(feed_start_s=0.2), "postgresql://127.0.0.1:1/elsewhere"
    with pytest.RaisesGroup(pytest.RaisesExc(StartError, match="Connection refused"), flatten_subgroups=True):
        async with running_server(database_url, timing=timing, LISTEN_URL=elsewhere):
            pytest.fail("the server is up")


async def test_start_waits_for_a_slow_feed(database_url: str) -> None:
    """A feed that does not answer yet is no reason to end."""
    async with proxy_to(database_url) as proxy, trio.open_nursery() as nursery:
        proxy.freeze()

        async def thaw() -> None:
            await logged(logs)
            proxy.thaw()

        with capture_logs() as logs:
            nursery.start_soon(thaw)
            async with running_server(database_url, timing=Timing(feed_start_s=0.2), LISTEN_URL=proxy.url) as server:
                assert (await http(server.port, "GET", "/readyz")).status == 200
        assert logs[0]["event"] == "feed_unreachable"
