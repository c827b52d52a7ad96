"""Revisions under any order of events.

Each example is a list of steps: commits, notifications that come late, again or never, subscribers' readings, resyncs
that begin and finish, a feed that is lost and found, a database restored from an older copy. What is published must be
consecutive and committed; at the end it must be the newest revision.
"""

from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from seatsync.core.channels.documents import Snapshot, Update
from seatsync.core.channels.revisions import Resync, Revisions


@define
class World:
    """A database with one subject, a feed that may lose what it carries, and a node that follows it."""

    revisions: Revisions = field(factory=lambda: Revisions(3))
    rev: int = 1
    epoch: int = 0
    layouts: set[int] = field(factory=set)
    """The revisions that no update leads across."""
    carried: list[tuple[int, str, bytes | None, bool]] = field(factory=list)
    delivered: list[tuple[int, str, bytes | None, bool]] = field(factory=list)
    resync: Resync | None = None
    published: tuple[int, str] = (-1, "")

    def commit(self, kind: str) -> None:
        """A change, one too long for a notification, a new layout or a new epoch."""
        self.rev += 1
        if kind in {"layout", "epoch"}:
            self.layouts.add(self.rev)
        self.epoch += kind == "epoch"
        if self.revisions.live:
            data = b"%d" % self.epoch if kind == "change" else None
            self.carried.append((self.rev, str(self.epoch), data, kind in {"layout", "epoch"}))

    def write(self) -> None:
        """A change by this node, which knows of it first."""
        self.commit("change")
        self.revisions.note_committed(self.rev)

    def restore(self) -> None:
        """The database is restored from an older copy."""
        self.lose()
        self.rev = max(1, self.rev - 3)
        self.epoch += 1
        self.layouts = set(range(self.rev + 1))

    def deliver(self, count: int = 1) -> None:
        """Notifications arrive."""
        for _ in range(min(count, len(self.carried))):
            self.delivered.append(self.carried.pop(0))
            self.copy(-1)

    def copy(self, index: int) -> None:
        """A role sends a copy of a notification, of whatever epoch."""
        if self.delivered:
            rev, epoch, data, layout = self.delivered[max(index, -len(self.delivered))]
            self.do(self.revisions.notified(rev, epoch, data, layout=layout))

    def drop(self) -> None:
        """A notification is lost."""
        del self.carried[:1]

    def doubt(self) -> None:
        """The database is found to differ, or not."""
        self.revisions.doubt()

    def read(self) -> None:
        """A subscriber's snapshot."""
        if self.published[0] < 0:
            self.published = (self.rev, str(self.epoch))
        self.revisions.read(self.rev, str(self.epoch))

    def begin(self) -> None:
        """A resync begins, where one is due."""
        if self.revisions.resync_due:
            self.resync = self.revisions.begin_resync()

    def finish(self) -> None:
        """Its queries answer."""
        resync, self.resync = self.resync, None
        if resync is None:
            return
        missed = set(range(resync.since + 1, self.rev + 1))
        whole = resync.epoch == str(self.epoch) and resync.since <= self.rev and not self.layouts & missed
        if whole and not resync.needs_snapshot:
            self.do(self.revisions.resynced(resync, Update(resync.since + 1, self.rev, b"%d" % self.epoch)))
        else:
            self.do(self.revisions.resynced(resync, Snapshot(self.rev, str(self.epoch), b"")))
        for update in self.revisions.replay():
            self.do(update)

    def lose(self) -> None:
        """The feed is lost, with what it carried."""
        self.carried.clear()
        self.revisions.lost()

    def find(self) -> None:
        """The feed returns, and the node catches up."""
        self.revisions.found(resynced=False)

    def do(self, found: Update | Snapshot | None) -> None:
        """Check what is published: in order, without a gap, and committed."""
        rev, epoch = self.published
        match found:
            case Update(first, last, data):
                assert (first, data) == (rev + 1, epoch.encode())
                self.published = (last, epoch)
            case Snapshot(last, of_epoch):
                assert of_epoch != epoch or last > rev
                self.published = (last, of_epoch)
        assert self.published == (self.revisions.rev, self.revisions.epoch) or self.published[0] < 0

    def settle(self) -> None:
        """Everything arrives."""
        self.read()
        self.find()
        self.deliver(len(self.carried))
        for _ in range(3):
            self.begin()
            self.finish()


EVENTS = st.one_of(
    st.tuples(st.just("commit"), st.sampled_from(["change", "change", "long", "layout", "epoch"])),
    st.tuples(st.sampled_from(["write", "restore", "drop", "doubt", "read", "begin", "finish", "lose", "find"])),
    st.tuples(st.just("deliver"), st.integers(1, 5)),
    st.tuples(st.just("copy"), st.integers(-20, -1)),
)


@given(st.lists(EVENTS, max_size=50))
def test_published_revisions_are_consecutive(events: list[tuple[Any, ...]]) -> None:
    """Every committed revision is published once, and no other."""
    world = World()
    for name, *args in events:
        getattr(world, name)(*args)
    world.settle()
    assert world.revisions.is_current
    assert world.published == (world.revisions.rev, world.revisions.epoch) == (world.rev, str(world.epoch))
