"""Changing seats by SQL: the revision, the history, the notification, and the maintained columns."""

import pytest
from psycopg import IntegrityError

from tests.support.sql import World, updates


@pytest.mark.usefixtures("database_url")
def test_a_changed_status_is_one_revision_with_its_seats(world: World, hall: int) -> None:
    """However many seats a statement changes, the hall has one more revision, announced once with all of them."""
    first, second, *_ = world.seats(hall)
    before = world.rev(hall)
    world.value("update seat set status = 'OCCUPIED' where id = any($1::bigint[])", [first, second])
    assert world.rev(hall) == before + 1
    announced = world.notifications()
    assert [text.split(" ", 3)[:3] for text in announced] == [["hall", str(hall), str(before + 1)]]
    (update,) = updates(announced)
    assert list(update) == ["id", "rev", "seats", "seat_types"]
    assert (update["id"], update["rev"]) == (hall, before + 1)
    assert [list(seat) for seat in update["seats"]] == [["id", "status", "updated_at", "note", "hold_until"]] * 2
    assert [(seat["id"], seat["status"], seat["note"]) for seat in update["seats"]] == [
        (first, "OCCUPIED", None),
        (second, "OCCUPIED", None),
    ]
    counts = {"VACANT": 4, "RESERVED": 0, "OCCUPIED": 2, "MAINTENANCE": 0}
    assert update["seat_types"] == [{"id": world.seat_type(), "seats_count": 6, "seats": counts}]


@pytest.mark.usefixtures("database_url")
def test_only_the_types_of_changed_seats_are_counted(world: World, hall: int) -> None:
    """An update has the counts of the changed seats' types, and of no others."""
    seats = world.seats(hall)
    vip = world.seat_type("VIP")
    world.value("update seat set seat_type_id = $1 where id = $2", vip, seats[0])
    world.notifications()
    world.value("update seat set status = 'RESERVED' where id = $1", seats[0])
    (update,) = updates(world.notifications())
    assert [(kind["id"], kind["seats_count"]) for kind in update["seat_types"]] == [(vip, 1)]


@pytest.mark.usefixtures("database_url")
def test_several_halls_in_one_statement(world: World, hall: int) -> None:
    """Each hall concerned has a revision and an announcement of its own."""
    other = world.hall()
    world.notifications()
    revs = {h: world.rev(h) for h in (hall, other)}
    world.do("update seat set status = 'OCCUPIED' where row = 1")
    assert {update["id"]: update["rev"] for update in updates(world.notifications())} == {
        h: rev + 1 for h, rev in revs.items()
    }


@pytest.mark.parametrize(
    "statement",
    [
        "update seat set status = status, note = note, place = place",
        "update seat set status = 'VACANT'",
        "update seat set updated_at = now(), updated_by = 1",
        "update seat set note = 'nothing to see here'",
        "update seat set status = 'OCCUPIED' where false",
        "delete from seat where false",
        "insert into seat (hall_id, seat_type_id, row, place) select hall_id, seat_type_id, 1, 1 from seat where false",
    ],
)
@pytest.mark.usefixtures("database_url")
def test_a_statement_that_changes_nothing_is_no_revision(world: World, hall: int, statement: str) -> None:
    """No revision, no history, no announcement; and the seats stay as they were."""
    before = (
        world.rows("select * from seat order by id"),
        world.rev(hall),
        world.value("select count(*) from seat_event"),
    )
    world.do(statement)
    after = (
        world.rows("select * from seat order by id"),
        world.rev(hall),
        world.value("select count(*) from seat_event"),
    )
    assert after == before
    assert world.notifications() == []


@pytest.mark.parametrize(
    "change",
    [
        "update seat set row = 9 where place = 1 and row = 1",
        "update seat set place = 9 where place = 1 and row = 1",
        "update seat set section = 'Balcony' where place = 1 and row = 1",
        "update seat set row_label = 'AA' where place = 1 and row = 1",
        "update seat set place_label = '12a' where place = 1 and row = 1",
        "update seat set x = 1.5 where place = 1 and row = 1",
        "update seat set y = 1.5 where place = 1 and row = 1",
        "update seat set width = 50 where place = 1 and row = 1",
        "update seat set height = 50 where place = 1 and row = 1",
        "update seat set rotation = -45",
    ],
)
@pytest.mark.usefixtures("database_url")
def test_a_changed_layout_is_a_revision_without_data(world: World, hall: int, change: str) -> None:
    """Clients load the hall anew; updated_at reflects status and note only."""
    seat = world.seats(hall)[0]
    before = world.rev(hall)
    updated_at = world.value("select updated_at from seat where id = $1", seat)
    world.do(change)
    assert world.notifications() == [f"hall {hall} {before + 1} layout"]
    assert world.value("select updated_at from seat where id = $1", seat) == updated_at
    event, *_ = world.rows(
        "select seat_id, kind::text, old_status, new_status, before ->> 'id' from seat_event where rev = $1 order by 1",
        before + 1,
    )
    assert tuple(event) == (seat, "layout", None, None, str(seat))


@pytest.mark.usefixtures("database_url")
def test_status_and_layout_in_one_statement(world: World, hall: int) -> None:
    """Status and layout in one statement are one revision: a layout to clients, both in one event."""
    seat = world.seats(hall)[0]
    before = world.rev(hall)
    world.do("update seat set status = 'OCCUPIED', x = 7 where id = $1", seat)
    assert world.notifications() == [f"hall {hall} {before + 1} layout"]
    event = world.row("select seat_id, kind::text, new_status::text from seat_event where rev = $1", before + 1)
    assert tuple(event) == (seat, "layout", "OCCUPIED")


@pytest.mark.usefixtures("database_url")
def test_a_seat_moved_to_another_hall_changes_both(world: World, hall: int) -> None:
    """The hall it leaves and the hall it comes to each have a new layout."""
    other = world.hall(1, 1)
    world.notifications()
    revs = {h: world.rev(h) for h in (hall, other)}
    world.do("update seat set hall_id = $1, row = 2, status = 'RESERVED' where id = $2", other, world.seats(hall)[0])
    assert sorted(world.notifications()) == sorted(f"hall {h} {rev + 1} layout" for h, rev in revs.items())
    events = world.rows("select hall_id, before ->> 'hall_id' as before from seat_event where rev > 1 order by hall_id")
    assert [tuple(event) for event in events] == [(hall, str(hall)), (other, None)]


@pytest.mark.usefixtures("database_url")
def test_added_and_removed_seats_are_layout(world: World, hall: int) -> None:
    """One revision for each statement, however many seats."""
    before = world.rev(hall)
    world.do(
        "insert into seat (hall_id, seat_type_id, row, place) select $1, $2, 3, n from generate_series(1, 3) n",
        hall,
        world.seat_type(),
    )
    world.do("delete from seat where hall_id = $1 and row = 3", hall)
    assert world.notifications() == [f"hall {hall} {before + 1} layout", f"hall {hall} {before + 2} layout"]


@pytest.mark.usefixtures("database_url")
def test_an_upsert_is_live(world: World, hall: int) -> None:
    """The row that was there is an update, the new one a layout."""
    seat = world.seats(hall)[0]
    before = world.rev(hall)
    world.do(
        "insert into seat (id, hall_id, seat_type_id, row, place, status) "
        "select id, $1, $2, 5, 9, 'OCCUPIED' from (values ($3::bigint), (1000000)) n (id) "
        "on conflict (id) do update set status = excluded.status",
        hall,
        world.seat_type(),
        seat,
    )
    assert world.rev(hall) == before + 2
    assert len(world.notifications()) == 2


@pytest.mark.usefixtures("database_url")
def test_copied_seats_are_live(world: World, hall: int) -> None:
    """COPY fires the same triggers as INSERT."""
    before = world.rev(hall)
    record = (hall, world.seat_type(), 7, 1)
    columns = ["hall_id", "seat_type_id", "row", "place"]
    world.copy("seat", columns, [record])
    assert world.notifications() == [f"hall {hall} {before + 1} layout"]


@pytest.mark.usefixtures("database_url")
def test_truncate_is_live(world: World, hall: int) -> None:
    """TRUNCATE announces every hall that had seats."""
    other = world.hall()
    world.hall(0)
    world.notifications()
    world.do("truncate seat")
    announced = [text.split()[1::2] for text in world.notifications()]
    assert announced == [[str(hall), "layout"], [str(other), "layout"]]


def test_the_history_has_old_and_new(world: World, hall: int) -> None:
    """Each changed seat of a revision has a row: old status, new status, time."""
    seat = world.seats(hall)[0]
    world.do("update seat set status = 'MAINTENANCE' where id = $1", seat)
    world.do("update seat set note = 'Spring broken' where id = $1", seat)
    query = "select kind::text, old_status::text, new_status::text, note, by from seat_event where seat_id = $1"
    events = world.rows(f"{query} order by rev", seat)
    assert [tuple(event) for event in events] == [
        ("layout", None, None, None, None),
        ("status", "VACANT", "MAINTENANCE", None, None),
        ("note", "MAINTENANCE", "MAINTENANCE", "Spring broken", None),
    ]
    last = world.row("select e.at, s.updated_at from seat_event e, seat s where s.id = $1 and e.kind = 'note'", seat)
    assert last["at"] == last["updated_at"]


def test_the_history_outlives_the_seat(world: World, hall: int) -> None:
    """Deleting a seat deletes no history."""
    seat = world.seats(hall)[0]
    world.do("update seat set status = 'OCCUPIED' where id = $1", seat)
    world.do("delete from seat where id = $1", seat)
    assert world.values("select kind::text from seat_event where seat_id = $1 order by rev", seat) == [
        "layout",
        "status",
        "layout",
    ]
    last = world.value("select before ->> 'status' from seat_event where seat_id = $1 order by rev desc limit 1", seat)
    assert last == "OCCUPIED"


def test_a_note_goes_with_maintenance(world: World, hall: int) -> None:
    """A note is kept in MAINTENANCE, cleared on leaving it, and refused in other statuses."""
    seat = world.seats(hall)[0]
    note = "select note from seat where id = $1"
    world.do("update seat set status = 'MAINTENANCE', note = 'Spring broken' where id = $1", seat)
    assert world.value(note, seat) == "Spring broken"
    world.do("update seat set status = 'MAINTENANCE' where id = $1", seat)
    assert world.value(note, seat) == "Spring broken"
    world.do("update seat set note = '' where id = $1", seat)
    assert world.value(note, seat) is None
    world.do("update seat set note = 'Again' where id = $1", seat)
    world.do("update seat set status = 'OCCUPIED', note = 'Not here' where id = $1", seat)
    assert world.value(note, seat) is None


def test_sql_clears_the_owner_of_a_seat(world: World, hall: int) -> None:
    """Every change by plain SQL sets updated_at and clears updated_by, whatever values it gives."""
    seat = world.seats(hall)[0]
    world.do("set seatsync.writing = 'on'")
    world.do("update seat set updated_by = 7 where id = $1", seat)
    world.do("reset seatsync.writing")
    before = world.row("select updated_at, updated_by from seat where id = $1", seat)
    assert before["updated_by"] == 7
    world.do("update seat set status = 'RESERVED', updated_by = 7, updated_at = '2001-01-01' where id = $1", seat)
    after = world.row("select updated_at, updated_by from seat where id = $1", seat)
    assert after["updated_at"] > before["updated_at"]
    assert after["updated_by"] is None


def test_a_seat_without_a_position_stands_on_the_grid(world: World, hall: int) -> None:
    """x and y follow from row and place unless given; width, height and rotation have defaults."""
    query = (
        "insert into seat (hall_id, seat_type_id, row, place, x) values ($1, $2, 4, 3, $3) "
        "returning x, y, width, height, rotation"
    )
    assert tuple(world.row(query, hall, world.seat_type(), None)) == (80, 120, 32, 32, 0)
    world.do("delete from seat where row = 4")
    assert tuple(world.row(query, hall, world.seat_type(), 0.5)) == (0.5, 120, 32, 32, 0)


def test_a_row_of_seats_can_be_shifted(world: World, hall: int) -> None:
    """Places are unique at the end of a statement, not after each row of it."""
    world.do("update seat set place = place + 1 where hall_id = $1", hall)
    assert world.values("select place from seat where hall_id = $1 and row = 1 order by place", hall) == [2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        "update seat set row = 0",
        "update seat set place = -place",
        "update seat set width = 0",
        "update seat set width = 'NaN'",
        "update seat set height = -3",
        "update seat set x = 'NaN'",
        "update seat set y = 'infinity'",
        "update seat set rotation = 361",
        "update seat set rotation = 'NaN'",
        "update seat set status = null",
        "update seat set row = 1, place = 1",
        "update seat set seat_type_id = 0",
        "update seat set hall_id = 0",
        "update seat set status = 'MAINTENANCE', note = repeat('x', 201)",
        "update seat set id = id + 1000",
        "insert into seat (hall_id, seat_type_id, row, place, note) select hall_id, seat_type_id, 9, 9, 'x' from seat",
    ],
)
def test_a_seat_out_of_its_domain_is_refused(world: World, hall: int, change: str) -> None:
    """Constraints hold for any writer."""
    before = world.rows("select * from seat where hall_id = $1 order by id", hall)
    with pytest.raises(IntegrityError):
        world.do(change)
    assert world.rows("select * from seat where hall_id = $1 order by id", hall) == before


@pytest.mark.parametrize("length", [7974, 7975])
def test_an_announcement_always_fits(world: World, hall: int, length: int) -> None:
    """A payload of 8000 bytes would abort the transaction: one that has no room for its data goes without."""
    bare = world.value("select format('hall %s %s %s ', id, wire_epoch(epoch), rev) from hall where id = $1", hall)
    data = "é" * ((length - len(bare)) // 2) + "x" * ((length - len(bare)) % 2)
    notice = world.value("select hall_notice(h, $2) from hall h where id = $1", hall, data)
    assert notice == (bare + data if length < 7975 else bare.strip())
    world.value("select announce($1)", notice)


@pytest.mark.parametrize("seats", [60, 101, 102, 2000])
@pytest.mark.usefixtures("database_url")
def test_a_change_of_many_seats_is_announced(world: World, seats: int) -> None:
    """Every change is announced, with its data where that fits."""
    hall = world.hall(seats, 1)
    world.notifications()
    world.do("update seat set status = 'MAINTENANCE', note = repeat('ß', 10) where hall_id = $1", hall)
    (announced,) = world.notifications()
    assert announced.startswith(f"hall {hall} 2")
    assert len(announced.encode()) < 8000
    assert (announced == f"hall {hall} 2") == (seats > 60)


@pytest.mark.usefixtures("database_url")
def test_a_rolled_back_change_is_not_announced(world: World, hall: int) -> None:
    """Nothing is announced before the commit, and no revision is used up."""
    before = world.rev(hall)
    world.do("begin; update seat set status = 'OCCUPIED'; rollback")
    assert world.notifications() == []
    assert world.rev(hall) == before
