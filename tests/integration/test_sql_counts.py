"""The kept counts of halls, many seats at once, and what no trigger saw."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from tests.support.sql import World, at_once

COUNTED = """
    select hall_id, seat_type_id, count(*), count(*) filter (where status = 'VACANT'),
        count(*) filter (where status = 'RESERVED'), count(*) filter (where status = 'OCCUPIED'),
        count(*) filter (where status = 'MAINTENANCE')
    from seat group by 1, 2 order by 1, 2
"""
STATUS = st.sampled_from(["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"])
SOME = st.integers(0, 6)

#: A statement, from a status and two numbers.
CHANGES = st.one_of(
    st.builds("update seat set status = '{}' where id % 7 >= {} and id % 5 <> {}".format, STATUS, SOME, SOME),
    st.builds("update seat set seat_type_id = {}, x = x + 1 where id % 7 = {}".format, st.integers(1, 2), SOME),
    st.builds(
        "update seat set hall_id = {}, row = 1000000 + id, status = '{}' where id % 7 = {}".format,
        st.integers(1, 3),
        STATUS,
        SOME,
    ),
    st.builds(
        "insert into seat (hall_id, seat_type_id, row, place, x, y, status)"
        " select {0}, 1 + n % 2, id * 1000 + n, {0}, 0, 0, '{1}'"
        " from (select coalesce(max(id), 0) as id from seat) s, generate_series(1, 1 + {2}) n".format,
        st.integers(1, 3),
        STATUS,
        SOME,
    ),
    st.builds("delete from seat where id % 7 = {}".format, SOME),
    st.builds("update seat set status = '{}' where hall_id = {}; rollback".format, STATUS, st.integers(1, 3)),
    st.builds(
        "merge into seat using (values (1), (2), (3)) n (id) on seat.id = n.id"
        " when matched and seat.status = '{}' then delete when matched then update set status = '{}'".format,
        STATUS,
        STATUS,
    ),
    st.just("truncate seat"),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CHANGES, min_size=1, max_size=12))
@pytest.mark.usefixtures("database_url")
def test_kept_counts_are_those_of_counting(world: World, changes: list[str]) -> None:
    """After any statements the table has what counting finds, and no row of a type that a hall does not have."""
    world.do("truncate cinema, seat_type restart identity cascade")
    world.do("insert into seat_type (name) values ('Standard'), ('VIP')")
    for _ in range(3):
        world.hall(3, 4)
    for change in changes:
        world.do(f"begin; {change}" if change.endswith("rollback") else change)
        kept = world.rows("select * from hall_count order by 1, 2")
        assert [tuple(row) for row in kept] == [tuple(row) for row in world.rows(COUNTED)], change


def test_a_renewed_epoch_counts_anew(world: World, hall: int) -> None:
    """Changes with triggers disabled leave the counts behind; a renewed epoch mends them."""
    world.do("alter table seat disable trigger user; update seat set status = 'OCCUPIED'")
    world.do("alter table seat enable trigger user; update hall set epoch = default")
    assert [tuple(row) for row in world.rows("select * from hall_count")] == [tuple(r) for r in world.rows(COUNTED)]


def test_a_hall_that_could_not_be_shown_is_refused(world: World, hall: int) -> None:
    """A hall has at most 50,000 seats, also one that seats move to; the statement changes nothing."""
    big = world.hall(250, 200)
    with pytest.raises(errors.CheckViolation, match=f"hall {big} would have more than 50000 seats"):
        world.do("insert into seat (hall_id, seat_type_id, row, place) values ($1, $2, 999, 1)", big, world.seat_type())
    with pytest.raises(errors.CheckViolation):
        world.do("update seat set hall_id = $1, row = row + 999 where hall_id = $2", big, hall)
    assert world.value("select sum(seats) from hall_count where hall_id = $1", big) == 50_000
    assert world.rev(big) == 1


# Many seats at once


def test_many_seats_are_changed_at_once(world: World, hall: int) -> None:
    """One revision for the seats that are not so already; a note is set, kept or removed."""
    seats = world.seats(hall)
    assert world.value("select change_seats($1, 'OCCUPIED')", seats[:4]) == 4
    assert world.value("select change_seats($1, 'OCCUPIED')", [*seats, 0]) == 2
    assert world.value("select change_seats($1, 'OCCUPIED')", seats) == 0
    assert world.value("select change_seats($1, 'MAINTENANCE', 'Paint')", seats[:2]) == 2
    assert world.value("select change_seats($1, 'MAINTENANCE')", seats[:2]) == 0
    assert world.value("select change_seats($1, 'MAINTENANCE', '')", seats[:1]) == 1
    assert world.values("select note from seat order by id") == [None, "Paint", *[None] * 4]
    assert world.rev(hall) == 5


@pytest.mark.usefixtures("database_url")
def test_seats_in_any_order_do_not_deadlock(world: World) -> None:
    """Statements that change the same seats, named in opposite orders, wait for each other and all succeed."""
    hall = world.hall(20, 20)
    seats = world.seats(hall)

    def change(order: list[int]) -> None:
        session = world.session()
        for status in ("OCCUPIED", "VACANT") * 10:
            session.value("select change_seats($1, $2::text::seat_status)", order, status)

    at_once(lambda: change(seats), lambda: change(seats[::-1]))
    assert world.value("select count(distinct status) from seat where hall_id = $1", hall) == 1


# What no trigger saw


def changed_unseen(world: World, statement: str) -> None:
    """Run a statement as logical replication applies rows: without triggers."""
    world.do(f"set session_replication_role = replica; {statement}; set session_replication_role = origin")


@pytest.mark.usefixtures("database_url")
def test_unannounced_changes_are_shown_and_announced(world: World, hall: int) -> None:
    """A status or note that differs from the latest event becomes a revision, with the right counts."""
    first, second, third, *_ = world.seats(hall)
    world.do("update seat set status = 'RESERVED'")
    world.notifications()
    changed_unseen(world, f"update seat set status = 'OCCUPIED' where id = {first}")
    changed_unseen(world, f"update seat set status = 'MAINTENANCE', note = 'Paint' where id = {second}")
    changed_unseen(world, f"update seat set x = 99 where id = {third}")
    shown: list[Any] = [
        tuple(row) for row in world.rows("select seat_id, status, note, known_status from unannounced()")
    ]
    assert shown == [(first, "OCCUPIED", None, "RESERVED"), (second, "MAINTENANCE", "Paint", "RESERVED")]
    assert world.notifications() == []
    assert world.value("select announce_unannounced($1)", hall) == 2
    assert world.notifications() == [f"hall {hall} 3 layout"]
    assert tuple(world.row("select vacant, reserved, occupied, maintenance from hall_count")) == (0, 4, 1, 1)
    events = world.rows("select seat_id, kind::text, old_status::text, note from seat_event where rev = 3 order by 1")
    assert [tuple(event) for event in events] == [
        (0, "layout", None, None),
        (first, "status", "RESERVED", None),
        (second, "status", "RESERVED", "Paint"),
    ]
    assert world.value("select count(*) from unannounced()") == 0
    assert world.value("select announce_unannounced()") == 0
    assert world.rev(hall) == 3


def test_a_seat_that_moved_away_and_back_is_not_unannounced(world: World, hall: int) -> None:
    """What happened to it in another hall is in the history of that."""
    other = world.hall()
    seat = world.seats(hall)[0]
    world.do(
        f"""
        update seat set status = 'RESERVED' where id = {seat};
        update seat set hall_id = {other}, row = 9 where id = {seat};
        update seat set status = 'OCCUPIED' where id = {seat};
        update seat set hall_id = {hall}, row = 9 where id = {seat};
        """
    )
    assert world.value("select count(*) from unannounced()") == 0
    changed_unseen(world, f"update seat set status = 'VACANT' where id = {seat}")
    assert world.value("select count(*) from unannounced()") == 0
    world.do(f"update seat set status = 'RESERVED' where id = {seat}")
    changed_unseen(world, f"update seat set status = 'VACANT' where id = {seat}")
    assert world.values("select seat_id from unannounced()") == [seat]


@pytest.mark.usefixtures("database_url")
def test_what_changes_while_it_is_announced_is_not_taken_for_announced(world: World, hall: int) -> None:
    """A hall that the announcement has not renewed gets no events either: it is for the next."""
    later = world.hall()
    world.do("update seat set status = 'RESERVED'")
    changed_unseen(world, f"update seat set status = 'VACANT' where hall_id = {hall}")
    lock, other = world.session(), world.session()
    lock.do("begin")
    lock.value("select 1 from hall where id = $1 for update", hall)
    announcing = other.start("select announce_unannounced()")
    world.wait_for_lock(other)
    changed_unseen(world, f"update seat set status = 'VACANT' where hall_id = {later}")
    lock.do("commit")
    assert announcing.result()[0][0] == 6
    assert world.value("select announce_unannounced()") == 6
    assert world.rev(later) == 3
