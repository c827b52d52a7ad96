"""Holds by SQL: the end of a reservation, what changes it, and its expiry by the clock of the database."""

import json
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from psycopg import errors

from seatsync.core.postgres.queries import load
from tests.support.sql import Session, User, World, at_once, updates
from tests.support.writes import Item, Outcome, Request, write, write_seat

EXPIRE = load("hall")["expire_holds"].sql

#: As if the holds had been made that long ago.
PASS = "update seat set hold_until = hold_until - $1::interval where hold_until is not null"


def expire(session: Session, most: int = 1000) -> int:
    """Free what is due; the number of seats."""
    expired: int = session.row(EXPIRE, most)["expired"]
    return expired


def due_in(session: Session) -> float | None:
    """In how many seconds the next hold is due."""
    seconds: float | None = session.row(EXPIRE, 0)["due_in"]
    return seconds


def seat_in(outcome: Outcome) -> dict[str, Any]:
    """The only seat of an answer."""
    assert outcome.data is not None, outcome
    (seat,) = outcome.data["seats"]
    return dict(seat)


def events(world: World, hall: int) -> list[tuple[Any, ...]]:
    """Kind, statuses and user of the latest revision of a hall."""
    rows = world.rows(
        "select kind::text, old_status::text, new_status::text, by from seat_event where hall_id = $1 and rev = $2",
        hall,
        world.rev(hall),
    )
    return [tuple(row) for row in rows]


def kept(world: World) -> bool:
    """Whether the ends of the holds are those of the seats, and of no others."""
    differing: int = world.value(
        "select count(*) from (select id, hall_id, hold_until from seat where hold_until is not null) s"
        " full join seat_hold h on (h.seat_id, h.hall_id, h.until) = (s.id, s.hall_id, s.hold_until)"
        " where s.id is null or h.seat_id is null"
    )
    return differing == 0


@pytest.mark.usefixtures("database_url")
def test_a_hold_is_in_the_answer_the_update_and_the_snapshot(world: World, hall: int, alice: User) -> None:
    """It ends so many seconds after the change; every other seat has none."""
    first, second, *_ = world.seats(hall)
    items = [Item(first, "RESERVED", hold=600), Item(second, "RESERVED")]
    (outcome,) = write(world, Request(alice, hall, items))
    assert outcome.data is not None
    (update,) = updates(world.notifications())
    snapshot = json.loads(world.value("select data from hall_snapshot($1)", hall))
    for seats in (outcome.data["seats"], update["seats"], snapshot["seats"][:2]):
        assert seats[1]["hold_until"] is None
        assert seats[0]["hold_until"] == world.value("select wire_time(hold_until) from seat where id = $1", first)
    lasts = world.value("select hold_until - updated_at from seat where id = $1", first)
    assert abs(lasts - timedelta(minutes=10)) < timedelta(seconds=1)
    assert [event[:3] for event in events(world, hall)] == [("status", "VACANT", "RESERVED")] * 2
    assert kept(world)


def test_reserving_again_extends_the_hold_or_makes_it_last(world: World, hall: int, alice: User) -> None:
    """Each changed end is a revision, of kind `hold`; what lasts already is left as it is."""
    seat = world.seats(hall)[0]
    ends = [seat_in(write_seat(world, alice, hall, seat, "RESERVED", hold=hold))["hold_until"] for hold in (10, 100)]
    assert ends[0] < ends[1]
    assert (events(world, hall), world.rev(hall)) == ([("hold", "RESERVED", "RESERVED", alice.id)], 3)
    assert seat_in(write_seat(world, alice, hall, seat, "RESERVED"))["hold_until"] is None
    assert (events(world, hall), world.rev(hall)) == ([("hold", "RESERVED", "RESERVED", alice.id)], 4)
    assert seat_in(write_seat(world, alice, hall, seat, "RESERVED"))["hold_until"] is None
    assert world.rev(hall) == 4
    assert kept(world)


def test_the_seat_of_another_user_is_not_held(world: World, hall: int, alice: User) -> None:
    """Nobody but its user extends a hold, nor ends one by reserving, also when it is due and not yet freed."""
    seat, bob = world.seats(hall)[0], world.user("bob")
    write_seat(world, alice, hall, seat, "RESERVED", hold=1)
    for hold in (None, 50):
        assert write_seat(world, bob, hall, seat, "RESERVED", hold=hold).code == "SeatReserved"
    assert write_seat(world, bob, hall, seat, "OCCUPIED").code is None


@pytest.mark.parametrize(("status", "by_sql"), list(product(["VACANT", "OCCUPIED", "MAINTENANCE"], [True, False])))
def test_any_change_of_status_ends_it(world: World, hall: int, alice: User, *, status: str, by_sql: bool) -> None:
    """Also by plain SQL; the seat is not freed when the hold would have been due."""
    seat = world.seats(hall)[0]
    write_seat(world, alice, hall, seat, "RESERVED", hold=5)
    if by_sql:
        world.do("update seat set status = $1::text::seat_status where id = $2", status, seat)
    else:
        assert seat_in(write_seat(world, alice, hall, seat, status))["hold_until"] is None
    assert world.value("select hold_until from seat where id = $1", seat) is None
    assert [event[0] for event in events(world, hall)] == ["status"]
    assert world.values("select seat_id from seat_hold") == []


@pytest.mark.usefixtures("database_url")
def test_an_expired_seat_is_vacant_once(world: World, hall: int, alice: User) -> None:
    """One revision with all seats of the hall that are due, of nobody, and nothing before its time."""
    first, second, third, *_ = world.seats(hall)
    items = [Item(first, "RESERVED", hold=30), Item(second, "RESERVED", hold=30), Item(third, "RESERVED", hold=90)]
    write(world, Request(alice, hall, items))
    assert expire(world) == 0
    world.do(PASS, "31 s")
    world.notifications()
    before = world.rev(hall)
    assert [expire(world), expire(world)] == [2, 0]
    assert world.rev(hall) == before + 1
    assert events(world, hall) == [("expired", "RESERVED", "VACANT", None)] * 2
    (update,) = updates(world.notifications())
    assert [(seat["id"], seat["status"], seat["hold_until"]) for seat in update["seats"]] == [
        (first, "VACANT", None),
        (second, "VACANT", None),
    ]
    seconds = due_in(world)
    assert seconds is not None
    assert 50 < seconds < 60
    assert kept(world)


def test_without_holds_none_is_due(world: World) -> None:
    """A server learns when to look again."""
    assert due_in(world) is None


def test_a_statement_frees_so_many_seats(world: World) -> None:
    """And the next the rest, also of more halls than one takes."""
    halls = [world.hall(2, 2) for _ in range(20)]
    world.do("select hold_seats(array(select id from seat), 1)")
    world.do(PASS, "2 s")
    freed = []
    while (number := expire(world, 10)) > 0:
        freed.append(number)
    assert (sum(freed), max(freed)) == (80, 10)
    assert world.values("select distinct status::text from seat") == ["VACANT"]
    assert world.value("select count(*) from seat_event where kind = 'expired'") == 80
    assert world.value("select count(distinct (hall_id, rev)) from seat_event where kind = 'expired'") >= len(halls)


@pytest.mark.parametrize(
    "lock", ["select from seat where id = %s for update", "update hall set name = name where id = %s"]
)
@pytest.mark.usefixtures("database_url")
def test_what_is_locked_holds_up_nothing_else(world: World, *, lock: str) -> None:
    """A seat or a hall that another session has locked is freed when the lock is gone, and the others before."""
    halls = [world.hall(1, 2) for _ in range(2)]
    seats = [seat for hall in halls for seat in world.seats(hall)]
    world.value("select hold_seats($1::bigint[], 1)", seats)
    world.do(PASS, "2 s")
    other = world.session()
    other.do("begin")
    other.do(lock % (seats[0] if "seat" in lock else halls[0]))
    free = 3 if "seat" in lock else 2
    assert [expire(world), expire(world)] == [free, 0]
    seconds = due_in(world)
    assert seconds is not None
    assert seconds <= 0
    other.do("rollback")
    assert expire(world) == 4 - free


@pytest.mark.usefixtures("database_url")
def test_nodes_that_wake_together_free_each_seat_once(world: World) -> None:
    """Whatever they lock, no statement waits, fails, or repeats what another does, beside writers in these halls."""
    halls = [world.hall(10, 10) for _ in range(5)]
    world.do("select hold_seats(array(select id from seat where place <= 5), 1)")
    world.do(PASS, "2 s")

    def node() -> None:
        session = world.session()
        while session.value("select exists (select from seat_hold)"):
            expire(session, 20)

    def writer() -> None:
        session = world.session()
        for row in range(1, 11):
            session.do("update seat set status = 'OCCUPIED' where place > 5 and row = $1", row)

    at_once(node, node, node, writer)
    assert world.value("select count(*) from seat_event where kind = 'expired'") == 250
    assert world.value("select count(distinct seat_id) from seat_event where kind = 'expired'") == 250
    for hall in halls:
        revs = world.values("select distinct rev from seat_event where hall_id = $1 order by rev", hall)
        assert revs == list(range(1, world.rev(hall) + 1))


def test_a_hold_that_is_extended_is_not_freed(world: World, hall: int, alice: User) -> None:
    """Its user comes back just before the server does."""
    seat = world.seats(hall)[0]
    write_seat(world, alice, hall, seat, "RESERVED", hold=5)
    world.do("select set_config('seatsync.writing', 'on', false)")  # so that the seat stays the user's own
    world.do(PASS, "6 s")
    world.do("select set_config('seatsync.writing', 'off', false)")
    assert seat_in(write_seat(world, alice, hall, seat, "RESERVED", hold=5))["hold_until"] is not None
    assert expire(world) == 0
    assert world.value("select status::text from seat where id = $1", seat) == "RESERVED"


def test_hold_seats(world: World, hall: int, alice: User) -> None:
    """It reserves, extends, and leaves alone what is occupied or in maintenance; nobody's own afterwards."""
    vacant, reserved, occupied, broken, *_ = seats = world.seats(hall)
    write_seat(world, alice, hall, reserved, "RESERVED")
    write_seat(world, alice, hall, occupied, "OCCUPIED")
    write_seat(world, alice, hall, broken, "MAINTENANCE")
    assert world.value("select hold_seats($1::bigint[], 60)", seats[:4]) == 2
    kinds = world.rows(
        "select seat_id, kind::text from seat_event where hall_id = $1 and rev = $2", hall, world.rev(hall)
    )
    assert {tuple(row) for row in kinds} == {(vacant, "status"), (reserved, "hold")}
    assert world.value("select updated_by from seat where id = $1", reserved) is None
    assert kept(world)
    for seconds in (0, 86_401, None):
        with pytest.raises(errors.InvalidParameterValue):
            world.value("select hold_seats($1::bigint[], $2::integer)", seats, seconds)


def test_plain_sql_holds_and_makes_last(world: World, hall: int) -> None:
    """`hold_until` is a column like another, of RESERVED seats alone."""
    seat, other, *_ = world.seats(hall)
    world.do("update seat set status = 'RESERVED', hold_until = now() + interval '1 hour' where id = $1", seat)
    assert kept(world)
    assert due_in(world) is not None
    world.do("update seat set hold_until = null where id = $1", seat)
    assert events(world, hall) == [("hold", "RESERVED", "RESERVED", None)]
    assert due_in(world) is None
    rev = world.rev(hall)
    world.do("update seat set hold_until = now() where id = $1", other)
    assert (world.value("select hold_until from seat where id = $1", other), world.rev(hall)) == (None, rev)
    with pytest.raises(errors.CheckViolation):
        world.do("update seat set hold_until = 'infinity' where id = $1", seat)


def test_a_seat_that_moves_or_goes_takes_its_hold_along(world: World, hall: int) -> None:
    """To another hall, with its hall, or with all seats."""
    other = world.hall(0, 0)
    world.do("select hold_seats(array(select id from seat), 60)")
    world.do("update seat set hall_id = $1 where id = $2", other, world.seats(hall)[0])
    assert kept(world)
    world.do("delete from seat where id = $1", world.seats(hall)[0])
    assert kept(world)
    world.do("delete from hall where id = $1", hall)
    assert kept(world)
    assert world.value("select count(*) from seat_hold") == 1
    world.do("truncate seat")
    assert world.value("select count(*) from seat_hold") == 0


def test_holds_that_no_trigger_saw(world: World, hall: int) -> None:
    """A renewed epoch finds them; what is held no more is forgotten when it would be due."""
    first, second, *_ = world.seats(hall)
    world.value("select hold_seats($1::bigint[], 60)", [first, second])
    world.do("update seat set status = 'VACANT' where id = $1", second)
    world.do("set session_replication_role = replica")
    world.do("update seat set status = 'VACANT', hold_until = null where id = $1", first)
    world.do("update seat set status = 'RESERVED', hold_until = now() where id = $1", second)
    world.do("update seat_hold set until = now() where seat_id = $1", first)
    world.do("set session_replication_role = origin")
    assert expire(world) == 0
    assert due_in(world) is None
    assert world.values("select seat_id from unannounced() order by 1") == [first, second]
    assert world.value("select announce_unannounced()") == 2
    assert world.values("select seat_id from unannounced()") == []
    assert kept(world)
    assert expire(world) == 1


def test_a_changed_hold_alone_is_unannounced(world: World, hall: int) -> None:
    """The history has the end of each hold."""
    seat = world.seats(hall)[0]
    world.value("select hold_seats($1::bigint[], 60)", [seat])
    assert world.values("select seat_id from unannounced()") == []
    world.do("set session_replication_role = replica")
    world.do("update seat set hold_until = hold_until + interval '1 hour' where id = $1", seat)
    world.do("set session_replication_role = origin")
    assert world.values("select seat_id from unannounced()") == [seat]
    world.do("select announce_unannounced()")
    kind, until = world.row(
        "select kind::text, hold_until from seat_event where rev = $1 and seat_id = $2", world.rev(hall), seat
    )
    assert (kind, until) == ("hold", world.value("select hold_until from seat where id = $1", seat))


@pytest.mark.usefixtures("database_url")
def test_updates_of_held_seats_stay_hot(world: World, hall: int, alice: User) -> None:
    """No index of seats has the end of a hold."""
    seat = world.seats(hall)[0]
    for _ in range(3):
        write_seat(world, alice, hall, seat, "RESERVED", hold=60)
        write_seat(world, alice, hall, seat, "VACANT")
    world.do("select pg_stat_force_next_flush()")
    updated, hot = world.row("select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'seat'")
    assert updated == hot == 6


@pytest.mark.usefixtures("database_url")
def test_a_plain_change_does_not_touch_the_holds(world: World, hall: int) -> None:
    """A seat without a hold costs nothing there."""
    world.do("begin")
    world.do("update seat set status = 'OCCUPIED' where hall_id = $1", hall)
    touched = world.row(
        "select seq_scan, coalesce(idx_scan, 0) from pg_stat_xact_user_tables where relname = 'seat_hold'"
    )
    world.do("commit")
    assert tuple(touched) == (0, 0)


def test_servers_of_the_version_before_write_without_holds(world: World, hall: int, alice: User) -> None:
    """The argument that is new may be left out; a reservation then lasts."""
    seat = world.seats(hall)[0]
    row = world.row(
        "select code, data from write_seats(p_hall => $1, p_user => $2, p_session => $3, p_key => $4, p_digest => $5,"
        " i_request => $6, i_seat => $7, i_status => $8::text[]::seat_status[],"
        " i_expected => $9::text[]::seat_status[], i_note => $10)",
        *([hall], [alice.id], [alice.session], [None], [None], [1], [seat], ["RESERVED"], [None], [None]),
    )
    assert row["code"] is None
    assert json.loads(row["data"])["seats"][0]["hold_until"] is None
