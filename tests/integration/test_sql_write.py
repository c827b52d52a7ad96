"""write_seats: the rules for changes by users, and the outcomes of requests that share a batch."""

from itertools import product
from uuid import uuid4

import pytest

from tests.support.sql import User, World
from tests.support.writes import Item, Request, write, write_seat

STATUSES = ("VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE")

# The outcome of each change of status: for one's own seat, and for another user's.
REFUSED = {
    ("RESERVED", "RESERVED"): (None, "SeatReserved"),
    ("OCCUPIED", "RESERVED"): ("SeatOccupied", "SeatOccupied"),
    ("OCCUPIED", "OCCUPIED"): (None, "SeatOccupied"),
    ("MAINTENANCE", "RESERVED"): ("SeatConflict", "SeatConflict"),
    ("MAINTENANCE", "OCCUPIED"): ("SeatConflict", "SeatConflict"),
}


@pytest.fixture
def bob(world: World) -> User:
    """An administrator."""
    return world.user("bob", "admin")


@pytest.mark.parametrize(("before", "after"), list(product(STATUSES, STATUSES)))
def test_the_table_of_changes(world: World, hall: int, alice: User, bob: User, *, before: str, after: str) -> None:
    """Every cell, for a seat of the user's own, of another user's, and without a user."""
    own, others, unowned, *_ = world.seats(hall)
    for user, seat in ((alice, own), (bob, others)):
        assert write_seat(world, user, hall, seat, before).code is None
    world.do("update seat set status = $1::text::seat_status where id = $2", before, unowned)
    mine, theirs = REFUSED.get((before, after), (None, None))
    for seat, code in ((own, mine), (others, theirs), (unowned, theirs)):
        rev = world.rev(hall)
        outcome = write_seat(world, alice, hall, seat, after)
        assert outcome.code == code
        changed = code is None and before != after
        assert world.rev(hall) == rev + changed
        assert world.value("select status::text from seat where id = $1", seat) == (after if changed else before)
        if code is None:
            assert outcome.data is not None
            assert outcome.data["rev"] == rev + changed
            assert [seat["status"] for seat in outcome.data["seats"]] == [after]
        if changed:
            assert world.value("select updated_by from seat where id = $1", seat) == alice.id


@pytest.mark.usefixtures("database_url")
def test_an_answer_has_the_revision_and_the_seats(world: World, hall: int, alice: User) -> None:
    """In the order of the request, as the update announces them; the history knows who it was."""
    first, second, third, *_ = world.seats(hall)
    items = [Item(third, "OCCUPIED"), Item(first, "MAINTENANCE", note="Spring"), Item(second, "VACANT")]
    (outcome,) = write(world, Request(alice, hall, items))
    assert outcome.data is not None
    assert list(outcome.data) == ["id", "rev", "seats"]
    assert (outcome.data["id"], outcome.data["rev"]) == (hall, world.rev(hall))
    assert [list(seat) for seat in outcome.data["seats"]] == [["id", "status", "updated_at", "note", "hold_until"]] * 3
    assert [(seat["id"], seat["note"]) for seat in outcome.data["seats"]] == [
        (third, None),
        (first, "Spring"),
        (second, None),
    ]
    by = world.rows("select seat_id, by from seat_event where rev = $1 order by seat_id", world.rev(hall))
    assert [tuple(event) for event in by] == [(first, alice.id), (third, alice.id)]
    (announced,) = world.notifications()
    assert announced.startswith(f"hall {hall} {outcome.data['rev']} {{")


def test_an_expectation_is_checked_first(world: World, hall: int, alice: User) -> None:
    """The message names the present status; an expectation that holds changes nothing else."""
    seat = world.seats(hall)[0]
    outcome = write_seat(world, alice, hall, seat, "VACANT", expected="OCCUPIED")
    assert (outcome.code, outcome.message) == ("SeatConflict", f"Seat {seat} is VACANT, not OCCUPIED as expected.")
    assert write_seat(world, alice, hall, seat, "OCCUPIED", expected="VACANT").code is None


@pytest.mark.parametrize(
    ("before", "status", "note", "after"),
    [
        (None, "MAINTENANCE", "Spring", "Spring"),
        (None, "MAINTENANCE", "", None),
        (None, "OCCUPIED", "Spring", None),
        ("Old", "MAINTENANCE", None, "Old"),
        ("Old", "MAINTENANCE", "Old", "Old"),
        ("Old", "MAINTENANCE", "New", "New"),
        ("Old", "MAINTENANCE", "", None),
        ("Old", "VACANT", "New", None),
    ],
)
def test_notes(
    world: World, hall: int, alice: User, *, before: str | None, status: str, note: str | None, after: str | None
) -> None:
    """A note is kept while in MAINTENANCE; a new one there is a change, for every user who may write."""
    seat = world.seats(hall)[0]
    if before is not None:
        world.do("update seat set status = 'MAINTENANCE', note = $1 where id = $2", before, seat)
    rev = world.rev(hall)
    outcome = write_seat(world, alice, hall, seat, status, note=note)
    assert outcome.data is not None
    assert outcome.data["seats"][0]["note"] == after
    assert world.value("select note from seat where id = $1", seat) == after
    assert world.rev(hall) == rev + (before is None or status == "VACANT" or before != after)


def test_a_note_of_200_characters(world: World, hall: int, alice: User) -> None:
    """Characters are counted, not bytes; one more is refused without harm to the neighbours."""
    first, second, *_ = world.seats(hall)
    fits, long = write(
        world,
        Request(alice, hall, [Item(first, "MAINTENANCE", note="é" * 200)]),
        Request(alice, hall, [Item(second, "MAINTENANCE", note="é" * 201)]),
    )
    assert fits.code is None
    assert long.code == "InvalidSeatData"


def test_all_or_nothing(world: World, hall: int, alice: User) -> None:
    """A request with one refused seat changes none, and fails with the first refusal in its own order."""
    first, second, third, *_ = world.seats(hall)
    world.do("update seat set status = 'OCCUPIED' where id = $1", second)
    world.do("update seat set status = 'MAINTENANCE' where id = $1", first)
    rev = world.rev(hall)
    items = [Item(third, "OCCUPIED"), Item(second, "RESERVED"), Item(first, "RESERVED")]
    (outcome,) = write(world, Request(alice, hall, items))
    assert (outcome.code, outcome.data) == ("SeatOccupied", None)
    assert outcome.message == f"Seat {second} is OCCUPIED and cannot become RESERVED."
    assert world.rev(hall) == rev
    assert world.value("select status::text from seat where id = $1", third) == "VACANT"


@pytest.mark.usefixtures("database_url")
def test_neighbours_in_a_batch(world: World, hall: int, alice: User, bob: User) -> None:
    """Each request has its own outcome; those of a hall that succeed share one revision."""
    other = world.hall()
    viewer, stranger = world.user("vic", "viewer"), User(alice.id, uuid4())
    seats, others = world.seats(hall), world.seats(other)
    world.notifications()
    result = write(
        world,
        Request(alice, hall, [Item(seats[0], "OCCUPIED")]),
        Request(viewer, hall, [Item(seats[1], "OCCUPIED")]),
        Request(stranger, hall, [Item(seats[2], "OCCUPIED")]),
        Request(bob, other, [Item(others[0], "RESERVED")]),
        Request(bob, hall, [Item(others[1], "RESERVED")]),
        Request(bob, other + 1, [Item(others[2], "RESERVED")]),
        Request(alice, hall, [Item(seats[3], "MAINTENANCE", expected="OCCUPIED")]),
        Request(bob, hall, [Item(seats[4], "OCCUPIED"), Item(seats[5], "VACANT")]),
    )
    assert [outcome.code for outcome in result] == [
        None, "Forbidden", "SessionExpired", None, "SeatNotFound", "HallNotFound", "SeatConflict", None,
    ]  # fmt: skip
    assert [outcome.data["rev"] for outcome in result if outcome.data] == [2, 2, 2]
    assert len(world.notifications()) == 2
    assert world.values("select distinct status::text from seat where id = any($1::bigint[])", seats[1:4]) == ["VACANT"]
    assert world.value("select status::text from seat where id = $1", others[1]) == "VACANT"


@pytest.mark.parametrize(
    "end",
    [
        "delete from session",
        "update session set expires_at = now()",
        "update app_user set role = 'admin'",
        "delete from app_user",
    ],
)
def test_a_session_that_has_ended(world: World, hall: int, alice: User, end: str) -> None:
    """Writes are refused from the revoking commit on; a changed role revokes too."""
    world.do(end)
    assert write_seat(world, alice, hall, world.seats(hall)[0], "OCCUPIED").code == "SessionExpired"


def test_the_session_of_another_user(world: World, hall: int, alice: User, bob: User) -> None:
    """A session authenticates its own user only."""
    mixed = User(alice.id, bob.session)
    assert write_seat(world, mixed, hall, world.seats(hall)[0], "OCCUPIED").code == "SessionExpired"


def test_a_seat_of_another_hall(world: World, hall: int, alice: User) -> None:
    """A seat of another hall is SeatNotFound."""
    seat = world.seats(world.hall())[0]
    outcome = write_seat(world, alice, hall, seat, "OCCUPIED")
    assert (outcome.code, outcome.message) == ("SeatNotFound", f"There is no seat {seat} in this hall.")


@pytest.mark.usefixtures("database_url")
def test_a_thousand_seats(world: World, alice: User) -> None:
    """One request, one revision; announced without its data, which would not fit."""
    hall = world.hall(25, 40)
    world.notifications()
    (outcome,) = write(world, Request(alice, hall, [Item(seat, "RESERVED") for seat in world.seats(hall)]))
    assert outcome.data is not None
    assert len(outcome.data["seats"]) == 1000
    assert world.notifications() == [f"hall {hall} 2"]


@pytest.mark.usefixtures("database_url")
def test_plain_sql_after_a_write_is_plain_again(world: World, hall: int, alice: User) -> None:
    """write_seats keeps updated_by itself; a statement after it, in the same transaction, does not."""
    first, second, *_ = world.seats(hall)
    world.do("begin")
    write_seat(world, alice, hall, first, "OCCUPIED")
    world.do("update seat set status = 'OCCUPIED', updated_by = $1 where id = $2", alice.id, second)
    world.do("commit")
    by = "select updated_by from seat where id = $1"
    assert (world.value(by, first), world.value(by, second)) == (alice.id, None)


@pytest.mark.usefixtures("database_url")
def test_a_batch_does_not_go_through_the_hall_for_each_seat(world: World, alice: User) -> None:
    """The rows it reads grow with the seats it changes, also before PostgreSQL has any statistics."""
    hall = world.hall(20, 20)
    seats = world.seats(hall)
    world.do("begin")
    write(world, *(Request(alice, hall, [Item(seat, "RESERVED")]) for seat in seats))
    read = world.value("select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'seat'")
    world.do("rollback")
    assert read < 20 * len(seats)
