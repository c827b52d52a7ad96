"""The notification feed on a real PostgreSQL: when it is live, what it delivers, and how it comes back.

What depends on the feed is a stand-in that notes what it is told.
"""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
import trio.lowlevel
import trio.testing
from attrs import define, field
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.postgres import listener as module
from seatsync.core.postgres.listener import Listener
from seatsync.core.postgres.pool import Database, DatabaseRejected, open_loop
from seatsync.core.postgres.queries import Query
from seatsync.core.telemetry.metrics import Metrics
from tests.faults.postgres import Postgres, stoppable_postgres
from tests.support.waiting import eventually

PATIENCE_S = 10.0

NOTIFY = Query("notify", "A test's own.", "select pg_notify('seatsync', $1)")
FEEDS = Query(
    "feeds",
    "A test's own.",
    "select pid from pg_stat_activity where datname = current_database() and application_name = 'seatsync feed'",
)
KILL = Query("kill", "A test's own.", "select pg_terminate_backend($1)")


@define(eq=False)
class Notes:
    """A `seatsync.core.postgres.listener.Follower`, and a handler, that note what happens."""

    log: list[str] = field(factory=list)
    fault: Exception | None = None
    """What the next resync raises."""
    gate: trio.Event | None = None

    def lost(self) -> None:
        """Notifications have stopped."""
        self.log.append("lost")

    async def resync(self) -> None:
        """They come again."""
        self.log.append("resync")
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault

    def set_stale(self, *, stale: bool) -> None:
        """The loss has lasted, or is over."""
        self.log.append(f"stale {stale}")

    def note(self, rest: str) -> None:
        """A notification of the kind ``note``."""
        self.log.append(rest)

    def fail(self, _: str) -> None:
        """A notification of the kind ``fail``."""
        raise RuntimeError("a bug")

    async def wait_for(self, entry: str) -> None:
        """Until it was noted."""

        async def noted() -> bool:
            return entry in self.log

        await eventually(noted)


@define
class Feed:
    """A running listener, and somebody else's connection to its database."""

    listener: Listener
    notes: Notes
    db: Database
    metrics: Metrics

    async def notify(self, payload: str) -> None:
        """Send a notification."""
        await self.db.execute(NOTIFY, payload)

    async def kill(self) -> None:
        """End the feed's backend."""
        for row in await self.db.fetch(FEEDS):
            await self.db.execute(KILL, row["pid"])

    async def wait_live(self) -> None:
        """Until it is live; fails the test when it does not become so."""
        with trio.fail_after(PATIENCE_S):
            await self.listener.wait_live()

    async def wait_lost(self) -> None:
        """Until the loss is noticed; fails the test when it is not."""

        async def lost() -> bool:
            return not self.listener.live

        await eventually(lost)


@pytest.fixture
async def feed(database_url: str, nursery: trio.Nursery) -> AsyncIterator[Feed]:
    """A listener on a fresh database, not yet running."""
    async with open_loop(), Database.open(database_url, size=2) as db:
        yield feed_of(database_url, db)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def live(feed: Feed, nursery: trio.Nursery) -> Feed:
    """A live feed."""
    nursery.start_soon(feed.listener.run)
    await feed.wait_live()
    feed.notes.log.clear()
    return feed


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that may be stopped."""
    with stoppable_postgres() as server:
        yield server


@pytest.fixture
async def own(server: Postgres, nursery: trio.Nursery) -> AsyncIterator[Feed]:
    """A live feed of a server that may be stopped."""
    async with open_loop(), Database.open(server.dsn, size=2) as db:
        feed = feed_of(server.dsn, db)
        nursery.start_soon(feed.listener.run)
        await feed.wait_live()
        feed.notes.log.clear()
        yield feed
        nursery.cancel_scope.cancel()


def feed_of(dsn: str, db: Database) -> Feed:
    """A listener there."""
    notes, metrics = Notes(), Metrics()
    return Feed(Listener(dsn, {"note": notes.note, "fail": notes.fail}, notes, metrics), notes, db, metrics)


# Live


async def test_feed_is_live_once_everything_is_resynced(feed: Feed, nursery: trio.Nursery) -> None:
    """Not while the followers still catch up; notifications are delivered to them meanwhile."""
    feed.notes.gate = trio.Event()
    nursery.start_soon(feed.listener.run)
    await feed.notes.wait_for("resync")
    await feed.notify("note early")
    await feed.notes.wait_for("early")
    assert not feed.listener.live
    feed.notes.gate.set()
    await feed.wait_live()
    assert feed.metrics.feed_live == 1
    assert feed.notes.log == ["resync", "early"]


async def test_notifications_are_delivered_in_order(live: Feed) -> None:
    """All of them, by kind, with what follows the kind."""
    await live.db.execute(
        Query("many", "A test's own.", "select pg_notify('seatsync', 'note ' || n) from generate_series(1, 5000) n")
    )
    await live.notes.wait_for("5000")
    assert live.notes.log == [str(number) for number in range(1, 5001)]


@pytest.mark.parametrize("payload", ["", "unknown 1", "fail now", "probe 123", "fail"])
async def test_odd_notification_harms_nothing(live: Feed, payload: str) -> None:
    """Unknown kinds, somebody's own, and those that a handler fails over: the next is delivered."""
    with capture_logs() as logs:
        await live.notify(payload)
        await live.notify("note after")
        await live.notes.wait_for("after")
    assert live.notes.log == ["after"]
    assert [line["event"] for line in logs] == (["notification_fault"] if payload.startswith("fail") else [])


async def test_queue_usage_is_measured(live: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each beat asks how full PostgreSQL's queue is."""
    live.metrics.notification_queue_usage = -1.0

    async def measured() -> bool:
        return live.metrics.notification_queue_usage >= 0

    await eventually(measured)


# Lost and found


async def test_ended_backend_is_replaced(live: Feed) -> None:
    """The followers hear of the loss once, catch up, and get notifications again; a short loss is not told."""
    await live.kill()
    await live.notes.wait_for("resync")
    await live.wait_live()
    await live.notify("note again")
    await live.notes.wait_for("again")
    assert live.notes.log == ["lost", "resync", "again"]
    assert live.metrics.feed_losses == 1


async def test_lasting_loss_is_told_and_so_is_its_end(live: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, when it has lasted, and after the followers have caught up."""
    monkeypatch.setattr(module, "STALE_AFTER_S", 0.05)
    live.notes.gate = trio.Event()
    await live.kill()
    await live.notes.wait_for("stale True")
    live.notes.gate.set()
    await live.notes.wait_for("stale False")
    assert sorted(live.notes.log) == ["lost", "resync", "stale False", "stale True"]
    assert live.notes.log[-1] == "stale False"


@pytest.mark.parametrize(
    "fault", [errors.ServiceUnavailable(), DatabaseRejected("42501", "permission denied"), RuntimeError("a bug")]
)
async def test_failed_resync_is_tried_again(feed: Feed, nursery: trio.Nursery, fault: Exception) -> None:
    """Whatever it fails over: the feed is not live, the server goes on, and the next attempt may succeed."""
    feed.notes.fault = fault
    with capture_logs() as logs:
        nursery.start_soon(feed.listener.run)
        await feed.wait_live()
    assert feed.notes.log == ["resync", "resync"]
    expected = "feed_fault" if isinstance(fault, RuntimeError) else "feed_lost"
    assert [line["event"] for line in logs] == [expected, "feed_live"]


async def test_probe_that_does_not_come_back_is_no_feed(
    feed: Feed, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler in transaction mode takes LISTEN and delivers nothing: the log names the setting that helps."""
    monkeypatch.setattr(module, "PROBE_S", 0.2)
    monkeypatch.setattr(module, "CHANNEL", "elsewhere")
    monkeypatch.setattr(module._Probe, "check", lambda *_: None)
    with capture_logs() as logs:
        nursery.start_soon(feed.listener.run)

        async def twice() -> bool:
            return len(logs) >= 2

        await eventually(twice)
    assert not feed.listener.live
    assert feed.notes.log == []
    assert "LISTEN_URL" in logs[0]["error"]


async def test_unreachable_database_is_asked_ever_more_slowly(nursery: trio.Nursery) -> None:
    """No busy loop: the waits double."""
    async with open_loop():
        notes = Notes()
        listener = Listener("postgresql://localhost:1/nothing", {}, notes, Metrics())
        with capture_logs() as logs, trio.move_on_after(0.5):
            await listener.run()
    assert 2 <= len(logs) <= 5
    assert notes.log == []


async def test_frozen_server_is_noticed(server: Postgres, own: Feed) -> None:
    """It closes nothing and answers nothing: the beat finds out within two of its periods."""
    await trio.lowlevel.checkpoint()
    before = trio.current_time()
    try:
        server.freeze()
        await own.wait_lost()
        assert trio.current_time() - before < 2 * module.BEAT_S + 1
        await own.notes.wait_for("stale True")
        assert trio.current_time() - before < 5
    finally:
        server.thaw()
    await own.wait_live()
    await own.notify("note thawed")
    await own.notes.wait_for("thawed")
    assert own.notes.log == ["lost", "stale True", "resync", "stale False", "thawed"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_restart_is_survived(server: Postgres, own: Feed, how: signal.Signals) -> None:
    """The feed comes back by itself when PostgreSQL does."""
    with capture_logs():
        await trio.to_thread.run_sync(server.stop, how)
        await own.wait_lost()
        await trio.to_thread.run_sync(server.start)
        await own.wait_live()
    await own.notify("note restarted")
    await own.notes.wait_for("restarted")


async def test_cancellation_closes_the_connection(feed: Feed) -> None:
    """Whenever it comes: while connecting, while the followers catch up, or later."""

    async def nobody_listens() -> bool:
        return not await feed.db.fetch(FEEDS)

    for after_s in (0.0, 0.002, 0.005, 0.01, 0.03, 0.2):
        with trio.move_on_after(after_s):
            await feed.listener.run()
        await eventually(nobody_listens)
