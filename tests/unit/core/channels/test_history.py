"""The last revisions in memory, and how several become one."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatsync.core.channels.history import MAX_BYTES, MAX_MERGED, MAX_UPDATES, History, Update, merge

STATUSES = ["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"]
REVISIONS = st.lists(
    st.dictionaries(st.integers(1, 9), st.sampled_from(STATUSES), min_size=1, max_size=4), min_size=1, max_size=12
)
"""Of each revision, the seats that it changes."""


def update(rev: int, seats: dict[int, str], first: int | None = None) -> Update:
    """An update as PostgreSQL words it; each seat's type is its id modulo 3, whose count is the revision."""
    data = {
        "id": 1,
        **({} if first is None else {"from": first}),
        "rev": rev,
        "seats": [{"id": seat, "status": status} for seat, status in seats.items()],
        "seat_types": [{"id": type_, "seats_count": rev} for type_ in sorted({seat % 3 for seat in seats})],
    }
    return Update(rev if first is None else first, rev, orjson.dumps(data))


def long_update(rev: int, size: int) -> Update:
    """One of so many bytes."""
    return Update(rev, rev, b"x" * size)


def content(data: bytes) -> tuple[dict[int, str], dict[int, int], int, int]:
    """What a client believes after it, whatever the order of the lists."""
    message = orjson.loads(data)
    seats = {seat["id"]: seat["status"] for seat in message["seats"]}
    types = {type_["id"]: type_["seats_count"] for type_ in message["seat_types"]}
    assert len(seats) == len(message["seats"])
    assert len(types) == len(message["seat_types"])
    return seats, types, message.get("from", message["rev"]), message["rev"]


@given(REVISIONS)
def test_merged_update_is_what_its_parts_lead_to(revisions: list[dict[int, str]]) -> None:
    """The newest state of each seat, the newest counts of each type, and the span that it covers."""
    updates = [update(rev, seats) for rev, seats in enumerate(revisions, 5)]
    seats: dict[int, str] = {}
    types: dict[int, int] = {}
    for one in updates:
        more_seats, more_types, *_ = content(one.data)
        seats |= more_seats
        types |= more_types
    merged = merge(updates)
    assert content(merged.data) == (seats, types, 5, 4 + len(updates))
    assert (merged.first, merged.rev) == (5, 4 + len(updates))


@given(REVISIONS, st.data())
def test_how_updates_are_grouped_does_not_matter(revisions: list[dict[int, str]], data: st.DataObject) -> None:
    """Merging parts that were merged before is merging them all at once."""
    updates = [update(rev, seats) for rev, seats in enumerate(revisions, 1)]
    cut = data.draw(st.integers(0, len(updates)))
    parts = [merge(part) for part in (updates[:cut], updates[cut:]) if part]
    assert content(merge(parts).data) == content(merge(updates).data)


def test_one_update_stays_as_it_is() -> None:
    """Its bytes are PostgreSQL's, and it has no ``from``."""
    one = update(7, {1: "VACANT"})
    assert merge([one]) is one


def test_merged_update_has_its_keys_in_the_protocol_s_order() -> None:
    """As PostgreSQL words one that covers several revisions."""
    merged = orjson.loads(merge([update(1, {2: "VACANT"}), update(2, {1: "VACANT"})]).data)
    assert list(merged) == ["id", "from", "rev", "seats", "seat_types"]
    assert [type_["id"] for type_ in merged["seat_types"]] == [1, 2]


def test_after_gives_exactly_what_was_missed() -> None:
    """Everything after a revision; nothing if the oldest of that is gone, or there is none."""
    history = History()
    for rev in (5, 6, 7):
        history.append(update(rev, {rev: "RESERVED"}))
    merged = history.after(5)
    assert merged is not None
    assert content(merged.data)[2:] == (6, 7)
    assert history.after(6) == update(7, {7: "RESERVED"})
    assert history.after(3) is None
    assert history.after(7) is None
    assert history.after(9) is None


def test_after_the_middle_of_a_merged_update_is_not_known() -> None:
    """A catch-up of several revisions is one update and cannot be taken apart."""
    history = History()
    history.append(update(8, {1: "RESERVED"}, first=5))
    assert history.after(6) is None
    assert history.after(4) is not None


def test_same_question_gets_the_same_bytes() -> None:
    """A herd that comes back is served with one merge, until there is something new."""
    history = History()
    for rev in (1, 2, 3):
        history.append(update(rev, {rev: "RESERVED"}))
    first = history.after(1)
    assert history.after(1) is first
    history.append(update(4, {4: "RESERVED"}))
    assert history.after(1) is not first


def test_different_questions_do_not_pile_up() -> None:
    """Merged updates that are kept are few, whoever asks for whatever."""
    history = History()
    for rev in range(1, 100):
        history.append(update(rev, {rev: "RESERVED"}))
    for rev in range(90):
        history.after(rev)
    assert len(history._merged) <= MAX_MERGED


@pytest.mark.parametrize("size", [10, MAX_BYTES // 10, MAX_BYTES + 1])
def test_history_is_bounded(size: int) -> None:
    """In updates and in bytes; the oldest go first."""
    history = History()
    for rev in range(1, 2 * MAX_UPDATES):
        history.append(long_update(rev, size))
    kept = [one.rev for one in history._updates]
    assert len(kept) <= MAX_UPDATES
    assert size * len(kept) <= MAX_BYTES
    assert history._bytes == size * len(kept)
    assert kept == list(range(2 * MAX_UPDATES - len(kept), 2 * MAX_UPDATES))


def test_update_that_does_not_follow_begins_a_new_history() -> None:
    """What lies before a gap is of no use any more."""
    history = History()
    history.append(update(1, {1: "RESERVED"}))
    history.append(update(5, {1: "VACANT"}))
    assert history.after(0) is None
    assert history.after(4) == update(5, {1: "VACANT"})


def test_cleared_history_knows_nothing() -> None:
    """After a new layout no update leads from before it to now."""
    history = History()
    history.append(update(1, {1: "RESERVED"}))
    history.after(0)
    history.clear()
    assert history.after(0) is None
