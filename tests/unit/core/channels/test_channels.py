"""One channel: joins, and the end of its subject.

The database is a `FakeHall`, which may answer late; the clients are `Watcher`s, which fail the test by themselves when
a frame repeats or skips a revision.
"""

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.channels.channel import Channel
from tests.support.feeds import FakeHall, Notice, Watcher, joined

# Joining


async def test_snapshot_first_then_every_later_revision(hall: FakeHall, channel: Channel) -> None:
    """A subscriber gets the full state, then each later revision with PostgreSQL's bytes."""
    watcher = await joined(channel)
    for status in ("RESERVED", "OCCUPIED"):
        notice = hall.change(1, status)
        notice.notify(channel)
        assert watcher.frames[-1][1]["seats"][0]["status"] == status
    assert watcher.revs == ["snapshot 1", 2, 3]
    watcher.assert_sees(hall)


async def test_every_eid_gets_its_own_frames(hall: FakeHall, channel: Channel) -> None:
    """Subscribers differ by eid alone; two with the same eid get the same frames."""
    watchers = [await joined(channel, eid) for eid in ("a", "b", "b")]
    hall.change(1, "RESERVED").notify(channel)
    assert [watcher.revs for watcher in watchers] == [["snapshot 1", 2]] * 3


async def test_snapshot_older_than_the_channel_is_completed(
    hall: FakeHall, channel: Channel, nursery: trio.Nursery
) -> None:
    """Revisions published while a snapshot is read follow it."""
    first, second = await joined(channel), Watcher("e2")
    channel.revisions.note_committed(2)
    hall.gate = trio.Event()
    nursery.start_soon(second.join, channel)
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").notify(channel)
    hall.change(2, "RESERVED").notify(channel)
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert (first.revs, second.revs) == (["snapshot 1", 2, 3], ["snapshot 1", (2, 3)])
    hall.change(3, "RESERVED").notify(channel)
    first.assert_sees(hall)
    second.assert_sees(hall)


@pytest.mark.parametrize("changed", [False, True])
async def test_snapshot_older_than_a_new_layout_is_replaced(
    hall: FakeHall, channel: Channel, nursery: trio.Nursery, *, changed: bool
) -> None:
    """A snapshot read before a change of layout is replaced by another, whether or not a change of seats follows."""
    first, second = await joined(channel), Watcher("e2")
    channel.revisions.note_committed(2)
    hall.gate = gate = trio.Event()
    nursery.start_soon(second.join, channel)
    await wait_all_tasks_blocked()
    hall.gate = None
    hall.relay().notify(channel)
    if changed:
        hall.change(1, "RESERVED").notify(channel)
    await wait_all_tasks_blocked()
    gate.set()
    await wait_all_tasks_blocked()
    first.assert_sees(hall)
    second.assert_sees(hall)
    hall.change(2, "RESERVED").notify(channel)
    first.assert_sees(hall)
    second.assert_sees(hall)


async def test_snapshot_newer_than_the_channel_is_not_repeated(hall: FakeHall, channel: Channel) -> None:
    """Revisions that a snapshot already has are not sent after it."""
    first = await joined(channel)
    notices = [hall.change(1, "RESERVED"), hall.change(2, "RESERVED"), hall.change(3, "RESERVED")]
    channel.revisions.note_committed(2)
    second = await joined(channel, "e2")
    for notice in notices:
        notice.notify(channel)
    hall.change(4, "RESERVED").notify(channel)
    assert (first.revs, second.revs) == (["snapshot 1", 2, 3, 4, 5], ["snapshot 4", 5])
    second.assert_sees(hall)


async def test_many_joiners_share_one_snapshot(hall: FakeHall, channel: Channel, nursery: trio.Nursery) -> None:
    """Concurrent joins, and later ones without a change in between, share one query."""
    watchers = [Watcher(str(number)) for number in range(20)]
    for watcher in watchers:
        nursery.start_soon(watcher.join, channel)
    await wait_all_tasks_blocked()
    watchers.append(await joined(channel))
    assert hall.queries == ["snapshot"]
    for watcher in watchers:
        watcher.assert_sees(hall)


async def test_shared_snapshot_is_as_new_as_what_was_known_before(
    hall: FakeHall, channel: Channel, nursery: trio.Nursery
) -> None:
    """A request made after a commit is known is not served a snapshot from before it."""
    first, second = Watcher("e1"), Watcher("e2")
    hall.gate = trio.Event()
    nursery.start_soon(first.join, channel)
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED")
    channel.revisions.note_committed(2)
    nursery.start_soon(second.join, channel)
    await wait_all_tasks_blocked()
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert second.revs[0] == "snapshot 2"
    assert hall.queries.count("snapshot") == 2


async def test_failed_join_leaves_no_subscriber(hall: FakeHall, channel: Channel) -> None:
    """A hall that does not exist ends the subscription, which is not in the channel any more."""
    watcher = Watcher()
    hall.fault = errors.HallNotFound()
    await watcher.join(channel)
    assert watcher.ended == ["HallNotFound"]
    assert not channel.in_use
    hall.fault = None
    await joined(channel, "e2")
    hall.change(1, "RESERVED").notify(channel)
    assert watcher.frames == []


async def test_leaving_while_joining_gets_nothing(hall: FakeHall, channel: Channel, nursery: trio.Nursery) -> None:
    """A subscription ended before its snapshot arrives gets no frame."""
    watcher = Watcher()
    hall.gate = trio.Event()
    nursery.start_soon(watcher.join, channel)
    await wait_all_tasks_blocked()
    channel.leave(watcher.subscriber)
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert watcher.frames == []
    assert not channel.in_use


# The end of the hall


async def test_deleted_hall_ends_every_subscription(hall: FakeHall, channel: Channel) -> None:
    """Every subscriber is notified once, whether up to date or not, and is out of the channel."""
    live, behind = await joined(channel, "e1"), await joined(channel, "e2")
    behind.full = True
    hall.change(1, "RESERVED").notify(channel)
    channel.end(errors.HallNotFound())
    assert live.ended == behind.ended == ["HallNotFound"]
    assert not channel.in_use


async def test_deletion_detected_by_a_query_ends_every_subscription(hall: FakeHall, channel: Channel) -> None:
    """A catch-up that finds no hall ends the subscriptions like a notified deletion."""
    watcher = await joined(channel)
    hall.gone = True
    Notice(9, hall.epoch, None).notify(channel)
    await wait_all_tasks_blocked()
    assert watcher.ended == ["HallNotFound"]
    assert not channel.in_use


async def test_nothing_of_a_deleted_hall_is_served_from_memory(hall: FakeHall, channel: Channel) -> None:
    """The first request after a deletion queries the database."""
    await joined(channel)
    hall.gone = True
    channel.end(errors.HallNotFound())
    with pytest.raises(errors.HallNotFound):
        await channel.snapshot()


async def test_joining_a_deleted_hall_is_one_error(hall: FakeHall, channel: Channel, nursery: trio.Nursery) -> None:
    """A hall deleted while the first snapshot is read is reported once."""
    watcher = Watcher()
    hall.gate = trio.Event()
    nursery.start_soon(watcher.join, channel)
    await wait_all_tasks_blocked()
    channel.end(errors.HallNotFound())
    hall.gone = True
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert watcher.ended == ["HallNotFound"]
    assert watcher.frames == []
