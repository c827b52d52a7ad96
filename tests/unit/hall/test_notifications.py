"""Notifications of halls, and the revisions of this node's own writes, handed to the channels."""

from collections.abc import Callable, Sequence
from uuid import uuid4

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.channels.channels import Channels
from seatsync.core.postgres.write_queue import Outcome
from seatsync.core.protocol.call import Identity
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.hall.store import Write
from seatsync.hall.writes import commit
from tests.support.feeds import HALL, METHOD, FakeHall, Notice, Watcher


@define
class FakeStore:
    """Returns the same outcomes for every batch."""

    outcomes: list[Outcome[Json]] = field(factory=list)

    async def write(self, writes: Sequence[Write], timeout: float) -> list[Outcome[Json]]:  # noqa: ASYNC109 - the real one's
        """The outcomes; nothing is written."""
        return self.outcomes


@define
class Node:
    """One node's halls."""

    hall: FakeHall
    channels: Channels
    store: FakeStore
    notified: Callable[[str], None]

    async def watcher(self) -> Watcher:
        """A client with its snapshot."""
        watcher = Watcher()
        await watcher.join(self.channels.open(HALL))
        return watcher


@pytest.fixture
async def node(nursery: trio.Nursery) -> Node:
    """A node whose feed is live."""
    hall, store = FakeHall(), FakeStore()
    channels = Channels(METHOD, hall, nursery.start_soon, Metrics())
    await channels.resync()
    return Node(hall, channels, store, channels.notified)


def payload(notice: Notice) -> str:
    """The notification's words after ``hall``."""
    data = "layout" if notice.layout else (notice.data or b"").decode()
    return f"{HALL} {notice.epoch} {notice.rev} {data}".rstrip()


async def test_revision_is_published_unchanged(node: Node) -> None:
    """The trigger's JSON reaches clients byte for byte, without a query."""
    watcher = await node.watcher()
    notice = node.hall.change(1, "RESERVED")
    node.notified(payload(notice))
    assert watcher.revs == ["snapshot 1", 2]
    assert node.hall.queries == ["revs", "snapshot"]


async def test_layout_sends_a_snapshot(node: Node) -> None:
    """``<id> <epoch> <rev> layout``."""
    watcher = await node.watcher()
    node.notified(payload(node.hall.relay()))
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", "snapshot 2"]


async def test_missing_data_are_looked_up(node: Node) -> None:
    """The data of a notification that had no room for them are read from the database."""
    watcher = await node.watcher()
    node.hall.change(1, "RESERVED")
    node.notified(f"{HALL} a 2")
    await wait_all_tasks_blocked()
    assert watcher.revs == ["snapshot 1", 2]
    watcher.assert_sees(node.hall)


async def test_deleted_hall_ends_its_subscriptions(node: Node) -> None:
    """``<id> deleted``."""
    watcher = await node.watcher()
    node.hall.gone = True
    node.notified(f"{HALL} deleted")
    await wait_all_tasks_blocked()
    assert watcher.ended == ["HallNotFound"]


async def test_copy_of_an_old_deletion_ends_nothing(node: Node) -> None:
    """``<id> deleted``, of a hall that was restored since."""
    watcher = await node.watcher()
    node.notified(f"{HALL} deleted")
    await wait_all_tasks_blocked()
    assert (watcher.revs, watcher.ended) == (["snapshot 1"], [])


async def test_unwatched_hall_is_passed_over(node: Node) -> None:
    """No channel is opened for a notification."""
    node.notified(payload(node.hall.change(1, "RESERVED")))
    node.notified("99 deleted")
    assert node.channels.find(HALL) is None


async def test_read_after_a_write_sees_it(node: Node) -> None:
    """After a committed write the snapshot in memory is old, even before its notification."""
    await node.watcher()
    node.hall.change(1, "RESERVED")
    node.store.outcomes = [Json(b'{"id":7,"rev":2,"seats":[]}'), errors.SeatConflict()]
    writes = [Write(HALL, [], Identity(1, "ann", "operator", uuid4(), may_write=True), None)] * 2
    outcomes = await commit(node.store, node.channels, writes, 1.0)  # type: ignore[arg-type]  # the methods that it needs of a store
    assert outcomes == node.store.outcomes
    assert (await node.channels.open(HALL).snapshot()).rev == 2
