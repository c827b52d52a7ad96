"""write_seats with keys: a repeated request is answered from its key, not executed again."""

from uuid import UUID, uuid4

import pytest

from tests.support.sql import User, World
from tests.support.writes import WRITE, Item, Request, arguments, outcomes, write


@pytest.fixture
def hall(world: World) -> int:
    """A hall of six vacant seats."""
    return world.hall()


@pytest.fixture
def key() -> UUID:
    """A key."""
    return uuid4()


def test_a_success_is_answered_again(world: World, hall: int, alice: User, key: UUID) -> None:
    """A repeated request gets the first outcome, byte for byte, whatever the seat's present status."""
    seat = world.seats(hall)[0]
    request = Request(alice, hall, [Item(seat, "OCCUPIED", expected="VACANT")], key)
    (first,) = write(world, request)
    world.do("update seat set status = 'MAINTENANCE' where id = $1", seat)
    rev = world.rev(hall)
    assert write(world, request) == [first]
    assert first.code is None
    assert world.rev(hall) == rev
    assert world.value("select status::text from seat where id = $1", seat) == "MAINTENANCE"


def test_a_refusal_is_answered_again(world: World, hall: int, alice: User, key: UUID) -> None:
    """Domain errors are kept too, with their message."""
    seat = world.seats(hall)[0]
    request = Request(alice, hall, [Item(seat, "OCCUPIED", expected="RESERVED")], key)
    (first,) = write(world, request)
    world.do("update seat set status = 'RESERVED' where id = $1", seat)
    assert write(world, request) == [first]
    assert first.code == "SeatConflict"
    assert first.message is not None


def test_other_parameters_under_the_same_key(world: World, hall: int, alice: User, key: UUID) -> None:
    """A known key with other parameters is refused, and the first outcome stays."""
    seat = world.seats(hall)[0]
    first = Request(alice, hall, [Item(seat, "OCCUPIED")], key, b"one")
    (done,) = write(world, first)
    (refused,) = write(world, Request(alice, hall, [Item(seat, "VACANT")], key, b"two"))
    assert (refused.code, refused.message) == ("ValidationError", "That key was used for another request.")
    assert world.value("select status::text from seat where id = $1", seat) == "OCCUPIED"
    assert write(world, first) == [done]


def test_keys_belong_to_users(world: World, hall: int, alice: User, key: UUID) -> None:
    """Two users may use the same key, in one batch even."""
    bob = world.user("bob")
    first, second, *_ = world.seats(hall)
    mine, theirs = write(
        world,
        Request(alice, hall, [Item(first, "OCCUPIED")], key, b"one"),
        Request(bob, hall, [Item(second, "OCCUPIED")], key, b"two"),
    )
    assert (mine.code, theirs.code) == (None, None)


def test_old_and_new_keys_in_one_batch(world: World, hall: int, alice: User, key: UUID) -> None:
    """A known key is answered from memory; a new key, and a write without one, is executed."""
    seats = world.seats(hall)
    again = Request(alice, hall, [Item(seats[0], "OCCUPIED")], key)
    (first,) = write(world, again)
    replayed, keyed, plain = write(
        world,
        again,
        Request(alice, hall, [Item(seats[1], "OCCUPIED")], uuid4()),
        Request(alice, hall, [Item(seats[2], "OCCUPIED")]),
    )
    assert replayed == first
    assert keyed.data is not None
    assert plain.data is not None
    assert keyed.data["rev"] == plain.data["rev"] == world.rev(hall)
    assert world.value("select count(*) from write_key") == 2


def test_a_refusal_of_the_person_is_not_kept(world: World, hall: int, alice: User, key: UUID) -> None:
    """SessionExpired and Forbidden are not kept: after a new login the request is executed."""
    seat = world.seats(hall)[0]
    world.do("update app_user set role = 'viewer'")
    session = world.value("insert into session (user_id) values ($1) returning id", alice.id)
    for user, code in ((alice, "SessionExpired"), (User(alice.id, session), "Forbidden")):
        assert write(world, Request(user, hall, [Item(seat, "OCCUPIED")], key))[0].code == code
    world.do("update app_user set role = 'operator'")
    session = world.value("insert into session (user_id) values ($1) returning id", alice.id)
    assert write(world, Request(User(alice.id, session), hall, [Item(seat, "OCCUPIED")], key))[0].code is None


@pytest.mark.usefixtures("database_url")
def test_a_request_that_was_rolled_back_is_not_kept(world: World, hall: int, alice: User, key: UUID) -> None:
    """A rolled-back request has no outcome, so it is executed when repeated."""
    request = Request(alice, hall, [Item(world.seats(hall)[0], "OCCUPIED")], key)
    world.do("begin")
    write(world, request)
    world.do("rollback")
    (outcome,) = write(world, request)
    assert outcome.data is not None
    assert outcome.data["rev"] == world.rev(hall) == 2


@pytest.mark.usefixtures("database_url")
def test_a_second_in_flight_waits_for_the_first(world: World, hall: int, alice: User, key: UUID) -> None:
    """A second request in flight through another server waits and gets the first outcome."""
    request = Request(alice, hall, [Item(world.seats(hall)[0], "OCCUPIED")], key)
    other = world.session()
    world.do("begin")
    first = write(world, request)
    second = other.start(WRITE, *arguments([request]))
    world.wait_for_lock(other)
    world.do("commit")
    assert outcomes(second.result()) == first


@pytest.mark.usefixtures("database_url")
def test_a_second_in_flight_is_done_when_the_first_fails(world: World, hall: int, alice: User, key: UUID) -> None:
    """A rolled-back first leaves the request to the second."""
    request = Request(alice, hall, [Item(world.seats(hall)[0], "OCCUPIED")], key)
    other = world.session()
    world.do("begin")
    write(world, request)
    second = other.start(WRITE, *arguments([request]))
    world.wait_for_lock(other)
    world.do("rollback")
    assert outcomes(second.result())[0].code is None
    assert world.rev(hall) == 2


@pytest.mark.usefixtures("database_url")
def test_a_key_is_remembered_for_ten_minutes(world: World, hall: int, alice: User, key: UUID) -> None:
    """A key may be used again after ten minutes, pruned or not."""
    seat = world.seats(hall)[0]
    write(world, Request(alice, hall, [Item(seat, "OCCUPIED")], key, b"one"))
    world.do("update write_key set created_at = created_at - interval '9 minutes'")
    assert write(world, Request(alice, hall, [Item(seat, "VACANT")], key, b"two"))[0].code == "ValidationError"
    world.do("update write_key set created_at = created_at - interval '1 minute'")
    assert write(world, Request(alice, hall, [Item(seat, "VACANT")], key, b"two"))[0].code is None
    assert write(world, Request(alice, hall, [Item(seat, "VACANT")], key, b"one"))[0].code == "ValidationError"
