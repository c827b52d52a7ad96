"""All channels of a node through the loss and the return of the feed."""

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.channels.channels import PARTS, Channels
from tests.support.feeds import HALL, FakeHall, joined

# Staleness


async def test_lasting_loss_is_notified_and_so_is_its_end(hall: FakeHall, channels: Channels) -> None:
    """All subscribers are notified of a lasting loss and, after their missed revisions, of its end."""
    watcher = await joined(channels.open(HALL))
    channels.lost()
    channels.set_stale(stale=True)
    hall.change(1, "RESERVED")
    hall.change(2, "RESERVED")
    await channels.resync()
    channels.set_stale(stale=False)
    assert watcher.revs == ["snapshot 1", {"stale": True}, (2, 3), {"stale": False}]
    watcher.assert_sees(hall)


async def test_short_loss_is_not_notified(hall: FakeHall, channels: Channels) -> None:
    """A quick reconnect sends the missed revisions and no stale notice."""
    watcher = await joined(channels.open(HALL))
    channels.lost()
    hall.change(1, "RESERVED")
    await channels.resync()
    assert watcher.revs == ["snapshot 1", 2]


async def test_snapshot_served_while_stale_is_marked(hall: FakeHall, channels: Channels) -> None:
    """A subscriber that joins during a loss gets a marked snapshot, and a notice of the loss's end."""
    channels.lost()
    channels.set_stale(stale=True)
    watcher = await joined(channels.open(HALL))
    assert watcher.frames[0][1]["stale"] is True
    await channels.resync()
    channels.set_stale(stale=False)
    assert watcher.revs == ["snapshot 1", {"stale": False}]


async def test_snapshot_of_a_resync_does_not_end_staleness(hall: FakeHall, channels: Channels) -> None:
    """Only ``stale: false`` ends staleness: another channel may still be behind."""
    watcher = await joined(channels.open(HALL))
    channels.lost()
    channels.set_stale(stale=True)
    hall.relay()
    await channels.resync()
    assert watcher.stale
    channels.set_stale(stale=False)
    assert not watcher.stale
    watcher.assert_sees(hall)


async def test_slow_client_is_marked_stale_when_it_has_drained(hall: FakeHall, channels: Channels) -> None:
    """A stale notice is not added to a full send buffer."""
    channel = channels.open(HALL)
    watcher = await joined(channel)
    watcher.full = True
    hall.change(1, "RESERVED").notify(channel)
    channels.lost()
    channels.set_stale(stale=True)
    assert watcher.revs == ["snapshot 1", 2]
    watcher.drain()
    assert watcher.revs == ["snapshot 1", 2, {"stale": True}]


async def test_snapshot_for_a_slow_client_is_marked_stale(hall: FakeHall, channels: Channels) -> None:
    """Every snapshot during the loss is marked."""
    channel = channels.open(HALL)
    watcher = await joined(channel)
    watcher.full = True
    hall.change(1, "RESERVED").notify(channel)
    hall.relay().notify(channel)
    await wait_all_tasks_blocked()
    channels.lost()
    channels.set_stale(stale=True)
    watcher.drain()
    await wait_all_tasks_blocked()
    assert watcher.frames[-1][0] == "snapshot"
    assert watcher.stale


# The feed's return


async def test_resync_reads_only_what_has_changed(hall: FakeHall, channels: Channels) -> None:
    """One query finds the halls with new revisions; only those are read."""
    await joined(channels.open(HALL))
    channels.lost()
    await channels.resync()
    assert hall.queries == ["snapshot", "revs"]


async def test_nothing_in_memory_is_current_while_the_feed_is_down(hall: FakeHall, channels: Channels) -> None:
    """During the loss snapshots are read from the database, after its return served from memory."""
    channel = channels.open(HALL)
    await joined(channel)
    channels.lost()
    hall.change(1, "RESERVED")
    assert (await channel.snapshot()).rev == 2
    await channels.resync()
    queries = len(hall.queries)
    assert (await channel.snapshot()).rev == 2
    assert len(hall.queries) == queries


async def test_channel_opened_during_a_resync_is_live_after_it(
    hall: FakeHall, channels: Channels, nursery: trio.Nursery
) -> None:
    """A hall first requested while the others are resynced is served, and resynced, like them."""
    await joined(channels.open(HALL + 1))
    channels.lost()
    hall.change(4, "RESERVED")
    hall.gate = revs = trio.Event()
    nursery.start_soon(channels.resync)
    await wait_all_tasks_blocked()
    hall.gate = changes = trio.Event()
    revs.set()
    await wait_all_tasks_blocked()
    channel = channels.open(HALL)
    changes.set()
    await wait_all_tasks_blocked()
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    hall.change(2, "RESERVED").notify(channel)
    await wait_all_tasks_blocked()
    watcher.assert_sees(hall)


async def test_hall_deleted_during_the_loss_ends_its_subscriptions(hall: FakeHall, channels: Channels) -> None:
    """The resync finds the deletion; the hall is not served any more."""
    watcher = await joined(channels.open(HALL))
    channels.lost()
    hall.gone = True
    await channels.resync()
    assert watcher.ended == ["HallNotFound"]
    assert channels.find(HALL) is None


async def test_failed_resync_raises(hall: FakeHall, channels: Channels) -> None:
    """A failed resync raises, so that the listener reconnects."""
    await joined(channels.open(HALL))
    channels.lost()
    hall.change(1, "RESERVED")
    hall.fault = errors.ServiceUnavailable()
    with pytest.raises(errors.ServiceUnavailable):
        await channels.resync()


# Which channels there are


async def test_unused_channel_is_dropped_after_a_while(
    hall: FakeHall, channels: Channels, autojump_clock: trio.testing.MockClock
) -> None:
    """It keeps its history for a while; one with a subscriber stays."""
    watcher = await joined(channels.open(HALL))
    await trio.sleep(2 * 60.0)
    channels.evict_idle()
    assert channels.find(HALL) is not None
    channels.open(HALL).leave(watcher.subscriber)
    await trio.sleep(60.0 - 1)
    channels.evict_idle()
    assert channels.find(HALL) is not None
    await trio.sleep(2)
    channels.evict_idle()
    assert channels.find(HALL) is None


async def test_hall_that_does_not_exist_leaves_no_channel(hall: FakeHall, channels: Channels) -> None:
    """Requests for unknown ids take no memory."""
    hall.gone = True
    with pytest.raises(errors.HallNotFound), channels.use(HALL) as channel:
        await channel.snapshot()
    assert channels.find(HALL) is None


async def test_known_channel_survives_a_refusal(hall: FakeHall, channels: Channels) -> None:
    """A refused subscription leaves the channel as it was."""
    await joined(channels.open(HALL))
    with pytest.raises(errors.SubscriptionAlreadyExists), channels.use(HALL):
        raise errors.SubscriptionAlreadyExists
    assert channels.find(HALL) is not None


async def test_deleted_hall_is_forgotten(hall: FakeHall, channels: Channels) -> None:
    """Subscribers of a deleted hall are notified, once, and the next request queries the database."""
    channel = channels.open(HALL)
    watcher = await joined(channel)
    hall.gone = True
    for _ in range(2):
        channel.doubt()
        await wait_all_tasks_blocked()
    assert watcher.ended == ["HallNotFound"]
    with pytest.raises(errors.HallNotFound), channels.use(HALL):
        await channel.snapshot()
    assert channels.find(HALL) is None


async def test_revision_that_nothing_announced_is_found(hall: FakeHall, channels: Channels) -> None:
    """Each channel is compared with the database in turn; one that stays where it was is resynced."""
    watcher = await joined(channels.open(HALL))
    hall.change(1, "RESERVED")
    for part in range(PARTS):
        await channels.compare(part)
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", 2]
    assert hall.queries == ["snapshot", "revs", "changes"]


async def test_revision_in_flight_is_no_difference(
    hall: FakeHall, channels: Channels, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A channel whose notification follows the comparison is not resynced."""
    watcher = await joined(channels.open(HALL))
    notice = hall.change(1, "RESERVED")
    nursery.start_soon(channels.compare, HALL % PARTS)
    await wait_all_tasks_blocked()
    notice.notify(channels.open(HALL))
    await trio.sleep(5)
    assert watcher.revs == ["snapshot 1", 2]
    assert "changes" not in hall.queries


async def test_comparison_finds_a_set_back_or_deleted_hall(hall: FakeHall, channels: Channels) -> None:
    """A revision that was set back is a new snapshot; a hall that went without a word ends the subscription."""
    watcher = await joined(channels.open(HALL))
    hall.renew_epoch(rev=0)
    await channels.compare(HALL % PARTS)
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", "snapshot 0"]
    hall.gone = True
    await channels.compare(HALL % PARTS)
    await wait_all_tasks_blocked()
    assert watcher.ended == ["HallNotFound"]
