"""The last revisions in memory."""

import pytest

from seatsync import jsontext
from seatsync.core.channels.documents import Documents, Update
from seatsync.core.channels.history import History

DOCUMENTS = Documents(("things",))


def update(rev: int, first: int | None = None) -> Update:
    """An update that changes the thing whose id is the revision."""
    return Update(first or rev, rev, jsontext.dumps({"id": 1, "rev": rev, "things": [{"id": rev}]}))


def history(*updates: Update) -> History:
    """A history of those."""
    history = History(DOCUMENTS)
    for one in updates:
        history.append(one)
    return history


def test_after_gives_exactly_what_was_missed() -> None:
    """All updates after a revision are merged; there is no result if the oldest is evicted, or none is newer."""
    kept = history(update(5), update(6), update(7))
    merged = kept.after(5)
    assert merged is not None
    assert (merged.first, merged.rev) == (6, 7)
    assert jsontext.loads(merged.data)["things"] == [{"id": 6}, {"id": 7}]
    assert kept.after(6) == update(7)
    assert [kept.after(rev) for rev in (3, 7, 9)] == [None] * 3


def test_after_the_middle_of_a_merged_update_is_not_known() -> None:
    """An update of several revisions is not split."""
    kept = history(update(8, first=5))
    assert kept.after(6) is None
    assert kept.after(4) is not None


def test_same_revision_gets_the_same_bytes() -> None:
    """Resumes from one revision share one merge until there is a newer revision."""
    kept = history(update(1), update(2), update(3))
    first = kept.after(1)
    assert kept.after(1) is first
    kept.append(update(4))
    assert kept.after(1) is not first


def test_merged_updates_are_bounded() -> None:
    """The cache of merged updates is bounded."""
    kept = history(*map(update, range(1, 100)))
    for rev in range(90):
        kept.after(rev)
    assert len(kept._merged) <= kept.max_merged


@pytest.mark.parametrize("size", [10, 100, 1001])
def test_history_is_bounded(size: int) -> None:
    """History is bounded in updates and in bytes; the oldest are evicted first."""
    kept = History(DOCUMENTS, max_updates=20, max_bytes=1000)
    for rev in range(1, 40):
        kept.append(Update(rev, rev, b"x" * size))
    revs = [one.rev for one in kept._updates]
    assert len(revs) == min(20, 1000 // size)
    assert kept._bytes == size * len(revs)
    assert revs == list(range(40 - len(revs), 40))


def test_update_that_does_not_follow_begins_a_new_history() -> None:
    """An update after a gap begins a new history."""
    kept = history(update(1), update(5))
    assert kept.after(0) is None
    assert kept.after(4) == update(5)


def test_cleared_history_is_empty() -> None:
    """Clearing removes merged updates too."""
    kept = history(update(1))
    kept.after(0)
    kept.clear()
    assert kept.after(0) is None
