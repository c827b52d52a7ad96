"""The notification feed on a real PostgreSQL: liveness, delivery, loss and reconnection, with a recording follower."""

import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
from attrs import define, field
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.listener import Handlers, Listener
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from tests.faults.postgres import Postgres, stoppable_postgres
from tests.support.waiting import eventually

PATIENCE_S = 10.0

TIMING = Timing()

NOTIFY = Query("notify", "select announce($1)")
FEEDS = Query(
    "feeds",
    "select pid from pg_stat_activity where datname = current_database() and application_name = 'seatsync feed'",
)
KILL = Query("kill", "select pg_terminate_backend($1)")


@define(eq=False)
class Recorder:
    """A `seatsync.core.postgres.listener.Follower`, and handlers, that record their calls."""

    log: list[str] = field(factory=list)
    fault: Exception | None = None
    """Raised by the next resync."""
    gate: trio.Event | None = None

    def lost(self) -> None:
        """Notifications have stopped."""
        self.log.append("lost")

    async def resync(self) -> None:
        """Notifications arrive again."""
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
        """A handler that records."""
        self.log.append(rest)

    def fail(self, _: str) -> None:
        """A handler that fails."""
        raise RuntimeError("a bug")

    async def wait_for(self, entry: str) -> None:
        """Wait until the event is recorded."""

        async def recorded() -> bool:
            return entry in self.log

        await eventually(recorded)


@define
class Feed:
    """A listener, and another pool on its database."""

    listener: Listener
    recorder: Recorder
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
        """Until it is lost; fails the test when it is not."""

        async def lost() -> bool:
            return not self.listener.live

        await eventually(lost)


@pytest.fixture
def timing() -> Timing:
    """The listener's waits."""
    return TIMING


@pytest.fixture
def channel() -> str:
    """The channel it listens on."""
    return "seatsync"


@pytest.fixture
async def feed(database_url: str, nursery: trio.Nursery, channel: str, timing: Timing) -> AsyncIterator[Feed]:
    """A listener on a fresh database, not yet running."""
    async with Database.open(database_url, size=2) as db:
        yield feed_of(database_url, db, channel=channel, timing=timing)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def live(feed: Feed, nursery: trio.Nursery) -> Feed:
    """A live feed."""
    nursery.start_soon(feed.listener.run)
    await feed.wait_live()
    feed.recorder.log.clear()
    return feed


@pytest.fixture(scope="module")
def server(new_cluster: Path) -> Iterator[Postgres]:
    """A server that may be stopped."""
    with stoppable_postgres(new_cluster) as server:
        yield server


@pytest.fixture
async def own(server: Postgres, nursery: trio.Nursery, timing: Timing) -> AsyncIterator[Feed]:
    """A live feed of a server that may be stopped."""
    async with Database.open(server.dsn, size=2) as db:
        await migrate(db)
        feed = feed_of(server.dsn, db, timing=timing)
        nursery.start_soon(feed.listener.run)
        await feed.wait_live()
        feed.recorder.log.clear()
        yield feed
        nursery.cancel_scope.cancel()


def feed_of(dsn: str, db: Database, *, channel: str = "seatsync", timing: Timing = TIMING) -> Feed:
    """A listener on that database."""
    recorder, metrics = Recorder(), Metrics()
    handlers: Handlers = {"note": [recorder.note], "fail": [recorder.fail], "both": [recorder.fail, recorder.note]}
    listener = Listener(dsn, handlers, [recorder], metrics, channel=channel, timing=timing)
    return Feed(listener, recorder, db, metrics)


# Live


async def test_feed_is_live_once_everything_is_resynced(feed: Feed, nursery: trio.Nursery) -> None:
    """The feed is not live while followers resync; notifications are delivered to them meanwhile."""
    feed.recorder.gate = trio.Event()
    nursery.start_soon(feed.listener.run)
    await feed.recorder.wait_for("resync")
    await feed.notify("note early")
    await feed.recorder.wait_for("early")
    assert not feed.listener.live
    feed.recorder.gate.set()
    await feed.wait_live()
    assert feed.metrics.feed_live == 1
    assert feed.recorder.log == ["resync", "early"]


async def test_notifications_are_delivered_in_order(live: Feed) -> None:
    """Each is delivered once, by kind, with the text after the kind."""
    await live.db.execute(Query("many", "select announce('note ' || n) from generate_series(1, 5000) n"))
    await live.recorder.wait_for("5000")
    assert live.recorder.log == [str(number) for number in range(1, 5001)]


async def test_each_handler_of_a_kind_is_called(live: Feed) -> None:
    """Handlers of a kind are called in order, also after one that fails."""
    with capture_logs() as logs:
        await live.notify("both 1")
        await live.recorder.wait_for("1")
    assert [line["event"] for line in logs] == ["notification_fault"]


async def test_followers_are_called_in_order(database_url: str, nursery: trio.Nursery) -> None:
    """A follower may rely on those before it."""
    calls: list[int] = []

    class Numbered(Recorder):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        async def resync(self) -> None:
            calls.append(self.number)

    listener = Listener(database_url, {}, [Numbered(1), Numbered(2)], Metrics())
    nursery.start_soon(listener.run)
    with trio.fail_after(PATIENCE_S):
        await listener.wait_live()
    nursery.cancel_scope.cancel()
    assert calls == [1, 2]


@pytest.mark.parametrize("payload", ["", "unknown 1", "fail now", "probe 123", "fail"])
async def test_odd_notification_harms_nothing(live: Feed, payload: str) -> None:
    """After unknown kinds, forged probes and failing handlers the next notification is delivered."""
    with capture_logs() as logs:
        await live.notify(payload)
        await live.notify("note after")
        await live.recorder.wait_for("after")
    assert live.recorder.log == ["after"]
    assert [line["event"] for line in logs] == (["notification_fault"] if payload.startswith("fail") else [])


async def test_queue_usage_is_measured(live: Feed) -> None:
    """Each beat reads the usage of PostgreSQL's queue."""
    live.metrics.notification_queue_usage = -1.0

    async def measured() -> bool:
        return live.metrics.notification_queue_usage >= 0

    await eventually(measured)


# Loss and return


async def test_ended_backend_is_replaced(live: Feed) -> None:
    """Followers are notified of the loss once, resync, and get notifications again; a short loss is not stale."""
    await live.kill()
    await live.recorder.wait_for("resync")
    await live.wait_live()
    await live.notify("note again")
    await live.recorder.wait_for("again")
    assert live.recorder.log == ["lost", "resync", "again"]
    assert live.metrics.feed_losses == 1


@pytest.mark.parametrize("timing", [Timing(stale_after_s=0.05)], ids=["quickly stale"])
async def test_lasting_loss_makes_followers_stale(live: Feed) -> None:
    """Followers are stale once the loss has outlasted its grace period, until they have caught up."""
    live.recorder.gate = trio.Event()
    await live.kill()
    await live.recorder.wait_for("stale True")
    live.recorder.gate.set()
    await live.recorder.wait_for("stale False")
    assert sorted(live.recorder.log) == ["lost", "resync", "stale False", "stale True"]
    assert live.recorder.log[-1] == "stale False"


@pytest.mark.parametrize(
    "fault", [errors.ServiceUnavailable(), DatabaseRejected("42501", "permission denied"), RuntimeError("a bug")]
)
async def test_failed_resync_is_tried_again(feed: Feed, nursery: trio.Nursery, fault: Exception) -> None:
    """After any error of a resync the feed is not live, and the resync is tried again."""
    feed.recorder.fault = fault
    with capture_logs() as logs:
        nursery.start_soon(feed.listener.run)
        await feed.wait_live()
    assert feed.recorder.log == ["resync", "resync"]
    expected = "feed_fault" if isinstance(fault, RuntimeError) else "feed_lost"
    assert [line["event"] for line in logs] == [expected, "feed_live"]


@pytest.mark.parametrize("timing", [Timing(probe_s=0.2)], ids=["quick probe"])
@pytest.mark.parametrize("channel", ["Elsewhere"])
async def test_feed_without_its_probe_is_not_live(feed: Feed, nursery: trio.Nursery) -> None:
    """A pooler in transaction mode accepts LISTEN and delivers nothing: the log names the setting that helps.

    Here, LISTEN folds the channel's name to lower case, and pg_notify does not.
    """
    with capture_logs() as logs:
        nursery.start_soon(feed.listener.run)

        async def logged() -> bool:
            return bool(logs)

        await eventually(logged)
    assert not feed.listener.live
    assert feed.recorder.log == []
    assert "LISTEN_URL" in logs[0]["error"]


async def test_reconnect_attempts_back_off(nursery: trio.Nursery) -> None:
    """Reconnect delays double, and the log has one line about all of them, with the reason in one line."""
    attempts = 0

    async def refuse(stream: trio.SocketStream) -> None:
        nonlocal attempts
        attempts += 1
        await stream.aclose()

    (listening,) = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
    dsn = f"postgresql://x@127.0.0.1:{listening.socket.getsockname()[1]}/x?sslmode=disable&gssencmode=disable"
    recorder = Recorder()
    with capture_logs() as logs, trio.move_on_after(0.5):
        await Listener(dsn, {}, [recorder], Metrics()).run()
    nursery.cancel_scope.cancel()
    assert 2 <= attempts <= 5
    assert recorder.log == []
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("feed_unreachable", "warning")
    assert line["error"].isprintable()
    assert "closed the connection" in line["error"]


async def test_each_loss_is_logged_once(live: Feed) -> None:
    """A feed that was live again begins a new loss, however soon."""
    with capture_logs() as logs:
        for _ in range(2):
            await live.kill()
            await live.wait_lost()
            await live.wait_live()
    assert [line["event"] for line in logs] == ["feed_lost", "feed_live"] * 2


@pytest.mark.parametrize("timing", [Timing(beat_s=0.3, stale_after_s=0.3)], ids=["quick"])
async def test_frozen_server_is_noticed(server: Postgres, own: Feed, timing: Timing) -> None:
    """A server that neither closes nor answers is detected within two periods of the beat."""
    await trio.lowlevel.checkpoint()
    before = trio.current_time()
    try:
        server.freeze()
        await own.wait_lost()
        assert trio.current_time() - before < 2 * timing.beat_s + 1
        await own.recorder.wait_for("stale True")
        assert trio.current_time() - before < 4
    finally:
        server.thaw()
    await own.wait_live()
    await own.notify("note thawed")
    await own.recorder.wait_for("thawed")
    assert own.recorder.log == ["lost", "stale True", "resync", "stale False", "thawed"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_restart_is_survived(server: Postgres, own: Feed, how: signal.Signals) -> None:
    """The feed reconnects when PostgreSQL has restarted."""
    with capture_logs():
        await trio.to_thread.run_sync(server.stop, how)
        await own.wait_lost()
        await trio.to_thread.run_sync(server.start)
        await own.wait_live()
    await own.notify("note restarted")
    await own.recorder.wait_for("restarted")


async def test_cancellation_closes_the_connection(feed: Feed) -> None:
    """A cancellation during the connect, a resync or later closes the connection."""

    async def closed() -> bool:
        return not await feed.db.fetch(FEEDS)

    for after_s in (0.0, 0.002, 0.005, 0.01, 0.03, 0.2):
        with trio.move_on_after(after_s):
            await feed.listener.run()
        await eventually(closed)
