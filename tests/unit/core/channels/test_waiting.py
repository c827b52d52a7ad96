"""Subscribers that wait for the database: what they get meanwhile, and what their number costs.

Fakes for the database and the clients: `tests.unit.core.channels.test_channels`.
"""

from collections.abc import Awaitable, Callable

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.channels.channels import Channels
from seatsync.core.channels.documents import Snapshot, Update
from seatsync.core.channels.joining import MAX_READS
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.timing import Timing
from tests.support.feeds import HALL, FakeHall, Watcher, joined

TIMING = Timing()


@define(eq=False)
class SlowHall(FakeHall):
    """A hall of which some queries take two seconds, and fail."""

    slow: set[int] = field(factory=set)
    """The keys, and the revisions since when changes are queried."""

    async def _wait(self, number: int) -> None:
        if number in self.slow:
            await trio.sleep(2)
            raise errors.ServiceUnavailable

    async def snapshot(self, key: int) -> Snapshot:
        """The whole hall."""
        await self._wait(key)
        return await super().snapshot(key)

    async def changes(self, key: int, since: int, epoch: str) -> Update | None:
        """The changes after a revision."""
        await self._wait(since)
        return await super().changes(key, since, epoch)


def go_away(hall: FakeHall, channels: Channels) -> None:
    """The database goes away, and with it the feed."""
    hall.fault = errors.ServiceUnavailable()
    channels.lost()
    channels.set_stale(stale=True)


async def come_back(hall: FakeHall, channels: Channels) -> None:
    """The database is back, and then the feed."""
    hall.fault = None
    await trio.sleep(2 * TIMING.retry_s)
    await channels.resync()
    channels.set_stale(stale=False)
    await trio.sleep(2 * TIMING.retry_s)


def subscribed(channels: Channels, key: int = HALL, *, resume: Watcher | None = None) -> Watcher:
    """A client that has subscribed, perhaps with what another has seen, and not been served yet."""
    watcher = Watcher()
    if resume is not None:
        watcher = Watcher(rev=resume.rev, epoch=resume.epoch, seats=dict(resume.seats), counts=dict(resume.counts))
    watcher.subscribe(channels.open(key), resume=resume is not None)
    return watcher


# What they get


async def test_subscription_stands_until_the_database_is_back(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """Nothing for two seconds, then a stale notice; when the database is back its first frame, and every later change.

    ``stale: false`` follows, since an existing client merges ``stale`` like any other field.
    """
    go_away(hall, channels)
    watcher = subscribed(channels)
    await trio.sleep(TIMING.waiting_after_s - 0.1)
    assert watcher.frames == []
    await trio.sleep(60)
    assert watcher.frames == [("update", {"id": HALL, "stale": True})]
    await come_back(hall, channels)
    assert watcher.revs == [{"stale": True}, "snapshot 1", {"stale": False}]
    hall.change(1, "RESERVED").notify(channels.open(HALL))
    watcher.assert_sees(hall)


async def test_first_frame_does_not_wait_for_the_feed(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """A database that answers is enough; the feed's loss is told by the mark."""
    go_away(hall, channels)
    watcher = subscribed(channels)
    channels.set_stale(stale=True)
    await trio.sleep(5)
    hall.fault = None
    await trio.sleep(2 * TIMING.retry_s)
    assert watcher.revs == [{"stale": True}, "snapshot 1"]
    assert watcher.stale
    hall.change(1, "RESERVED")
    await come_back(hall, channels)
    assert watcher.revs == [{"stale": True}, "snapshot 1", 2, {"stale": False}]


@pytest.mark.parametrize("frozen", [False, True])
async def test_memory_is_served_at_once(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock, *, frozen: bool
) -> None:
    """The last snapshot, marked; then what was missed, and ``stale: false``. A frozen database is the same."""
    before = await joined(channels.open(HALL), "e0")
    hall.change(1, "RESERVED").notify(channels.open(HALL))
    go_away(hall, channels)
    if frozen:
        hall.fault, hall.gate = None, trio.Event()
    watchers = [subscribed(channels), subscribed(channels)]
    await trio.sleep(0.1)
    watchers.append(subscribed(channels))
    if not frozen:  # that reads fail is known by now
        assert watchers[-1].revs == ["snapshot 1", 2]
    await trio.sleep(10)
    for watcher in watchers:
        assert watcher.revs == ["snapshot 1", 2]
        assert watcher.stale
    if hall.gate is not None:
        hall.gate.set()
        hall.gate = None
    hall.change(2, "OCCUPIED")
    await come_back(hall, channels)
    for watcher in watchers:
        assert watcher.revs == ["snapshot 1", 2, 3, {"stale": False}]
        watcher.assert_sees(hall)
    assert before.revs == ["snapshot 1", 2, {"stale": True}, 3, {"stale": False}]


async def test_memory_that_has_missed_nothing_is_not_sent_again(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """A client that has had the last snapshot, when nothing has changed, only hears that it is not old."""
    await joined(channels.open(HALL), "e0")
    go_away(hall, channels)
    watcher = subscribed(channels)
    await trio.sleep(5)
    await come_back(hall, channels)
    assert watcher.revs == ["snapshot 1", {"stale": False}]


async def test_memory_of_another_layout_is_replaced(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """An old snapshot from which no update leads on is followed by a new one."""
    await joined(channels.open(HALL), "e0")
    go_away(hall, channels)
    watcher = subscribed(channels)
    hall.relay()
    await trio.sleep(5)
    await come_back(hall, channels)
    assert watcher.revs == ["snapshot 1", "snapshot 2", {"stale": False}]
    watcher.assert_sees(hall)


async def test_waiting_resume_gets_what_a_resume_gets(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """Without memory a resume waits like any other, and gets the changes since."""
    seen = await joined(channels.open(HALL), "e0")
    channels.open(HALL).leave(seen.subscriber)
    channels.open(HALL).end(errors.HallNotFound())  # nothing is in memory
    hall.change(1, "RESERVED")
    go_away(hall, channels)
    watcher = subscribed(channels, resume=seen)
    await trio.sleep(5)
    await come_back(hall, channels)
    assert watcher.revs == [{"stale": True}, (2, 2), {"stale": False}]
    assert watcher.frames[1][1]["resumed"] is True
    watcher.assert_sees(hall)


async def test_resume_is_not_sent_back_in_time(hall: FakeHall, channels: Channels, autojump_clock: MockClock) -> None:
    """Memory that is older than what the client has seen, on another server, is not sent."""
    first = await joined(channels.open(HALL), "e0")
    channels.lost()
    hall.change(1, "RESERVED")
    ahead = Watcher(rev=2, epoch=first.epoch, seats=dict(hall.seats), counts={one: hall._counts(one) for one in (0, 1)})
    go_away(hall, channels)
    watcher = subscribed(channels, resume=ahead)
    await trio.sleep(5)
    assert watcher.revs == [{"stale": True}]
    await come_back(hall, channels)
    assert watcher.revs == [{"stale": True}, 2, {"stale": False}]
    assert watcher.frames[1][1]["resumed"] is True
    watcher.assert_sees(hall)


async def test_hall_that_does_not_exist_ends_the_wait(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """That is known only when the database is back; then nothing is kept of it."""
    go_away(hall, channels)
    watcher = subscribed(channels)
    await trio.sleep(5)
    hall.gone = True
    await come_back(hall, channels)
    assert watcher.revs == [{"stale": True}]
    assert watcher.ended == ["HallNotFound"]
    assert channels.find(HALL) is None


@pytest.mark.parametrize("fault", [DatabaseRejected("42501", "permission denied"), RuntimeError("a bug")])
async def test_other_faults_are_answers(
    hall: FakeHall, channels: Channels, fault: Exception, autojump_clock: MockClock
) -> None:
    """A fault that no wait would mend ends a subscription that has nothing yet, and is not repeated."""
    go_away(hall, channels)
    watcher = subscribed(channels)
    await trio.sleep(5)
    hall.fault = fault
    await trio.sleep(1)
    assert watcher.ended == [getattr(fault, "code", "a bug")]
    hall.queries.clear()
    await trio.sleep(60)
    assert hall.queries == []
    hall.fault = None
    await trio.sleep(5)
    assert (await joined(channels.open(HALL), "e2")).revs[0] == "snapshot 1"


# Whether they may


def admission(*outcomes: Exception | None) -> Callable[[], Awaitable[None]]:
    """A check that ends so, the last way for ever."""
    left = list(outcomes)

    async def check() -> None:
        await trio.lowlevel.checkpoint()
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if outcome is not None:
            raise outcome

    return check


async def test_client_that_cannot_be_checked_gets_nothing_from_memory(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """It is notified that it waits, and is served when it has been admitted."""
    await joined(channels.open(HALL), "e0")
    watcher = Watcher()
    watcher.subscriber = watcher.belongs_to(channels.open(HALL))
    watcher.subscriber.admission = admission(*[errors.ServiceUnavailable()] * 20, None)
    channels.open(HALL).subscribe(watcher.subscriber, None, None)
    await trio.sleep(3)
    assert watcher.revs == [{"stale": True}]
    await trio.sleep(10)
    assert watcher.revs == [{"stale": True}, "snapshot 1", {"stale": False}]
    hall.change(1, "RESERVED").notify(channels.open(HALL))
    watcher.assert_sees(hall)


async def test_client_that_is_refused_takes_nothing_from_the_others(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """Its subscription ends with the reason; those of others who waited with it are served."""
    hall.fault = errors.ServiceUnavailable()
    channel, watchers = channels.open(HALL), [Watcher() for _ in range(3)]
    for watcher, outcome in zip(watchers, (None, errors.Unauthorized(), errors.SessionExpired()), strict=True):
        watcher.subscriber = watcher.belongs_to(channel)
        watcher.subscriber.admission = admission(errors.ServiceUnavailable(), outcome)
        channel.subscribe(watcher.subscriber, None, None)
    await trio.sleep(1)
    hall.fault = None
    await trio.sleep(5)
    assert [watcher.ended for watcher in watchers] == [[], ["Unauthorized"], ["SessionExpired"]]
    assert [watcher.revs for watcher in watchers] == [["snapshot 1"], [], []]


# What they cost


async def test_return_costs_one_query_for_a_hall(hall: FakeHall, channels: Channels, autojump_clock: MockClock) -> None:
    """However many wait: while the database is away it is read four times a second, and then once."""
    go_away(hall, channels)
    watchers = [subscribed(channels) for _ in range(2000)]
    await trio.sleep(60)
    assert len(hall.queries) <= 60 / TIMING.retry_s + 1
    hall.queries.clear()
    await come_back(hall, channels)
    assert hall.queries == ["snapshot", "revs"]
    assert all(watcher.revs == [{"stale": True}, "snapshot 1", {"stale": False}] for watcher in watchers)


async def test_many_halls_are_tried_as_one(hall: FakeHall, channels: Channels, autojump_clock: MockClock) -> None:
    """While the database is away the halls take turns; when it is back all are read within a second."""
    go_away(hall, channels)
    watchers = [subscribed(channels, key) for key in range(1000)]
    await trio.sleep(60)
    assert len(hall.queries) <= 60 / TIMING.retry_s + MAX_READS
    hall.queries.clear()
    hall.fault = None
    await trio.sleep(1)
    assert len(hall.queries) == 1000
    assert all(watcher.rev == 1 for watcher in watchers)


@pytest.mark.parametrize("hall", [SlowHall(slow={HALL})], ids=[""])
async def test_slow_hall_does_not_hold_up_the_others(
    hall: SlowHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """One whose reads take their time and fail is tried again and again; others are served meanwhile."""
    waiting = subscribed(channels)
    for key in range(100, 130):
        watcher = subscribed(channels, key)
        await trio.sleep(3 * TIMING.retry_s)
        assert watcher.revs == ["snapshot 1"]
    hall.slow.clear()
    await trio.sleep(5)
    assert waiting.rev == 1


@pytest.mark.parametrize("hall", [SlowHall(slow={0})], ids=[""])
async def test_slow_resume_does_not_hold_up_the_others(
    hall: SlowHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """Whoever resumes from where only failure comes from waits; others of the same hall are served."""
    hall.change(1, "RESERVED")
    waiting = [subscribed(channels, resume=Watcher(rev=0, epoch="a")) for _ in range(3)]
    others = [subscribed(channels), subscribed(channels, resume=Watcher(rev=1, epoch="a"))]
    await trio.sleep(10)
    assert [watcher.rev for watcher in others] == [2, 2]
    hall.slow.clear()
    await trio.sleep(5)
    assert [watcher.revs[-2:] for watcher in waiting] == [["snapshot 2", {"stale": False}]] * 3


async def test_nobody_waits_and_nothing_is_left(
    hall: FakeHall, channels: Channels, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A flood of made-up ids leaves neither channels nor tasks nor queries once its subscriptions are gone."""
    await trio.sleep(5)
    before = len(nursery.child_tasks)
    go_away(hall, channels)
    watchers = [subscribed(channels, key) for key in range(1, 1000)]
    await trio.sleep(0.1)
    assert len(nursery.child_tasks) <= before + MAX_READS + 3
    for watcher in watchers:
        watcher.subscriber.topic.leave(watcher.subscriber)
    assert all(channels.find(key) is None for key in range(1, 1000))
    await trio.sleep(5)
    assert len(nursery.child_tasks) == before
    hall.queries.clear()
    await trio.sleep(60)
    assert hall.queries == []


async def test_unanswered_request_leaves_no_channel(
    hall: FakeHall, channels: Channels, autojump_clock: MockClock
) -> None:
    """Nor do requests that are no subscriptions, while the database is away."""
    hall.fault = errors.ServiceUnavailable()
    with pytest.raises(errors.ServiceUnavailable), channels.use(HALL) as channel:
        await channel.snapshot()
    assert channels.find(HALL) is None


async def test_leaving_ends_the_wait(hall: FakeHall, channels: Channels, autojump_clock: MockClock) -> None:
    """Who leaves gets nothing more, while others go on waiting."""
    go_away(hall, channels)
    leaving, staying = subscribed(channels), subscribed(channels)
    await wait_all_tasks_blocked()
    leaving.subscriber.topic.leave(leaving.subscriber)
    await trio.sleep(5)
    await come_back(hall, channels)
    assert leaving.frames == []
    staying.assert_sees(hall)
