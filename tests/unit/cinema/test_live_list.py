"""The live list of cinemas: the frames of a subscriber, and their rate."""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from seatsync import errors
from seatsync.cinema.live_list import LiveList
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.telemetry.metrics import Metrics
from tests.unit.cinema.fakes import FakeStore, Watcher


@pytest.fixture
def store() -> FakeStore:
    """The database's side."""
    return FakeStore()


@pytest.fixture
def feed(store: FakeStore, nursery: trio.Nursery) -> LiveList:
    """A running list of it."""
    feed = LiveList(store, nursery.start_soon, Metrics())  # type: ignore[arg-type]  # the methods that it needs of a store
    nursery.start_soon(feed.run)
    return feed


async def joined(feed: LiveList) -> Watcher:
    """A client that has had its list."""
    watcher = Watcher()
    await watcher.join(feed)
    return watcher


async def test_changes_are_gathered(store: FakeStore, feed: LiveList, autojump_clock: MockClock) -> None:
    """However often halls change, each cinema has at most one update in 100 ms, with the newest totals."""
    watcher = await joined(feed)
    for free in range(50):
        store.cinemas_[1][11] = store.cinemas_[2][21] = free
        feed.hall_changed("11 7 {}")
        feed.hall_changed("21 7 {}")
        await trio.sleep(0.01)
    await trio.sleep(0.5)
    assert 2 * 4 < len(watcher.frames) < 2 * 8
    assert watcher.cinemas == store.cinemas_


async def test_unwatched_list_runs_no_query(store: FakeStore, feed: LiveList, autojump_clock: MockClock) -> None:
    """A change without subscribers costs no query."""
    feed.hall_changed("11 7")
    await trio.sleep(1)
    assert store.queries == []


async def test_only_the_list_sends_a_list(store: FakeStore, feed: LiveList, autojump_clock: MockClock) -> None:
    """New and renamed halls are updates; new and removed cinemas, which reset the user's view, are snapshots."""
    watcher = await joined(feed)
    store.cinemas_[1][13] = 7
    feed.cinema_changed("1")
    await trio.sleep(1)
    assert watcher.frames == ["snapshot", "update"]
    del store.cinemas_[2]
    feed.hall_changed("21 deleted")
    feed.list_changed("")
    await trio.sleep(1)
    assert watcher.frames == ["snapshot", "update", "snapshot"]
    assert watcher.cinemas == store.cinemas_


async def test_joiner_misses_nothing(store: FakeStore, feed: LiveList, autojump_clock: MockClock) -> None:
    """A list read while an update is in flight is followed by the changes of that update."""
    first, second = await joined(feed), Watcher()
    store.gate = trio.Event()
    feed.hall_changed("11 2")
    await wait_all_tasks_blocked()
    store.cinemas_[1][11] = 3
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.join, feed)
        await wait_all_tasks_blocked()
        store.gate.set()
    feed.hall_changed("11 3")
    await trio.sleep(1)
    assert first.cinemas == second.cinemas == store.cinemas_


@pytest.mark.parametrize("fault", [errors.ServiceUnavailable(), DatabaseRejected("42501", "no"), RuntimeError("a bug")])
async def test_fault_is_survived(store: FakeStore, feed: LiveList, autojump_clock: MockClock, fault: Exception) -> None:
    """A failing query is repeated until it succeeds, whatever the error."""
    watcher = await joined(feed)
    store.fault = fault
    store.cinemas_[1][11] = 1
    feed.hall_changed("11 2")
    with capture_logs() as logs:
        await trio.sleep(3)
    assert bool(logs) is not isinstance(fault, errors.ServiceUnavailable)
    store.fault = None
    await trio.sleep(3)
    assert watcher.cinemas == store.cinemas_


# The feed's loss


async def test_return_of_the_feed_publishes_what_changed(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """Changes during the loss are sent as updates if the cinemas and halls are the same, then ``stale: false``."""
    watcher = await joined(feed)
    feed.lost()
    feed.set_stale(stale=True)
    store.cinemas_[1][11] = 0
    await feed.resync()
    feed.set_stale(stale=False)
    await trio.sleep(1)
    assert watcher.frames == ["snapshot", "stale True", "update", "stale False"]
    assert watcher.cinemas == store.cinemas_


async def test_new_cinema_is_one_frame(store: FakeStore, feed: LiveList, autojump_clock: MockClock) -> None:
    """Among a thousand cinemas a new one is one list, also for a subscriber whose send buffer that fills.

    What has changed since comes when the buffer has drained, and nothing else.
    """
    store.cinemas_ = {key: {key * 10: 5} for key in range(1, 1001)}
    quick, slow = await joined(feed), await joined(feed)
    slow.full = True
    store.cinemas_[1001] = {10010: 5}
    feed.list_changed("")
    feed.cinema_changed("1001")
    await trio.sleep(1)
    store.cinemas_[7][70] = 4
    feed.hall_changed("70 e 2 {}")
    await trio.sleep(1)
    slow.drain()
    await trio.sleep(1)
    assert quick.frames == ["snapshot", "snapshot", "update"]
    assert slow.frames == ["snapshot", "snapshot", "update"]
    assert quick.cinemas == slow.cinemas == store.cinemas_


async def test_list_read_while_another_is_published_is_read_again(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """A joiner may be sent an older list than the one just published: it gets that, and the others nothing more."""
    first, second = await joined(feed), Watcher()
    store.gate = trio.Event()
    store.cinemas_[3] = {31: 5}
    feed.list_changed("")
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.join, feed)
        await wait_all_tasks_blocked()
        store.gate.set()
    await trio.sleep(1)
    assert first.frames == ["snapshot", "snapshot"]
    assert 1 <= len(second.frames) <= 2
    assert first.cinemas == second.cinemas == store.cinemas_


async def test_list_that_changed_during_the_loss_is_sent(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """A changed list is sent to subscribers of the old one, even if another has joined with the new one."""
    old = await joined(feed)
    feed.lost()
    feed.set_stale(stale=True)
    del store.cinemas_[2]
    new = await joined(feed)
    await feed.resync()
    feed.set_stale(stale=False)
    await trio.sleep(1)
    assert old.cinemas == new.cinemas == store.cinemas_


async def test_joining_during_a_loss_is_notified(store: FakeStore, feed: LiveList, autojump_clock: MockClock) -> None:
    """The list has no field for staleness: a stale notice follows it at once."""
    feed.lost()
    feed.set_stale(stale=True)
    watcher = await joined(feed)
    assert watcher.frames == ["snapshot", "stale True"]
    feed.set_stale(stale=False)
    await trio.sleep(1)
    assert watcher.frames[-1] == "stale False"


# Slow clients


async def fallen_behind(feed: LiveList) -> Watcher:
    """A client whose send buffer is full, and that has missed an update."""
    watcher = await joined(feed)
    watcher.full = True
    feed.hall_changed("11 2")
    await trio.sleep(1)
    return watcher


async def test_slow_client_gets_everything_anew(store: FakeStore, feed: LiveList, autojump_clock: MockClock) -> None:
    """A drained client gets what it missed as updates, and a list only if it missed one."""
    watcher = await joined(feed)
    for removed in (False, True):
        watcher.full = True
        feed.hall_changed("11 2")
        await trio.sleep(1)
        watcher.frames.clear()
        store.cinemas_[1][11] += 1
        feed.hall_changed("11 3")
        if removed:
            del store.cinemas_[2]
            feed.list_changed("")
        await trio.sleep(1)
        assert watcher.frames == []
        watcher.drain()
        await trio.sleep(1)
        assert set(watcher.frames) == {"snapshot" if removed else "update"}
        assert watcher.cinemas == store.cinemas_


async def test_slow_client_is_sent_nothing_while_it_is_full(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """A buffer that another subscription has filled again gets no missed updates."""
    watcher = await fallen_behind(feed)
    watcher.frames.clear()
    store.gate = trio.Event()
    watcher.drain()
    await wait_all_tasks_blocked()
    watcher.full = True
    store.gate.set()
    await trio.sleep(1)
    assert watcher.frames == []
    watcher.drain()
    await trio.sleep(1)
    assert watcher.cinemas == store.cinemas_
    assert watcher.frames


async def test_slow_client_that_leaves_is_forgotten(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """Leaving ends a client's pending refresh, also while the database is unavailable."""
    watcher = await fallen_behind(feed)
    store.fault = errors.ServiceUnavailable()
    watcher.drain()
    await trio.sleep(1)
    feed.leave(watcher.subscriber)
    queries = len(store.queries)
    await trio.sleep(5)
    assert len(store.queries) <= queries + 1


@pytest.mark.parametrize("late", ["joiner", "slow"])
async def test_list_that_lacks_nothing_is_read_once(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock, late: str
) -> None:
    """Who has all of the list that is read at last is current: it gets nothing more, and no other list is read."""
    await joined(feed)
    watcher = Watcher()
    if late == "joiner":
        store.gate = trio.Event()
        watcher.subscribe(feed)
        await trio.sleep(1)
        assert watcher.frames == ["snapshot", "stale True"]
        store.gate.set()
    else:
        await watcher.join(feed)
        watcher.full = True
        store.cinemas_[3] = {}
        feed.list_changed("")
        await trio.sleep(1)
        watcher.drain()
    with trio.fail_after(5):
        await wait_all_tasks_blocked(0.01)
    queries = list(store.queries)
    assert watcher.frames[1:] == (["stale True", "stale False"] if late == "joiner" else ["snapshot"])
    await trio.sleep(5)
    assert store.queries == queries


async def test_hall_that_went_during_the_loss_is_gone(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """A hall that came as an update and went while the feed was lost is not in the first list, nor in the last."""
    watcher = await joined(feed)
    store.cinemas_[1][13] = 7
    feed.cinema_changed("1")
    await trio.sleep(1)
    feed.lost()
    del store.cinemas_[1][13]
    await feed.resync()
    await trio.sleep(1)
    assert watcher.cinemas == store.cinemas_


async def test_copy_of_a_notification_sends_no_list(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """A list moves its users away: it is sent where others are listed, and not for a notification sent again."""
    watcher = await joined(feed)
    store.cinemas_[1][13] = 7
    feed.cinema_changed("1")
    await trio.sleep(1)
    for _ in range(3):
        feed.list_changed("")
        await trio.sleep(1)
    assert "snapshot" not in watcher.frames[1:]
    for halls in ({}, {31: 5}):
        store.cinemas_[3] = halls
        feed.list_changed("")
        await trio.sleep(1)
        del store.cinemas_[3]
        feed.list_changed("")
        await trio.sleep(1)
    assert watcher.frames.count("snapshot") == 5
    assert watcher.cinemas == store.cinemas_


async def test_hall_that_comes_and_goes_around_a_joiner(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """A list that one subscriber alone has is followed by the next, though that is as the others know it."""
    first = await joined(feed)
    store.cinemas_[3] = {}
    second = await joined(feed)
    del store.cinemas_[3]
    feed.list_changed("")
    await trio.sleep(1)
    assert first.cinemas == second.cinemas == store.cinemas_


async def test_slow_joiner_gets_the_list_that_was_published_meanwhile(
    store: FakeStore, feed: LiveList, autojump_clock: MockClock
) -> None:
    """Who was sent the list before the one just published, and is full, gets the other when the buffer has drained."""
    await joined(feed)
    second = Watcher(full=True)
    store.gate = before = trio.Event()
    second.subscribe(feed)
    await wait_all_tasks_blocked()
    store.gate = after = trio.Event()
    store.cinemas_[3] = {31: 5}
    feed.list_changed("")
    await wait_all_tasks_blocked()
    before.set()
    await wait_all_tasks_blocked()
    after.set()
    await trio.sleep(1)
    assert second.frames == ["snapshot"]
    second.drain()
    await trio.sleep(1)
    assert second.cinemas == store.cinemas_
