"""The state machine of revisions: each line of its table.

A case is a list of lines ``event -> what to do``, or a state. ``changes`` and ``snapshot`` are what a resync reads; a
``hint`` is a notification without data.
"""

from typing import Any

import pytest
from attrs import define, field

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
