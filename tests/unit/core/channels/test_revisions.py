"""The state machine of revisions: each line of its table, and that no order of events loses, repeats or invents one.

A case is a list of lines ``event -> what to do``, or a state. ``changes`` and ``snapshot`` are what a resync reads; a
``hint`` is a notification without data.
"""

from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from seatsync.core.channels.documents import Snapshot, Update
from seatsync.core.channels.revisions import Resync, Revisions

CASES = {
    "the next revision is published, once": """
        read 1 a -> nothing
        notified 2 -> publish 2
        notified 2 -> nothing
        notified 1 -> nothing
        notified 3 -> publish 3
        CURRENT 3 a""",
    "a gap is filled from the database": """
        read 1 a -> nothing
        notified 3 -> resync
        begin -> changes since 1 a
        changes 3 -> publish 2-3
        notified 4 -> publish 4
        CURRENT 4 a""",
    "a notification without data is a gap of one": """
        read 1 a -> nothing
        hint 2 -> resync
        begin -> changes since 1 a
        changes 2 -> publish 2
        CURRENT 2 a""",
    "notifications are held during a resync, and follow it unless it has them": """
        read 1 a -> nothing
        notified 3 -> resync
        begin -> changes since 1 a
        notified 4 -> nothing
        notified 5 -> nothing
        changes 4 -> publish 2-4
        replay -> publish 5
        CURRENT 5 a""",
    "a resync has what was notified before it": """
        read 1 a -> nothing
        notified 3 -> resync
        notified 4 -> nothing
        notified 99 -> nothing
        begin -> changes since 1 a
        changes 4 -> publish 2-4
        replay -> nothing
        CURRENT 4 a""",
    "more than can be held is another gap": """
        read 1 a -> nothing
        notified 3 -> resync
        begin -> changes since 1 a
        notified 4 -> nothing
        notified 5 -> nothing
        notified 6 -> nothing
        notified 7 -> nothing
        changes 3 -> publish 2-3
        replay -> resync
        BEHIND 3 a""",
    "copies that leave no room for a revision are a gap": """
        read 1 a -> nothing
        notified 3 -> resync
        begin -> changes since 1 a
        notified 4 -> nothing
        notified 3 -> nothing
        notified 3 -> nothing
        notified 3 -> nothing
        changes 3 -> publish 2-3
        replay -> resync
        BEHIND 3 a""",
    "a resync that fails is still due": """
        read 1 a -> nothing
        layout 2 -> resync
        begin -> snapshot
        begin -> snapshot
        snapshot 2 a -> publish snapshot 2 a
        CURRENT 2 a""",
    "a doubted revision is looked up": """
        read 1 a -> nothing
        doubt -> resync
        begin -> changes since 1 a
        changes 1 -> nothing
        notified 2 -> publish 2
        CURRENT 2 a""",
    "a subject doubted before the first reading is looked up after it": """
        doubt -> nothing
        read 1 a -> resync
        begin -> changes since 1 a""",
    "a copy of a notification of an earlier epoch is looked up and forgotten": """
        read 1 b -> nothing
        old 2 -> resync
        begin -> snapshot
        old 9 -> nothing
        snapshot 1 b -> nothing
        replay -> nothing
        old 3 -> nothing
        CURRENT 1 b""",
    "a new layout needs a snapshot": """
        read 1 a -> nothing
        layout 2 -> resync
        begin -> snapshot
        notified 3 -> nothing
        snapshot 2 a -> publish snapshot 2 a
        replay -> publish 3
        CURRENT 3 a""",
    "a snapshot serves all layouts that it has seen": """
        read 1 a -> nothing
        layout 2 -> resync
        begin -> snapshot
        layout 3 -> nothing
        layout 4 -> nothing
        snapshot 3 a -> publish snapshot 3 a
        replay -> resync
        OUTDATED 3 a""",
    "a snapshot serves where the changes are not complete": """
        read 1 a -> nothing
        notified 3 -> resync
        begin -> changes since 1 a
        snapshot 3 a -> publish snapshot 3 a
        CURRENT 3 a""",
    "an epoch begins anew, even at a lower revision": """
        read 50 a -> nothing
        layout 51 -> resync
        begin -> snapshot
        snapshot 3 b -> publish snapshot 3 b
        notified 4 -> publish 4
        CURRENT 4 b""",
    "an epoch that a subscriber read first is found by a resync": """
        read 50 a -> nothing
        read 3 b -> resync
        begin -> snapshot
        read 3 b -> nothing
        snapshot 3 b -> publish snapshot 3 b
        CURRENT 3 b""",
    "an epoch that a subscriber read after the snapshot is one more": """
        read 50 a -> nothing
        read 3 b -> resync
        begin -> snapshot
        read 4 c -> nothing
        snapshot 3 b -> publish snapshot 3 b
        OUTDATED 3 b""",
    "a snapshot of what is published already is not": """
        read 1 a -> nothing
        read 9 b -> resync
        begin -> snapshot
        snapshot 1 a -> nothing
        CURRENT 1 a""",
    "a revision notified before the first reading follows it": """
        notified 2 -> nothing
        read 1 a -> resync
        begin -> changes since 1 a
        changes 2 -> publish 2
        CURRENT 2 a""",
    "a reading from before the feed's return is checked": """
        lost -> nothing
        found -> nothing
        read 1 a -> resync
        begin -> changes since 1 a
        changes 1 -> nothing
        CURRENT 1 a""",
    "a lost feed asks for nothing until it is found": """
        read 1 a -> nothing
        lost -> nothing
        notified 3 -> nothing
        BEHIND 1 a
        found resynced -> resync
        begin -> changes since 1 a""",
    "a found feed is resynced, but not twice": """
        read 1 a -> nothing
        lost -> nothing
        begin -> changes since 1 a
        changes 2 -> publish 2
        found resynced -> nothing
        lost -> nothing
        found -> resync
        BEHIND 2 a""",
    "notifications held when the feed is lost are dropped": """
        read 1 a -> nothing
        notified 3 -> resync
        begin -> changes since 1 a
        notified 4 -> nothing
        lost -> nothing
        snapshot 3 b -> publish snapshot 3 b
        replay -> nothing
        found resynced -> nothing
        CURRENT 3 b""",
    "nothing is known of a subject that is gone": """
        read 1 a -> nothing
        notified 3 -> resync
        begin -> changes since 1 a
        end -> nothing
        changes 3 -> nothing
        snapshot 3 a -> nothing
        begin -> nothing
        UNREAD -1""",
}


@define
class Run:
    """Runs a script's lines against `Revisions`."""

    revisions: Revisions = field(factory=lambda: Revisions(3))
    resync: Resync | None = None

    def line(self, line: str) -> None:
        """Apply one event, or check the state."""
        event, arrow, expected = line.strip().partition(" -> ")
        if arrow:
            was_due = self.revisions.resync_due
            found = self._happen(*event.split())
            shown = [self._shown(one) for one in (found if isinstance(found, list) else [found]) if one is not None]
            shown += ["resync"] if self.revisions.resync_due and not was_due else []
            assert ", ".join(shown) == expected.replace("nothing", ""), line
        else:
            assert f"{self.revisions.state.name} {self.revisions.rev} {self.revisions.epoch}".strip() == line.strip()

    def _happen(self, name: str, *words: str) -> Any:
        events: dict[str, Any] = {
            "notified": lambda rev: self.revisions.notified(int(rev), self.epoch, b"{}"),
            "old": lambda rev: self.revisions.notified(int(rev), "old", b"old"),
            "hint": lambda rev: self.revisions.notified(int(rev), self.epoch, None),
            "layout": lambda rev: self.revisions.notified(int(rev), self.epoch, None, layout=True),
            "doubt": self.revisions.doubt,
            "read": lambda rev, epoch: self.revisions.read(int(rev), epoch),
            "begin": self._begin,
            "changes": lambda rev: self._resynced(Update(self.revisions.rev + 1, int(rev), b"{}")),
            "snapshot": lambda rev, epoch: self._resynced(Snapshot(int(rev), epoch, b"{}")),
            "replay": lambda: list(self.revisions.replay()),
            "lost": self.revisions.lost,
            "found": lambda *resynced: self.revisions.found(resynced=bool(resynced)),
            "end": self.revisions.end,
        }
        return events[name](*words)

    @property
    def epoch(self) -> str:
        """Of the notifications: the one that is known."""
        return self.revisions.epoch

    def _begin(self) -> Resync | None:
        resync = self.revisions.begin_resync()
        self.resync = resync or self.resync
        return resync

    def _resynced(self, found: Update | Snapshot) -> Update | Snapshot | None:
        assert self.resync is not None
        return self.revisions.resynced(self.resync, found)

    def _shown(self, found: Update | Snapshot | Resync) -> str:
        match found:
            case Update(first, rev, data):
                assert data != b"old"
                return f"publish {rev}" if first == rev else f"publish {first}-{rev}"
            case Snapshot(rev, epoch):
                return f"publish snapshot {rev} {epoch}"
            case Resync(since, epoch, needs_snapshot):
                return "snapshot" if needs_snapshot else f"changes since {since} {epoch}"


@pytest.mark.parametrize("script", CASES.values(), ids=CASES)
def test_what_events_lead_to(script: str) -> None:
    """Each event leads to the table's state and action."""
    run = Run()
    for line in script.strip().splitlines():
        run.line(line)


def test_only_what_is_known_in_full_is_current() -> None:
    """The state is not current before the first read, after a commit not notified yet, or while the feed is lost."""
    revisions = Revisions(3)
    assert not revisions.is_current
    revisions.read(1, "a")
    assert revisions.is_current
    revisions.note_committed(2)
    assert (revisions.is_current, revisions.newest) == (False, 2)
    revisions.notified(2, "a", b"{}")
    revisions.notified(3, "a", b"{}")
    assert (revisions.is_current, revisions.newest) == (True, 3)
    revisions.lost()
    assert not revisions.is_current


# Any order of events


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
