"""Documents: merged updates, and fields added as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatsync import jsontext
from seatsync.core.channels.documents import (
    Documents,
    Update,
    age_s,
    mark_resumed,
    mark_stale,
    rev_of,
    stale_notice,
)

DOCUMENTS = Documents(("seats", "seat_types"), ordered=frozenset({"seat_types"}))

STATUSES = ["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"]
REVISIONS = st.lists(
    st.dictionaries(st.integers(1, 9), st.sampled_from(STATUSES), min_size=1, max_size=4), min_size=1, max_size=12
)
"""The seats that each revision changes."""


def update(rev: int, seats: dict[int, str], first: int | None = None) -> Update:
    """An update as PostgreSQL builds it; each seat's type is its id modulo 3, whose count is the revision."""
    data = {
        "id": 1,
        **({} if first is None else {"from": first}),
        "rev": rev,
        "seats": [{"id": seat, "status": status} for seat, status in seats.items()],
        "seat_types": [{"id": type_, "seats_count": rev} for type_ in sorted({seat % 3 for seat in seats})],
    }
    return Update(rev if first is None else first, rev, jsontext.dumps(data))


def content(data: bytes) -> tuple[dict[int, str], dict[int, int], int, int]:
    """A document's content without the order of its lists."""
    message = jsontext.loads(data)
    seats = {seat["id"]: seat["status"] for seat in message["seats"]}
    types = {type_["id"]: type_["seats_count"] for type_ in message["seat_types"]}
    assert len(seats) == len(message["seats"])
    assert len(types) == len(message["seat_types"])
    return seats, types, message.get("from", message["rev"]), message["rev"]


@given(REVISIONS)
def test_merged_update_equals_its_parts_in_sequence(revisions: list[dict[int, str]]) -> None:
    """The newest state of each seat, the newest counts of each type, and the span that it covers."""
    updates = [update(rev, seats) for rev, seats in enumerate(revisions, 5)]
    seats: dict[int, str] = {}
    types: dict[int, int] = {}
    for one in updates:
        more_seats, more_types, *_ = content(one.data)
        seats |= more_seats
        types |= more_types
    merged = DOCUMENTS.merge(updates)
    assert content(merged.data) == (seats, types, 5, 4 + len(updates))
    assert (merged.first, merged.rev) == (5, 4 + len(updates))


@given(REVISIONS, st.data())
def test_how_updates_are_grouped_does_not_matter(revisions: list[dict[int, str]], data: st.DataObject) -> None:
    """Merging parts that were merged before is merging them all at once."""
    updates = [update(rev, seats) for rev, seats in enumerate(revisions, 1)]
    cut = data.draw(st.integers(0, len(updates)))
    parts = [DOCUMENTS.merge(part) for part in (updates[:cut], updates[cut:]) if part]
    assert content(DOCUMENTS.merge(parts).data) == content(DOCUMENTS.merge(updates).data)


def test_one_update_stays_as_it_is() -> None:
    """A single update keeps PostgreSQL's bytes, without ``from``."""
    one = update(7, {1: "VACANT"})
    assert DOCUMENTS.merge([one]) is one


def test_merged_update_has_its_keys_in_the_protocol_s_order() -> None:
    """A merged update has the keys in PostgreSQL's order."""
    merged = jsontext.loads(DOCUMENTS.merge([update(1, {2: "VACANT"}), update(2, {1: "VACANT"})]).data)
    assert list(merged) == ["id", "from", "rev", "seats", "seat_types"]
    assert [type_["id"] for type_ in merged["seat_types"]] == [1, 2]


def test_empty_update_has_every_list() -> None:
    """The empty update answers a client that missed nothing: its revision, empty lists, no ``from``."""
    empty = DOCUMENTS.empty(7, 3)
    assert empty.data == b'{"id":7,"rev":3,"seats":[],"seat_types":[]}'
    assert mark_resumed(empty) == b'{"id":7,"rev":3,"seats":[],"seat_types":[],"resumed":true}'


def test_resumed_update_always_has_from() -> None:
    """``from`` is added where PostgreSQL leaves it out, in its usual place."""
    assert (
        mark_resumed(Update(5, 5, b'{"id":7,"rev":5,"seats":[]}'))
        == b'{"id":7,"from":5,"rev":5,"seats":[],"resumed":true}'
    )
    several = b'{"id":7,"from":4,"rev":5,"seats":[],"resumed":true}'
    assert mark_resumed(Update(4, 5, b'{"id":7,"from":4,"rev":5,"seats":[]}')) == several


def test_stale_is_added_to_a_document_or_sent_alone() -> None:
    """A stale notice names the topic's key, if it has one."""
    assert mark_stale(b'{"id":7,"rev":5}') == b'{"id":7,"rev":5,"stale":true}'
    assert stale_notice(7, stale=True) == b'{"id":7,"stale":true}'
    assert stale_notice(None, stale=False) == b'{"stale":false}'


def test_revision_is_read_from_a_document() -> None:
    """The revision is read at any place in a document."""
    assert rev_of(b'{"id":7,"from":4,"rev":12,"seats":[]}') == 12
    with pytest.raises(ValueError, match="subsection not found"):
        rev_of(b"{}")


@pytest.mark.parametrize(
    "data", [b"{}", b'{"updated_at":"never"}', b'{"updated_at":"', b'{"updated_at":"9999-01-01T00:00:00Z"}']
)
def test_unknown_age_is_zero(data: bytes) -> None:
    """An invalid or future time gives zero."""
    assert age_s(data) == 0.0
    assert age_s(b'{"updated_at":"2020-01-01T00:00:00.000Z"}') > 1e6
