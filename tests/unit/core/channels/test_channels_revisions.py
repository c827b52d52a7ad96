"""The revisions that a channel publishes, and the ways back after a gap, a new layout or a new epoch.

Fakes for the database and the clients: `tests.unit.core.channels.test_channels`.
"""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.channels.channel import Channel
from seatsync.core.postgres.faults import DatabaseRejected
from tests.support.feeds import FakeHall, Watcher, joined


async def test_gap_is_filled_from_the_database(hall: FakeHall, channel: Channel) -> None:
    """Missed revisions come as one merged update, with those after them."""
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    hall.change(2, "RESERVED").notify(channel)
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", (2, 3)]
    watcher.assert_sees(hall)
    assert hall.queries == ["snapshot", "changes"]


async def test_catching_up_under_load_ends(hall: FakeHall, channel: Channel, nursery: trio.Nursery) -> None:
    """Under constant notifications one query fills one gap, and one task runs it."""
    watcher = await joined(channel)
    before = len(nursery.child_tasks)
    hall.change(1, "RESERVED")
    for number in range(50):
        hall.gate = gate = trio.Event()
        hall.change(number % 4 + 1, "OCCUPIED").notify(channel)
        await wait_all_tasks_blocked()
        hall.change(number % 4 + 1, "VACANT").notify(channel)
        assert len(nursery.child_tasks) <= before + 1
        gate.set()
        await wait_all_tasks_blocked()
    watcher.assert_sees(hall)
    assert hall.queries == ["snapshot", "changes"]
    assert len(nursery.child_tasks) == before


async def test_new_layout_sends_a_snapshot(hall: FakeHall, channel: Channel) -> None:
    """After a change of the layout every subscriber gets one snapshot."""
    watchers = [await joined(channel, eid) for eid in ("a", "b")]
    hall.relay().notify(channel)
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").notify(channel)
    for watcher in watchers:
        assert watcher.revs == ["snapshot 1", "snapshot 2", 3]
        watcher.assert_sees(hall)


async def test_joiner_discovers_a_new_epoch(hall: FakeHall, channel: Channel) -> None:
    """A snapshot of another epoch restarts the channel; the subscriber that has it gets it once."""
    hall.rev = 50
    first = await joined(channel)
    hall.renew_epoch(rev=3)
    channel.revisions.note_committed(51)
    second = await joined(channel, "e2")
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").notify(channel)
    assert (first.revs, second.revs) == (["snapshot 50", "snapshot 3", 4], ["snapshot 3", 4])
    first.assert_sees(hall)
    second.assert_sees(hall)


async def test_new_epoch_is_sent_once(hall: FakeHall, channel: Channel, nursery: trio.Nursery) -> None:
    """Each subscriber gets a new epoch once, even if some join while the channel reads it."""
    first, joiners = await joined(channel), [Watcher(str(number)) for number in range(10)]
    hall.gate = trio.Event()
    hall.renew_epoch().notify(channel)
    await wait_all_tasks_blocked()
    for joiner in joiners:
        nursery.start_soon(joiner.join, channel)
    await wait_all_tasks_blocked()
    hall.gate.set()
    await wait_all_tasks_blocked()
    hall.change(1, "RESERVED").notify(channel)
    assert first.revs == ["snapshot 1", "snapshot 2", 3]
    assert [joiner.revs for joiner in joiners] == [["snapshot 2", 3]] * 10


@pytest.mark.parametrize(
    "fault", [errors.ServiceUnavailable(), DatabaseRejected("42501", "permission denied"), RuntimeError("a bug")]
)
async def test_failed_catch_up_is_tried_again(
    hall: FakeHall, channel: Channel, fault: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    """A failing catch-up is repeated until it succeeds; then no revision is missing.

    Any error but an unavailable database is logged.
    """
    watcher = await joined(channel)
    hall.change(1, "RESERVED")
    hall.fault = fault
    hall.change(2, "RESERVED").notify(channel)
    with capture_logs() as logs:
        await trio.sleep(5)
    assert bool(logs) is not isinstance(fault, errors.ServiceUnavailable)
    assert watcher.revs == ["snapshot 1"]
    assert 2 < len(hall.queries) < 50
    hall.fault = None
    await trio.sleep(5)
    watcher.assert_sees(hall)
    hall.change(3, "RESERVED").notify(channel)
    assert watcher.revs == ["snapshot 1", (2, 3), 4]
