"""Plans by SQL: sections and labels, what must differ between the seats of a hall, and seats that move all at once."""

import json
from typing import Any

import pytest
from psycopg import IntegrityError, errors

from seatsync.core.postgres.queries import load
from tests.support.sql import World

SNAPSHOT = load("hall")["snapshot"].sql

#: As a program does that brings its plan up to date.
UPSERT = (
    "insert into seat (hall_id, seat_type_id, section, row, place, status)"
    " select $1, id, $2::text, 1, 1, 'OCCUPIED' from seat_type"
    " on conflict (hall_id, section, row, place) do update set status = excluded.status"
)


def seats(world: World, hall: int) -> list[dict[str, Any]]:
    """The seats as clients see them."""
    return list(json.loads(world.row(SNAPSHOT, hall)["data"])["seats"])


def names(world: World, hall: int) -> list[tuple[str | None, str, str]]:
    """What people read for each seat, in the order that clients see."""
    return [(seat["section"], seat["row_label"], seat["place_label"]) for seat in seats(world, hall)]


def test_a_label_is_the_number_unless_given(world: World) -> None:
    """Clients get text for both, and null for a seat without a section."""
    hall = world.hall(1, 2)
    assert names(world, hall) == [(None, "1", "1"), (None, "1", "2")]
    world.do("update seat set section = 'Balcony', row_label = 'AA', place_label = place || 'a' where place = 2")
    assert names(world, hall) == [("Balcony", "AA", "2a"), (None, "1", "1")]
    assert [(seat["row"], seat["place"]) for seat in seats(world, hall)] == [(1, 2), (1, 1)]


def test_seats_are_ordered_by_section_row_and_place(world: World) -> None:
    """By the numbers, whatever the labels; in an update as well."""
    hall = world.hall(3, 2)
    world.do("update seat set section = case row when 1 then 'B' when 2 then 'A' end, row_label = 10 - row")
    order = [(seat["section"], seat["row"], seat["place"]) for seat in seats(world, hall)]
    assert order == [("A", 2, 1), ("A", 2, 2), ("B", 1, 1), ("B", 1, 2), (None, 3, 1), (None, 3, 2)]
    ids = [seat["id"] for seat in seats(world, hall)]
    update = json.loads(world.value("select hall_update($1, $2)", hall, sorted(ids)))
    assert [seat["id"] for seat in update["seats"]] == ids


@pytest.mark.parametrize("column", ["section", "row_label", "place_label"])
def test_a_layout_event_has_the_labels_of_before(world: World, hall: int, column: str) -> None:
    """A changed name is a layout event of that seat alone; the same one is none."""
    seat = world.seats(hall)[0]
    world.do(f"update seat set {column} = 'Old' where id = $1", seat)
    world.do(f"update seat set {column} = 'New' where id = $1", seat)
    world.do(f"update seat set {column} = 'New' where id = $1", seat)
    assert world.rev(hall) == 3
    events = world.rows(
        f"select seat_id, kind::text, before ? '{column}', before ->> '{column}' from seat_event"
        " where rev > 1 order by rev"
    )
    assert [tuple(event) for event in events] == [(seat, "layout", True, None), (seat, "layout", True, "Old")]


def test_sections_have_the_same_rows_and_labels(world: World, hall: int) -> None:
    """Row and place, and what people read, differ within a section; no section counts as one."""
    insert = (
        "insert into seat (hall_id, seat_type_id, section, row, place, row_label, place_label)"
        " select $1, id, $2, $3::int, $4::int, $5, $6 from seat_type"
    )
    world.do(insert, hall, "Balcony", 1, 1, None, None)
    world.do(insert, hall, "Box", 1, 1, "1", "1")
    for taken in (
        (None, 1, 1, "X", "Y"),
        ("Balcony", 1, 1, "X", "Y"),
        (None, 9, 9, "1", "1"),
        ("Balcony", 9, 9, "1", "1"),
        ("Box", 9, 1, "1", None),
    ):
        with pytest.raises(errors.UniqueViolation):
            world.do(insert, hall, *taken)


@pytest.mark.parametrize(
    "change",
    [
        *(f"update seat set {column} = ''" for column in ("section", "row_label", "place_label")),
        *(f"update seat set {column} = ' '" for column in ("section", "row_label", "place_label")),
        *(f"update seat set {column} = 'A ' where place = 1" for column in ("section", "row_label", "place_label")),
        "update seat set section = repeat('x', 101)",
        "update seat set row_label = repeat('x', 33)",
        "update seat set place_label = repeat('x', 33) where place = 1",
        "update seat set row_label = '1'",
        "update seat set place_label = 'A'",
        r"update seat set section = E'\x01'",
        r"update seat set section = E'\x01Balcony'",
        r"insert into seat (hall_id, seat_type_id, section, row, place)"
        r" select hall_id, seat_type_id, E'\x01', 9, 9 from seat limit 1",
    ],
)
def test_a_label_out_of_its_domain_is_refused(world: World, hall: int, change: str) -> None:
    """None is blank, has blanks at its ends, is long, or makes two seats read the same."""
    before = world.rows("select * from seat where hall_id = $1 order by id", hall)
    with pytest.raises(IntegrityError):
        world.do(change)
    assert world.rows("select * from seat where hall_id = $1 order by id", hall) == before


@pytest.mark.parametrize("section", [None, "Balcony"])
def test_an_upsert_finds_a_seat_by_its_position(world: World, hall: int, section: str | None) -> None:
    """``on conflict`` works with section, row and place, for seats without a section, too, and without naming them."""
    for _ in range(2):
        world.do(UPSERT, hall, section)
    assert world.value("select count(*) from seat") == 6 + (section is not None)
    (status,) = world.values("select status::text from seat where status <> 'VACANT'")
    assert status == "OCCUPIED"
    world.do(
        "insert into seat (hall_id, seat_type_id, row, place) select $1, id, 1, 1 from seat_type"
        " on conflict do nothing",
        hall,
    )


@pytest.mark.parametrize("order", ["row, place", "row desc, place desc"])
@pytest.mark.parametrize("section", [None, "Balcony"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("place = place + 1", ["1 2", "1 3", "1 4", "2 2", "2 3", "2 4"]),
        ("place = 4 - place", ["1 3", "1 2", "1 1", "2 3", "2 2", "2 1"]),
        ("row = 3 - row", ["2 1", "2 2", "2 3", "1 1", "1 2", "1 3"]),
        ("row = row + 1", ["2 1", "2 2", "2 3", "3 1", "3 2", "3 3"]),
    ],
)
@pytest.mark.usefixtures("database_url")
def test_seats_move_to_where_others_move_away(
    world: World, section: str | None, order: str, change: str, expected: list[str]
) -> None:
    """A plain update shifts, swaps and turns rows around, whatever its order: one revision, one notification."""
    hall = world.hall()
    world.do(f"create temporary table copy as select * from seat order by {order}; delete from seat")
    world.do("insert into seat select * from copy")
    world.do("update seat set section = $1", section)
    rev = world.rev(hall)
    world.notifications()
    world.do(f"update seat set {change} where hall_id = $1", hall)
    assert world.values("select row || ' ' || place from seat order by id") == expected
    assert world.values("select distinct section from seat") == [section]
    assert world.notifications() == [f"hall {hall} {rev + 1} layout"]
    moved = world.values("select distinct before ->> 'section' from seat_event where rev = $1", rev + 1)
    assert moved == [section]


@pytest.mark.usefixtures("database_url")
def test_a_move_looks_up_single_seats(world: World) -> None:
    """Also in halls that are newer than the statistics: what a move costs grows with the number of its seats alone."""
    world.hall(20, 20)
    world.do("vacuum analyze seat")
    world.do("begin")
    world.hall(40, 50)
    hall = world.hall(40, 50)
    world.do("update seat set place = place + 1 where hall_id = $1", hall)
    read = world.value("select idx_tup_fetch from pg_stat_xact_user_tables where relname = 'seat'")
    world.do("rollback")
    assert read < 20 * 2000


def test_labels_move_with_others(world: World) -> None:
    """A rename to what another seat was called a moment ago, in the same statement."""
    hall = world.hall(1, 3)
    world.do("update seat set place_label = chr(64 + place)")
    world.do("update seat set place_label = chr(65 + place % 3)")
    assert names(world, hall) == [(None, "1", "B"), (None, "1", "C"), (None, "1", "A")]


@pytest.mark.parametrize(
    "change", ["place = 2 where place = 1", "place_label = 2 where place = 1", "place = 3 where place < 3"]
)
def test_a_seat_does_not_take_anothers_place(world: World, hall: int, change: str) -> None:
    """What collides at the end of a statement is refused."""
    before = world.rows("select * from seat order by id")
    with pytest.raises(errors.UniqueViolation):
        world.do(f"update seat set {change}")
    assert world.rows("select * from seat order by id") == before


@pytest.mark.parametrize(("rows", "places"), [(0, 1), (1, 0), (-1, 0), (-1, -2), (1, 1), (0, -2)])
def test_shift_seats_moves_all_at_once(world: World, rows: int, places: int) -> None:
    """Back and forth, in one revision; the others stay, and a place that is taken is refused."""
    hall = world.hall(3, 3)
    world.do("update seat set row = row + 5, place = place + 5")
    before = world.values("select row || ' ' || place from seat order by id")
    rev = world.rev(hall)
    assert world.value("select shift_seats($1, $2, $3)", world.seats(hall), rows, places) == 9
    assert world.rev(hall) == rev + 1
    assert world.value("select shift_seats($1, $2, $3)", world.seats(hall), -rows, -places) == 9
    assert world.values("select row || ' ' || place from seat order by id") == before
    assert world.value("select shift_seats($1, 0, 0)", world.seats(hall)) == 0
    assert world.rev(hall) == rev + 2
    with pytest.raises(errors.UniqueViolation):
        world.value("select shift_seats($1, 0, 1)", world.seats(hall)[:1])


def test_shift_seats_has_the_rights_of_its_caller(world: World, hall: int) -> None:
    """Who may not move a seat does not by it."""
    role = "pg_monitor"
    world.do(f"grant select, update (status) on seat to {role}; set role {role}")
    with pytest.raises(errors.InsufficientPrivilege):
        world.value("select shift_seats(array(select id from seat), 0, 1)")
    world.do("reset role")


@pytest.mark.usefixtures("database_url")
def test_seats_move_beside_another_session(world: World, hall: int) -> None:
    """A place that another session is about to leave is had when it has; the one that it takes is refused."""
    other = world.session()
    first, second, third = world.seats(hall)[:3]
    other.do("begin")
    other.do("update seat set place = 9 where id = $1", second)
    leaving = world.start("update seat set place = 2 where id = $1", first)
    other.do("commit")
    leaving.result()
    assert world.value("select place from seat where id = $1", first) == 2
    other.do("begin")
    other.do("update seat set place = 8 where id = $1", second)
    taking = world.start("update seat set place = 8 where id = $1", third)
    other.do("commit")
    with pytest.raises(errors.UniqueViolation):
        taking.result()


@pytest.mark.usefixtures("database_url")
def test_changes_of_labelled_seats_stay_hot(world: World, hall: int) -> None:
    """No index of seats has what a change of status changes."""
    world.do(
        "update seat set section = 'Balcony', row_label = 'A', place_label = 'x' where id = $1", world.seats(hall)[0]
    )
    world.do("select pg_stat_force_next_flush()")
    hot = "select n_tup_hot_upd from pg_stat_user_tables where relname = 'seat'"
    before = world.value(hot)
    for status in ("OCCUPIED", "VACANT", "RESERVED"):
        world.do("update seat set status = $1::text::seat_status where id = $2", status, world.seats(hall)[0])
    world.do("select pg_stat_force_next_flush()")
    assert world.value(hot) == before + 3
