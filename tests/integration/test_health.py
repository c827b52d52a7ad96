"""What keeps the database from serving, as load balancers, clients and the log are told it."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseFull, DatabaseGone, DatabaseTooSlow
from seatsync.core.postgres.health import Health
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from tests.faults.postgres import Postgres, running_postgres, stoppable_postgres
from tests.support.client import http
from tests.support.database import open_session
from tests.support.halls import make_hall
from tests.support.places import filled, scratch_directory, small_disk
from tests.support.pool import KILL, ONE, query
from tests.support.proxy import proxy_to
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually

TIMING = Timing(check_s=0.05, query_s=0.5)
SMALL_QUEUE = ("-c", "max_notify_queue_pages=64")


@define
class Watched:
    """A running check of a database, and a pool that reports to it."""

    health: Health
    db: Database
    logs: list[Any]

    async def connected(self) -> None:
        """Wait until the check has its connection."""

        async def check() -> bool:
            return bool(self.health.metrics.build_info["postgres"])

        await eventually(check)

    async def becomes(self, state: str) -> None:
        """Wait for the state."""

        async def check() -> bool:
            return self.health.state == state

        await eventually(check)

    @property
    def events(self) -> list[str]:
        """The names of the lines so far."""
        return [line["event"] for line in self.logs]


@asynccontextmanager
async def watched(dsn: str) -> AsyncIterator[Watched]:
    """A check of that database for the length of the block."""
    health = Health(dsn, Metrics(), timing=TIMING)
    with capture_logs() as logs:
        async with (
            Database.open(dsn, size=2, timing=TIMING, report=health.report) as db,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(health.run)
            yield Watched(health, db, logs)
            nursery.cancel_scope.cancel()


async def fails(attempt: Any, fault: type[errors.ServiceUnavailable], words: str) -> None:
    """The attempt raises that fault, whose message to clients has these words."""
    with pytest.raises(fault) as caught:
        await attempt
    assert words in caught.value.message


# Slow is not gone


@pytest.mark.parametrize("timing", [Timing(query_s=0.5)], ids=[""])
async def test_slow_query_is_not_an_outage(server: RunningServer) -> None:
    """A locked table: its readers are told that it took too long, and the server stays ready."""
    hall = await make_hall(server)
    async with server.db.transaction(timeout=30) as session:
        await session.script("lock table seat in access exclusive mode")
        answer = await http(server.port, "POST", "/api/hall/get", {"id": hall.id})
        ready = await http(server.port, "GET", "/readyz")
    assert (answer.status, answer.json()["error"]) == (503, "ServiceUnavailable")
    assert answer.json()["message"] == "The database took too long; try again in a moment."
    assert (ready.status, ready.json()["database"]) == (200, "ok")


async def test_deadlines_of_both_sides_are_slow(database_url: str) -> None:
    """Our deadline and PostgreSQL's are named in the log, and count for the statement alone."""
    async with watched(database_url) as it:
        await fails(it.db.fetchval(query("select pg_sleep(9)"), timeout=0.1), DatabaseTooSlow, "too long")
        async with it.db.session() as session:
            await session.script("set statement_timeout = '50ms'")
            await fails(session.fetchval(query("select pg_sleep(9)")), DatabaseTooSlow, "too long")
        assert it.health.state == "ok"
        assert it.events == ["query_failed"]
        assert it.logs[0]["error"] == "PostgreSQL has not answered in time."


async def test_ended_connection_is_not_an_outage(database_url: str, other: Database) -> None:
    """A connection that is ended, also the check's own, does not make the database unreachable."""
    async with watched(database_url) as it:
        await it.db.fetchval(ONE)
        checks = query(
            "select pid from pg_stat_activity"
            " where datname = current_database() and application_name = 'seatsync health'"
            " and query <> '' and query not like 'set%'"
        )

        async def checking() -> Any:
            return await other.fetchval(checks)

        pid = await eventually(checking)
        begun = query(f"select query_start::text from pg_stat_activity where pid = {pid}")
        first = await other.fetchval(begun)

        async def again() -> bool:
            return bool(await other.fetchval(begun) != first)

        await eventually(again)  # the first check is over
        await other.fetchval(KILL)
        await other.fetchval(query("select pg_terminate_backend($1)"), pid)

        async def another() -> bool:
            return await other.fetchval(checks) not in {None, pid}

        await eventually(another)
        assert it.health.state == "ok"
        assert "database_lost" not in it.events


# Gone


@pytest.fixture(scope="module")
def postgres(new_cluster: Path) -> Iterator[Postgres]:
    """A server that may be stopped."""
    with stoppable_postgres(new_cluster) as postgres:
        yield postgres


async def test_stopped_server_is_named_until_it_is_back(postgres: Postgres) -> None:
    """Without any query of a client the state follows, and the log has a line for each change."""
    async with watched(postgres.dsn) as it:
        await it.db.fetchval(ONE)
        await trio.to_thread.run_sync(postgres.stop, signal.SIGINT)
        await it.becomes("unreachable")
        await fails(it.db.fetchval(ONE), DatabaseGone, "cannot be reached")
        await trio.to_thread.run_sync(postgres.start)
        await it.becomes("ok")
        lost = [line for line in it.logs if line["event"] == "database_lost"]
        assert len(lost) == 1
        assert lost[0]["log_level"] == "warning"
        assert lost[0]["error"].isprintable()
        assert it.events[-1] == "database_back"


async def test_frozen_server_does_not_answer(postgres: Postgres) -> None:
    """A server that keeps its connections and answers nothing is named as such."""
    async with watched(postgres.dsn) as it:
        await it.db.fetchval(ONE)
        await it.connected()  # to connect has longer than to answer
        try:
            postgres.freeze()
            await it.becomes("does not answer")
        finally:
            postgres.thaw()
        await it.becomes("ok")


async def test_read_only_server_is_named(database_url: str, other: Database) -> None:
    """A primary that became a replica answers every query, and takes no change."""
    async with watched(database_url) as it:
        name = await other.fetchval(query("select current_database()"))
        async with other.session() as session:
            await session.script(f"alter database {name} set default_transaction_read_only = on")
        kill = query(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where datname = current_database() and application_name = 'seatsync health'"
        )

        async def ended() -> bool:  # it may be about to connect
            return bool(await other.fetchval(kill))

        await eventually(ended)
        await it.becomes("read-only")


@pytest.mark.parametrize("timing", [Timing(check_s=0.05)], ids=["quick check"])
async def test_readiness_names_database_and_feed(database_url: str, timing: Timing) -> None:
    """Without PostgreSQL both are named, though no client has asked for anything."""
    async with (
        proxy_to(database_url) as proxy,
        running_server(proxy.url, timing=timing) as server,
    ):
        proxy.cut()

        async def both() -> bool:
            answer = await http(server.port, "GET", "/readyz")
            state = answer.json()
            return (answer.status, state["database"], state["feed"]) == (503, "unreachable", "lost")

        await eventually(both)
        proxy.restore()

        async def ready() -> bool:
            return (await http(server.port, "GET", "/readyz")).status == 200

        await eventually(ready)


# Full


async def test_full_disk_is_named_until_there_is_room(new_cluster: Path) -> None:
    """Clients, log and state name the disk; a check finds the room again without a write of anybody."""
    with small_disk(120) as disk, running_postgres(disk, new_cluster=new_cluster) as postgres:
        async with watched(postgres.dsn) as it:
            postgres.sql("create table t (n text)")
            write = query("insert into t select repeat('x', 100) from generate_series(1, 10000)")
            await it.db.execute(write)
            with filled(disk):
                await fails(it.db.execute(write), DatabaseFull, "no room")
                await it.becomes("disk full")
                await fails(it.db.execute(write), DatabaseFull, "no room")
                assert it.health.state == "disk full"
                assert await it.db.fetchval(ONE) == 1
            await it.becomes("ok")
            await it.db.execute(write)
            assert it.events == ["database_full"]
            assert it.logs[0]["log_level"] == "error"
            assert "No space left on device" in it.logs[0]["error"]


async def test_detail_of_a_full_disk_is_logged(database_url: str) -> None:
    """Where the message does not name the disk, as for the files of transactions, PostgreSQL's detail does."""
    raised = query(
        """
        do $$
        begin
            raise exception 'could not access status of transaction 0'
                using errcode = '53100', detail = 'Could not write to file "pg_xact/0000": No space left on device.';
        end
        $$
        """
    )
    async with watched(database_url) as it:
        await fails(it.db.execute(raised), DatabaseFull, "no room")
        assert it.events == ["database_full"]
        assert it.logs[0]["error"].endswith('0: Could not write to file "pg_xact/0000": No space left on device.')


async def test_full_queue_is_no_bug_of_the_server(new_cluster: Path) -> None:
    """Writes get `ServiceUnavailable` and no traceback, reads are answered, and the server is not ready."""
    with (
        capture_logs() as logs,
        scratch_directory() as place,
        running_postgres(place, *SMALL_QUEUE, new_cluster=new_cluster) as postgres,
    ):
        async with Database.open(postgres.dsn, size=1) as db:
            await migrate(db)
        async with running_server(postgres.dsn) as server:
            hall, token = await make_hall(server), await server.token("ada")
            with open_session(postgres.dsn) as listener:
                listener.do("listen x")
                listener.do("begin; select 1")
                with pytest.raises(DatabaseFull):
                    await server.rows("select pg_notify('x', n || repeat('x', 7000)) from generate_series(1, 99) n")
                change = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
                bearer = {"Authorization": f"Bearer {token}"}
                answer = await http(server.port, "POST", "/api/hall/update_seat_status", change, bearer)
                assert (answer.status, answer.json()["error"]) == (503, "ServiceUnavailable")
                assert "no room" in answer.json()["message"]
                assert (await http(server.port, "POST", "/api/hall/get", {"id": hall.id})).status == 200

                async def reported() -> bool:
                    ready = await http(server.port, "GET", "/readyz")
                    return ready.status == 503 and ready.json()["database"].startswith("notification queue ")

                await eventually(reported)
    events = {line["event"] for line in logs}
    assert {"database_full", "notification_queue_filling"} <= events
    assert not {"write_rejected", "write_fault", "method_fault"} & events


async def test_queue_of_notifications_that_fills_up_is_named(new_cluster: Path) -> None:
    """From half full on the log names the session and what to do; a full queue fails commits, and is no bug."""
    with scratch_directory() as place, running_postgres(place, *SMALL_QUEUE, new_cluster=new_cluster) as postgres:
        async with watched(postgres.dsn) as it:
            notify = query("select pg_notify('seatsync', n || repeat('x', 7000)) from generate_series(1, $1::int) n")
            usage = query("select pg_notification_queue_usage()")

            async def measure() -> float:
                it.health.metrics.notification_queue_usage = float(await it.db.fetchval(usage))
                return it.health.metrics.notification_queue_usage

            with open_session(postgres.dsn) as listener:
                listener.do("listen seatsync")
                listener.do("begin; select 1")
                pid = listener.connection.info.backend_pid
                await it.db.execute(notify, 24)
                assert await measure() < 0.5
                await it.db.execute(notify, 12)
                assert 0.5 <= await measure() < 0.7

                async def filling() -> bool:
                    return it.health.state == f"notification queue {await measure():.0%} full"

                await eventually(filling)
                (line,) = it.logs
                assert (line["event"], line["log_level"], line["pid"]) == ("notification_queue_filling", "warning", pid)
                assert f"pg_terminate_backend({pid})" in line["advice"]

                with pytest.raises(DatabaseFull, match="NOTIFY queue"):
                    await it.db.execute(notify, 60)
                await eventually(filling)

            async def empty() -> bool:
                return await measure() < 0.5

            await eventually(empty)
            await it.becomes("ok")
            await it.db.execute(notify, 1)
            assert it.events == ["notification_queue_filling", "database_full"]
