"""Several sessions at once: revisions without gaps, counts that are right, and what a lock held elsewhere does."""

import json
import random
from collections import Counter
from functools import partial
from threading import Event
from typing import Any

import pytest
from psycopg import errors

from seatsync.core.postgres.queries import load
from tests.support.database import open_session
from tests.support.sql import Session, User, World, at_once, updates
from tests.support.writes import WRITE, Item, Request, arguments, outcomes, write, write_seat

CHANGES = load("hall")["changes"].sql


@pytest.mark.usefixtures("database_url")
def test_a_second_session_counts_what_the_first_has_changed(world: World, hall: int) -> None:
    """A second session waits for the hall's lock and then counts: its revision includes both changes."""
    first, second, *_ = world.seats(hall)
    other = world.session()
    world.do("begin")
    world.do("update seat set status = 'OCCUPIED' where id = $1", first)
    later = other.start("update seat set status = 'OCCUPIED' where id = $1", second)
    world.wait_for_lock(other)
    world.do("commit")
    later.result()
    counts = [
        (update["rev"], update["seat_types"][0]["seats"]["OCCUPIED"]) for update in updates(world.notifications())
    ]
    assert counts == [(2, 1), (3, 2)]


@pytest.mark.usefixtures("database_url")
def test_halls_are_independent(world: World, hall: int, alice: User) -> None:
    """A session that holds one hall's lock holds up no other hall."""
    other = world.hall()
    holder = world.session()
    holder.do("begin")
    holder.do("update seat set status = 'OCCUPIED' where hall_id = $1", hall)
    assert write_seat(world, alice, other, world.seats(other)[0], "OCCUPIED").code is None
    world.do("insert into seat (hall_id, seat_type_id, row, place) values ($1, $2, 9, 9)", other, world.seat_type())


@pytest.mark.usefixtures("database_url")
def test_a_held_lock_fails_the_call_in_time(world: World, hall: int, alice: User) -> None:
    """write_seats waits 300 ms for a lock and then fails with lock_not_available, having done nothing."""
    other = world.hall()
    holder = world.session()
    holder.do("begin")
    holder.do("update seat set status = 'OCCUPIED' where hall_id = $1", hall)
    requests = [Request(alice, h, [Item(world.seats(h)[0], "OCCUPIED")]) for h in (other, hall)]
    with pytest.raises(errors.LockNotAvailable):
        write(world, *requests)
    assert world.rev(other) == 1
    holder.do("rollback")
    assert [outcome.code for outcome in write(world, *requests)] == [None, None]


@pytest.mark.usefixtures("database_url")
def test_a_change_is_judged_after_the_wait(world: World, hall: int, alice: User) -> None:
    """A change is checked against the status committed during its wait, not the one before it."""
    seat = world.seats(hall)[0]
    other = world.session()
    world.do("begin")
    world.do("update seat set status = 'OCCUPIED' where id = $1", seat)
    later = other.start(WRITE, *arguments([Request(alice, hall, [Item(seat, "OCCUPIED", expected="VACANT")])]))
    world.wait_for_lock(other)
    world.do("commit")
    (outcome,) = outcomes(later.result())
    assert (outcome.code, outcome.message) == ("SeatConflict", f"Seat {seat} is OCCUPIED, not VACANT as expected.")


@pytest.mark.usefixtures("database_url")
def test_a_revocation_waits_for_the_write(world: World, hall: int, alice: User) -> None:
    """No write of a session commits after the session's revocation."""
    other = world.session()
    world.do("begin")
    assert write_seat(world, alice, hall, world.seats(hall)[0], "OCCUPIED").code is None
    revocation = other.start("delete from session")
    world.wait_for_lock(other)
    world.do("commit")
    revocation.result()
    assert write_seat(world, alice, hall, world.seats(hall)[1], "OCCUPIED").code == "SessionExpired"


@pytest.mark.usefixtures("database_url")
def test_a_write_waits_for_the_revocation(world: World, hall: int, alice: User) -> None:
    """A write waits for a revocation in progress and is refused if that commits."""
    other = world.session()
    world.do("begin")
    world.do("delete from session")
    later = other.start(WRITE, *arguments([Request(alice, hall, [Item(world.seats(hall)[0], "OCCUPIED")])]))
    world.wait_for_lock(other)
    world.do("commit")
    assert [outcome.code for outcome in outcomes(later.result())] == ["SessionExpired"]


@pytest.mark.usefixtures("database_url")
def test_repeatable_read_fails_beside_other_writers(world: World, hall: int) -> None:
    """Under that isolation a second change of a hall ends in serialization_failure: it has to be tried again."""
    first, second, *_ = world.seats(hall)
    other = world.session()
    other.do("begin isolation level repeatable read")
    other.value("select count(*) from seat")
    world.do("update seat set status = 'OCCUPIED' where id = $1", first)
    with pytest.raises(errors.SerializationFailure):
        other.do("update seat set status = 'OCCUPIED' where id = $1", second)


@pytest.mark.usefixtures("database_url")
def test_a_snapshot_is_one_moment(world: World, hall: int) -> None:
    """A snapshot's rev and seats are of one moment, however busy the hall is."""
    seats = world.seats(hall)

    done = Event()

    def toggle() -> None:
        with open_session(world.dsn) as writer:
            for n in range(200):
                status = "OCCUPIED" if n % 2 == 0 else "VACANT"
                writer.do("update seat set status = $1::text::seat_status where hall_id = $2", status, hall)
        done.set()

    def look() -> None:
        with open_session(world.dsn) as reader:
            while not done.is_set():
                data = json.loads(reader.value("select data from hall_snapshot($1)", hall))
                taken = {seat["status"] for seat in data["seats"]}
                assert taken == ({"OCCUPIED"} if data["rev"] % 2 == 0 else {"VACANT"})
                assert data["seat_types"][0]["seats"][taken.pop()] == len(seats)

    at_once(toggle, look)


def retried(session: Session, query: str, *args: object) -> None:
    """Run a statement again until it meets no conflict."""
    while True:
        try:
            session.rows(query, *args)
        except (errors.DeadlockDetected, errors.LockNotAvailable):
            continue
        return


def serve(dsn: str, user: User, halls: dict[int, list[int]], choose: random.Random) -> None:
    """A server: batches of requests to change some seats of two halls."""
    with open_session(dsn) as session:
        for _ in range(40):
            requests = [
                Request(user, hall, [Item(seat, choose.choice(["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"]))])
                for hall in choose.sample(list(halls), 2)
                for seat in choose.sample(halls[hall], 4)
            ]
            retried(session, WRITE, *arguments(requests))


def maintain(dsn: str, halls: dict[int, list[int]], choose: random.Random) -> None:
    """A maintainer in psql: two rows of two halls in one statement."""
    with open_session(dsn) as session:
        for _ in range(40):
            retried(
                session,
                "update seat set status = $1::text::seat_status"
                " where row = any($2::int[]) and hall_id = any($3::bigint[])",
                choose.choice(["VACANT", "RESERVED", "OCCUPIED"]),
                choose.sample(range(1, 6), 2),
                choose.sample(list(halls), 2),
            )


def replay(seats: list[int], announced: list[dict[str, Any]]) -> dict[int, str]:
    """The final status of each seat for a client that receives every update, each with the right counts."""
    held = dict.fromkeys(seats, "VACANT")
    for update in announced:
        held |= {seat["id"]: seat["status"] for seat in update["seats"]}
        (kind,) = update["seat_types"]
        assert {status: count for status, count in kind["seats"].items() if count} == Counter(held.values())
    return held


@pytest.mark.usefixtures("database_url")
def test_many_writers_lose_nothing(world: World, alice: User) -> None:
    """Servers and people on the same halls: revisions follow one another, each announced once, every count exact."""
    halls = {hall: world.seats(hall) for hall in (world.hall(5, 8) for _ in range(3))}
    world.notifications()
    chance = [random.Random(seed) for seed in range(4)]  # noqa: S311 - the same choices in every run

    at_once(
        partial(serve, world.dsn, alice, halls, chance[0]),
        partial(serve, world.dsn, alice, halls, chance[1]),
        partial(maintain, world.dsn, halls, chance[2]),
        partial(maintain, world.dsn, halls, chance[3]),
    )
    announced = updates(world.notifications())
    for hall, seats in halls.items():
        of_hall = [update for update in announced if update["id"] == hall]
        assert [update["rev"] for update in of_hall] == list(range(2, world.rev(hall) + 1))
        now = {
            row["id"]: row["status"] for row in world.rows("select id, status::text from seat where hall_id = $1", hall)
        }
        assert replay(seats, of_hall) == now
        epoch = world.value("select wire_epoch(epoch) from hall where id = $1", hall)
        missed = json.loads(world.row(CHANGES, hall, 1, epoch)["data"])
        assert {seat["id"]: seat["status"] for seat in missed["seats"]}.items() <= now.items()
        assert missed["seat_types"] == of_hall[-1]["seat_types"]
