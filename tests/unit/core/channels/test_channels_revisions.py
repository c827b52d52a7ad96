"""The revisions that a channel publishes, and the ways back after a gap, a new layout or a new epoch.

`tests.unit.core.channels.test_channels` says what stands in for the database and the clients.
"""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.channels.channel import Channel
from seatsync.core.channels.history import MAX_UPDATES
from seatsync.core.postgres.pool import DatabaseRejected
from tests.support.feeds import FakeHall, Notice, Watcher, joined


async def test_repeated_notifications_are_dropped(hall: FakeHall, channel: Channel) -> None:
    """A revision is published once."""
    watcher = await joined(channel)
    notice = hall.change(1, "RESERVED")
    for _ in range(3):
        notice.tell(channel)
    assert watcher.revs == ["snapshot 1", 2]


async def test_gap_is_filled_from_the_database(hall: FakeHall, channel: Channel) -> None:
    """Revisions that were not heard of come as one merged update with what came after them."""
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    hall.change(2, "RESERVED").tell(channel)
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", (2, 3)]
    watcher.assert_sees(hall)
    assert hall.asked == ["snapshot", "changes"]


async def test_revision_too_long_for_a_notification_is_fetched(hall: FakeHall, channel: Channel) -> None:
    """A notification without data is one revision: its update has no ``from``."""
    watcher = await joined(channel)
    notice = hall.change(1, "RESERVED")
    Notice(notice.rev, None).tell(channel)
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", 2]
    watcher.assert_sees(hall)


async def test_revision_that_does_not_exist_changes_nothing(hall: FakeHall, channel: Channel) -> None:
    """Anybody may NOTIFY: a made-up revision is looked up, found wanting and forgotten."""
    watcher = await joined(channel)
    Notice(99, b"{}").tell(channel)
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").tell(channel)
    hall.change(2, "RESERVED").tell(channel)
    assert watcher.revs == ["snapshot 1", 2, 3]
    await joined(channel, "e2")
    asked = len(hall.asked)
    await joined(channel, "e3")
    assert len(hall.asked) == asked


async def test_made_up_revision_is_never_published(hall: FakeHall, channel: Channel) -> None:
    """Not even one that comes to be the next while the channel catches up."""
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    third, fourth = hall.change(2, "RESERVED"), hall.change(3, "RESERVED")
    hall.gate = trio.Event()
    third.tell(channel)
    await wait_all_tasks_blocked()
    Notice(5, b"{made up}").tell(channel)
    fourth.tell(channel)
    hall.change(4, "RESERVED").tell(channel)
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", (2, 4), 5]
    watcher.assert_sees(hall)


async def test_revisions_heard_during_a_catch_up_follow_it(hall: FakeHall, channel: Channel) -> None:
    """While the channel catches up, notifications wait; then each is published unless the catch-up had it."""
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    hall.gate = trio.Event()
    hall.change(2, "RESERVED").tell(channel)
    await wait_all_tasks_blocked()
    hall.change(3, "RESERVED").tell(channel)
    hall.change(4, "RESERVED").tell(channel)
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", (2, 3), 4, 5]
    watcher.assert_sees(hall)
    assert hall.asked == ["snapshot", "changes"]


async def test_catching_up_under_load_ends(hall: FakeHall, channel: Channel, nursery: trio.Nursery) -> None:
    """Notifications that never stop do not keep a channel asking: one query fills one gap, and one task asks it."""
    watcher = await joined(channel)
    before = len(nursery.child_tasks)
    hall.change(1, "RESERVED")
    for number in range(50):
        hall.gate = gate = trio.Event()
        hall.change(number % 4 + 1, "OCCUPIED").tell(channel)
        await wait_all_tasks_blocked()
        hall.change(number % 4 + 1, "VACANT").tell(channel)
        assert len(nursery.child_tasks) <= before + 1
        gate.set()
        await wait_all_tasks_blocked()
    watcher.assert_sees(hall)
    assert hall.asked == ["snapshot", "changes"]
    assert len(nursery.child_tasks) == before


async def test_more_than_can_wait_is_another_gap(hall: FakeHall, channel: Channel) -> None:
    """What waits for a catch-up is bounded: beyond that the channel asks once more."""
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    hall.gate = trio.Event()
    for _ in range(MAX_UPDATES + 10):
        hall.change(2, "RESERVED").tell(channel)
        await wait_all_tasks_blocked()
    hall.gate.set()
    await wait_all_tasks_blocked()
    watcher.assert_sees(hall)
    assert hall.asked == ["snapshot", "changes", "changes"]


async def test_new_layout_sends_a_snapshot(hall: FakeHall, channel: Channel) -> None:
    """After a change of the layout everybody gets the hall anew, once."""
    watchers = [await joined(channel, eid) for eid in ("a", "b")]
    hall.relay().tell(channel)
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").tell(channel)
    for watcher in watchers:
        assert watcher.revs == ["snapshot 1", "snapshot 2", 3]
        watcher.assert_sees(hall)


async def test_layouts_changed_in_a_row_send_few_snapshots(hall: FakeHall, channel: Channel) -> None:
    """A snapshot serves all changes of the layout that it has seen."""
    watcher = await joined(channel)
    hall.gate = trio.Event()
    for _ in range(5):
        hall.relay().tell(channel)
    await wait_all_tasks_blocked()
    hall.relay().tell(channel)
    hall.gate.set()
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", "snapshot 6", "snapshot 7"]
    watcher.assert_sees(hall)


async def test_layout_is_read_by_a_query_that_began_after_it(
    hall: FakeHall, channel: Channel, nursery: trio.Nursery
) -> None:
    """A snapshot that is under way already is too old to serve."""
    first, second = await joined(channel), Watcher("e2")
    channel.heard(2)
    hall.gate = gate = trio.Event()
    nursery.start_soon(second.join, channel)
    await wait_all_tasks_blocked()
    hall.gate = None
    hall.relay().tell(channel)
    await wait_all_tasks_blocked()
    gate.set()
    await wait_all_tasks_blocked()
    first.assert_sees(hall)
    second.assert_sees(hall)


async def test_layout_found_while_filling_a_gap_sends_a_snapshot(hall: FakeHall, channel: Channel) -> None:
    """A gap that holds a change of the layout cannot be filled with an update."""
    watcher = await joined(channel)
    hall.relay()
    hall.change(1, "RESERVED").tell(channel)
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", "snapshot 3"]
    watcher.assert_sees(hall)


async def test_new_epoch_sends_a_snapshot(hall: FakeHall, channel: Channel) -> None:
    """Revisions of a new epoch say nothing about the old ones: everybody begins anew, even lower."""
    hall.rev = 50
    watcher = await joined(channel)
    hall.renew_epoch(rev=51).tell(channel)
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").tell(channel)
    assert watcher.revs == ["snapshot 50", "snapshot 51", 52]
    watcher.assert_sees(hall)


async def test_joiner_discovers_a_new_epoch(hall: FakeHall, channel: Channel) -> None:
    """A snapshot of another epoch makes the channel begin anew, for everybody, and its owner is not sent it twice."""
    hall.rev = 50
    first = await joined(channel)
    hall.renew_epoch(rev=3)
    channel.heard(51)
    second = await joined(channel, "e2")
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").tell(channel)
    assert (first.revs, second.revs) == (["snapshot 50", "snapshot 3", 4], ["snapshot 3", 4])
    first.assert_sees(hall)
    second.assert_sees(hall)


async def test_new_epoch_is_sent_once(hall: FakeHall, channel: Channel, nursery: trio.Nursery) -> None:
    """However many join with its snapshot while the channel itself reads it."""
    first, joiners = await joined(channel), [Watcher(str(number)) for number in range(10)]
    hall.gate = trio.Event()
    hall.renew_epoch().tell(channel)
    await wait_all_tasks_blocked()
    for joiner in joiners:
        nursery.start_soon(joiner.join, channel)
    await wait_all_tasks_blocked()
    hall.gate.set()
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").tell(channel)
    assert first.revs == ["snapshot 1", "snapshot 2", 3]
    assert [joiner.revs for joiner in joiners] == [["snapshot 2", 3]] * 10


@pytest.mark.parametrize(
    "fault", [errors.ServiceUnavailable(), DatabaseRejected("42501", "permission denied"), RuntimeError("a bug")]
)
async def test_failed_catch_up_is_tried_again(
    hall: FakeHall, channel: Channel, fault: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    """Whatever keeps the database from answering, the channel asks until it does, and then nothing is missing.

    What is more than its absence is told to the log.
    """
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    hall.fault = fault
    hall.change(2, "RESERVED").tell(channel)
    with capture_logs() as logs:
        await trio.sleep(5)
    assert bool(logs) is not isinstance(fault, errors.DatabaseFault)
    assert watcher.revs == ["snapshot 1"]
    assert 2 < len(hall.asked) < 50
    hall.fault = None
    await trio.sleep(5)
    watcher.assert_sees(hall)
    hall.change(3, "RESERVED").tell(channel)
    assert watcher.revs == ["snapshot 1", (2, 3), 4]
