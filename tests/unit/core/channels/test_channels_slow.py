"""Subscribers with a full send buffer: the frames they miss, and their catch-up."""

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.channels.channel import MAX_MISSED, MAX_UPDATES, Channel
from tests.support.feeds import HALL, FakeHall, Watcher, joined


@pytest.fixture
def hall() -> FakeHall:
    """A hall whose snapshot is longer than any update."""
    return FakeHall(seats=dict.fromkeys(range(1, 101), "VACANT"))


async def miss_a_layout(hall: FakeHall, channel: Channel, *watchers: Watcher) -> None:
    """Change seats and the layout while the send buffers are full."""
    for watcher in watchers:
        watcher.full = True
    hall.change(1, "RESERVED").notify(channel)
    hall.relay().notify(channel)
    await wait_all_tasks_blocked()
    hall.change(2, "RESERVED").notify(channel)


async def test_full_connection_gets_one_merged_update_when_it_has_drained(hall: FakeHall, channel: Channel) -> None:
    """After the frame that fills its buffer a connection gets nothing until it has drained, then one merged update."""
    slow, quick = await joined(channel, "e1"), await joined(channel, "e2")
    slow.full = True
    for seat in range(1, 6):
        hall.change(seat, "RESERVED").notify(channel)
    assert slow.revs == ["snapshot 1", 2]
    slow.drain()
    hall.change(6, "RESERVED").notify(channel)
    assert slow.revs == ["snapshot 1", 2, (3, 6), 7]
    assert quick.revs == ["snapshot 1", 2, 3, 4, 5, 6, 7]
    slow.assert_sees(hall)


async def test_full_connection_that_missed_nothing_goes_on(hall: FakeHall, channel: Channel) -> None:
    """A drained connection that missed nothing is sent nothing."""
    watcher = await joined(channel)
    watcher.full = True
    hall.change(1, "RESERVED").notify(channel)
    watcher.drain()
    assert watcher.revs == ["snapshot 1", 2]
    hall.change(2, "RESERVED").notify(channel)
    assert watcher.revs == ["snapshot 1", 2, 3]


async def test_snapshot_that_fills_the_connection_is_followed_when_it_has_drained(
    hall: FakeHall, channel: Channel
) -> None:
    """A snapshot may fill the buffer like any other frame."""
    watcher = Watcher(full=True)
    await watcher.join(channel)
    hall.change(1, "RESERVED").notify(channel)
    hall.change(2, "RESERVED").notify(channel)
    assert watcher.revs == ["snapshot 1"]
    watcher.drain()
    assert watcher.revs == ["snapshot 1", (2, 3)]
    watcher.assert_sees(hall)


async def test_missing_more_than_is_kept_gets_a_snapshot(hall: FakeHall, channel: Channel) -> None:
    """A client that missed more than the history holds gets the whole state."""
    watcher = await joined(channel)
    watcher.full = True
    for _ in range(MAX_UPDATES + 2):
        hall.change(1, "RESERVED").notify(channel)
    watcher.drain()
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", 2, f"snapshot {hall.rev}"]
    hall.change(2, "RESERVED").notify(channel)
    watcher.assert_sees(hall)


async def test_missing_more_than_a_snapshot_gets_a_snapshot(hall: FakeHall, channel: Channel) -> None:
    """Of merged update and snapshot the shorter is sent."""
    watcher = await joined(channel)
    watcher.full = True
    for seat in hall.seats:
        hall.change(seat, "MAINTENANCE").notify(channel)
    await joined(channel, "another, for whom the snapshot is read")
    watcher.drain()
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", 2, f"snapshot {hall.rev}"]
    watcher.assert_sees(hall)


@pytest.mark.parametrize("another_epoch", [False, True])
async def test_missing_a_new_layout_gets_a_snapshot(hall: FakeHall, channel: Channel, another_epoch: bool) -> None:
    """No update leads from one layout, or one epoch, to another."""
    watcher = await joined(channel)
    watcher.full = True
    hall.change(1, "RESERVED").notify(channel)
    (hall.renew_epoch() if another_epoch else hall.relay()).notify(channel)
    await wait_all_tasks_blocked()
    hall.change(2, "RESERVED").notify(channel)
    watcher.drain()
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", 2, "snapshot 4"]
    hall.change(3, "RESERVED").notify(channel)
    watcher.assert_sees(hall)


async def test_snapshot_waits_for_room(hall: FakeHall, channel: Channel) -> None:
    """A snapshot is not sent to a buffer that has filled again during its query."""
    watcher = await joined(channel)
    await miss_a_layout(hall, channel, watcher)
    hall.gate = trio.Event()
    watcher.drain()
    await wait_all_tasks_blocked()
    watcher.full = True
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", 2]
    watcher.drain()
    await wait_all_tasks_blocked()
    watcher.assert_sees(hall)


async def test_update_waits_for_room(hall: FakeHall, channel: Channel) -> None:
    """A merged update is not sent to a buffer that another subscription has filled again."""
    watcher = await joined(channel)
    watcher.full = True
    hall.change(1, "RESERVED").notify(channel)
    hall.change(2, "RESERVED").notify(channel)
    channel.caught_up(watcher.subscriber)
    assert watcher.revs == ["snapshot 1", 2]
    watcher.drain()
    assert watcher.revs == ["snapshot 1", 2, 3]


async def test_catch_up_that_fills_the_connection_is_not_repeated(hall: FakeHall, channel: Channel) -> None:
    """Each drain sends one frame with the revisions missed since the last."""
    watcher = await joined(channel)
    watcher.full = True
    for seat in (1, 2, 3):
        hall.change(seat, "RESERVED").notify(channel)
    watcher.chokes = True
    watcher.drain()
    for seat in (4, 5):
        hall.change(seat, "RESERVED").notify(channel)
    watcher.drain()
    assert watcher.revs == ["snapshot 1", 2, (3, 4), (5, 6)]


async def test_snapshot_for_a_slow_client_is_queried_until_it_comes(
    hall: FakeHall, channel: Channel, autojump_clock: trio.testing.MockClock
) -> None:
    """A failing query is repeated until the client leaves."""
    staying, leaving = await joined(channel, "e1"), await joined(channel, "e2")
    await miss_a_layout(hall, channel, staying, leaving)
    hall.fault = errors.ServiceUnavailable()
    staying.drain()
    leaving.drain()
    await trio.sleep(3)
    channel.leave(leaving.subscriber)
    hall.fault = None
    await trio.sleep(3)
    assert staying.revs == ["snapshot 1", 2, "snapshot 4"]
    assert leaving.revs == ["snapshot 1", 2]
    queries = len(hall.queries)
    await trio.sleep(10)
    assert len(hall.queries) == queries


# Resuming


async def test_resume_from_memory(hall: FakeHall, channel: Channel) -> None:
    """A resume gets the missed revisions, merged, without a query."""
    watcher = await joined(channel)
    channel.leave(watcher.subscriber)
    for seat in (1, 2):
        hall.change(seat, "RESERVED").notify(channel)
    queries = len(hall.queries)
    await watcher.join(channel, resume=True)
    hall.change(3, "RESERVED").notify(channel)
    assert watcher.revs == ["snapshot 1", (2, 3), 4]
    assert watcher.frames[1][1]["resumed"] is True
    assert len(hall.queries) == queries
    watcher.assert_sees(hall)


async def test_resume_with_nothing_missed(hall: FakeHall, channel: Channel) -> None:
    """A resume with nothing missed gets its own ``rev``, empty lists and no ``from``."""
    watcher = await joined(channel)
    channel.leave(watcher.subscriber)
    await watcher.join(channel, resume=True)
    assert watcher.frames[-1] == ("update", {"id": HALL, "rev": 1, "seats": [], "seat_types": [], "resumed": True})


async def test_resume_from_the_database(hall: FakeHall, channel: Channel) -> None:
    """Revisions that are not in memory, as after a restart, are read from the database."""
    for seat in (1, 2):
        hall.change(seat, "RESERVED")
    watcher = Watcher(rev=1, epoch="a", seats=dict.fromkeys(hall.seats, "VACANT"))
    await watcher.join(channel, resume=True)
    assert hall.queries == ["changes"]
    assert watcher.revs == [(2, 3)]
    hall.change(3, "RESERVED").notify(channel)
    assert (watcher.revs, watcher.seats) == ([(2, 3), 4], hall.seats)


@pytest.mark.parametrize(
    ("rev", "epoch"),
    [(1, "z"), (99, "a"), (1, None), (0, "a"), (2, "a")],
    ids=["epoch", "future", "none", "pruned", "layout"],
)
async def test_resume_that_cannot_be_whole_is_a_snapshot(
    hall: FakeHall, channel: Channel, rev: int, epoch: str | None
) -> None:
    """Another epoch, a future or missing revision, pruned history or a new layout gets a snapshot, never a part."""
    hall.pruned = 1
    hall.change(1, "RESERVED")
    hall.relay()
    watcher = Watcher(rev=rev, epoch=epoch if epoch != "a" else None)
    watcher.subscriber = watcher.belongs_to(channel)
    channel.subscribe(watcher.subscriber, rev, epoch)
    await watcher.answered.wait()
    assert watcher.revs == ["snapshot 3"]


@pytest.mark.parametrize(("since", "epoch"), [(1, "z"), (2000, "a"), (0, "a")], ids=["epoch", "future", "too long ago"])
async def test_resume_that_cannot_lead_on_takes_no_query(
    hall: FakeHall, channel: Channel, since: int, epoch: str
) -> None:
    """A revision long gone, asked for over and over, costs the database nothing while memory is current."""
    hall.rev = MAX_MISSED + 1
    await joined(channel)
    hall.queries.clear()
    for number in range(3):
        watcher = Watcher(f"e{number}", rev=since, epoch="z")
        watcher.subscriber = watcher.belongs_to(channel)
        channel.subscribe(watcher.subscriber, since, epoch)
        await watcher.answered.wait()
        assert watcher.revs == [f"snapshot {hall.rev}"]
    assert hall.queries == []


async def test_resume_knows_no_revisions_of_another_epoch(hall: FakeHall, channel: Channel) -> None:
    """Revisions of different epochs do not compare, even with equal numbers."""
    await joined(channel)
    for seat in (1, 2, 3, 4):
        hall.change(seat, "RESERVED").notify(channel)
    channel.revisions.lost()
    hall.renew_epoch(rev=3)
    await channel.resync()
    channel.found(resynced=True)
    watcher = Watcher("e2")
    watcher.subscriber = watcher.belongs_to(channel)
    channel.subscribe(watcher.subscriber, 2, hall.epoch)
    await watcher.answered.wait()
    assert watcher.revs == ["snapshot 3"]


async def test_resume_older_than_the_channel_is_completed(
    hall: FakeHall, channel: Channel, nursery: trio.Nursery
) -> None:
    """Revisions published during the query follow; a resumed update has ``from`` even for one revision."""
    await joined(channel)
    watcher = Watcher("e2", rev=0, epoch="a", seats=dict(hall.seats))
    hall.rev, hall.pruned = 1, 0
    hall._log[1] = frozenset({1})
    hall.gate = trio.Event()
    nursery.start_soon(lambda: watcher.join(channel, resume=True))
    await wait_all_tasks_blocked()
    hall.change(2, "RESERVED").notify(channel)
    hall.change(3, "RESERVED").notify(channel)
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert watcher.revs == [(1, 1), (2, 3)]


async def test_resume_into_a_new_epoch_is_followed_by_a_snapshot(
    hall: FakeHall, channel: Channel, nursery: trio.Nursery
) -> None:
    """An epoch that changes during the query of a resume is followed by a snapshot."""
    await joined(channel)
    hall.change(1, "RESERVED")
    watcher = Watcher("e2", rev=1, epoch="a", seats=dict(hall.seats))
    hall.gate = gate = trio.Event()
    nursery.start_soon(lambda: watcher.join(channel, resume=True))
    await wait_all_tasks_blocked()
    hall.gate = None
    hall.renew_epoch().notify(channel)
    await wait_all_tasks_blocked()
    gate.set()
    await wait_all_tasks_blocked()
    hall.change(2, "RESERVED").notify(channel)
    await wait_all_tasks_blocked()
    watcher.assert_sees(hall)
