"""Changing cinemas, halls and seat types by SQL: the notifications, and the protection of revisions."""

import pytest
from psycopg import IntegrityError, errors

from tests.support.sql import World


@pytest.fixture
def cinema(world: World, hall: int) -> int:
    """The cinema of that hall."""
    cinema: int = world.value("select cinema_id from hall where id = $1", hall)
    return cinema


@pytest.mark.parametrize(
    "change", ["update hall set name = 'Blue Hall'", "update hall set rows = 7", "update hall set places = 8"]
)
@pytest.mark.usefixtures("database_url")
def test_a_changed_hall_updates_its_cinema(world: World, hall: int, cinema: int, change: str) -> None:
    """A hall's name and size are in the hall and in the list: a revision, and an update of the cinema."""
    before = world.rev(hall)
    world.do(change)
    assert world.notifications() == [f"hall {hall} {before + 1} layout", f"cinema {cinema}"]
    event = world.row(
        "select seat_id, kind::text, before ->> 'name' from seat_event where hall_id = $1 and rev = $2",
        hall,
        before + 1,
    )
    assert tuple(event) == (0, "layout", "Hall")


@pytest.mark.usefixtures("database_url")
def test_a_hall_moved_to_another_cinema(world: World, hall: int) -> None:
    """A hall that moves leaves one cinema: servers fetch the list anew."""
    before = world.rev(hall)
    other = world.cinema("Lumen")
    world.notifications()
    world.do("update hall set cinema_id = $1", other)
    assert world.notifications() == [f"hall {hall} {before + 1} layout", "cinemas"]


@pytest.mark.usefixtures("database_url")
def test_a_renewed_epoch_makes_clients_begin_anew(world: World, hall: int) -> None:
    """A renewed epoch, as after restoring a dump, is announced as a new layout."""
    before = world.row("select rev, epoch from hall")
    world.do("update hall set epoch = default")
    after = world.row("select rev, epoch from hall")
    assert after["rev"] == before["rev"] + 1
    assert after["epoch"] != before["epoch"]
    assert world.notifications() == [f"hall {hall} {after['rev']} layout"]


@pytest.mark.usefixtures("database_url")
def test_an_update_of_a_hall_that_changes_nothing(world: World, hall: int) -> None:
    """An update without a change makes no revision and no notification."""
    before = world.rev(hall)
    world.do("update hall set name = name, rows = rows, rev = rev")
    assert world.rev(hall) == before
    assert world.notifications() == []


@pytest.mark.parametrize(
    "change",
    ["update hall set rev = 0", "update hall set rev = rev + 5", "update hall set rev = rev + 1, name = 'Blue Hall'"],
)
def test_rev_is_not_for_sql_to_set(world: World, hall: int, change: str) -> None:
    """Plain SQL cannot change rev: lowered or skipped, it would break the order for clients."""
    before = world.rev(hall)
    with pytest.raises(errors.RestrictViolation, match=r"hall\.rev is kept by triggers"):
        world.do(change)
    assert world.rev(hall) == before


@pytest.mark.usefixtures("database_url")
def test_an_added_hall_updates_its_cinema(world: World, cinema: int) -> None:
    """The cinema has an update; the hall has no subscribers yet."""
    world.do("insert into hall (cinema_id, name, rows, places) values ($1, 'New', 1, 1)", cinema)
    assert world.notifications() == [f"cinema {cinema}"]


@pytest.mark.usefixtures("database_url")
def test_a_deleted_hall_takes_everything_along(world: World, hall: int) -> None:
    """Seats and history are deleted; servers are notified of the hall and the list, and of no new layout."""
    world.do("update seat set status = 'OCCUPIED'")
    world.notifications()
    world.do("delete from hall where id = $1", hall)
    assert world.notifications() == [f"hall {hall} deleted", "cinemas"]
    assert world.value("select (select count(*) from seat) + (select count(*) from seat_event)") == 0


@pytest.mark.usefixtures("database_url")
def test_a_deleted_cinema_takes_its_halls_along(world: World, hall: int, cinema: int) -> None:
    """Halls deleted by cascade are announced like any other; another cinema's stay."""
    second = world.hall(cinema=cinema)
    other = world.hall()
    world.notifications()
    world.do("delete from cinema where id = $1", cinema)
    assert sorted(world.notifications()) == sorted([f"hall {hall} deleted", f"hall {second} deleted", "cinemas"])
    assert world.values("select distinct hall_id from seat_event") == [other]


@pytest.mark.parametrize("statement", ["truncate hall cascade", "truncate cinema cascade"])
@pytest.mark.usefixtures("database_url")
def test_truncated_halls_are_announced(world: World, hall: int, statement: str) -> None:
    """TRUNCATE announces the end of each hall, and leaves no history."""
    other = world.hall()
    world.notifications()
    world.do(statement)
    assert world.notifications() == [f"hall {hall} deleted", f"hall {other} deleted", "cinemas"]
    assert world.value("select count(*) from seat_event") == 0


@pytest.mark.usefixtures("database_url")
def test_a_renamed_seat_type_is_layout_where_it_is_used(world: World, hall: int) -> None:
    """One revision of each hall that has such seats, however many types are renamed."""
    seats = world.seats(hall)
    world.do("update seat set seat_type_id = $1 where id = $2", world.seat_type("VIP"), seats[0])
    world.hall(kind="Love seat")
    world.notifications()
    before = world.rev(hall)
    world.do("update seat_type set name = upper(name) where name in ('Standard', 'VIP')")
    assert world.notifications() == [f"hall {hall} {before + 1} layout"]
    world.do("update seat_type set name = name")
    world.do("insert into seat_type (name) values ('Balcony')")
    world.do("delete from seat_type where name = 'Balcony'")
    assert world.notifications() == []


@pytest.mark.parametrize("change", ["update cinema set name = 'Lumen'", "update cinema set color = '#00ff00'"])
@pytest.mark.usefixtures("database_url")
def test_a_changed_cinema_is_an_update(world: World, cinema: int, change: str) -> None:
    """Its halls have no revision by it."""
    before = world.values("select rev from hall")
    world.do(change)
    assert world.notifications() == [f"cinema {cinema}"]
    world.do("update cinema set name = name, color = color")
    assert world.notifications() == []
    assert world.values("select rev from hall") == before


@pytest.mark.usefixtures("database_url")
def test_an_added_or_removed_cinema_changes_the_list(world: World, hall: int) -> None:
    """Both are announced; a statement without rows is not."""
    lumen = world.cinema("Lumen")
    assert world.notifications() == ["cinemas"]
    world.do("delete from cinema where id = $1", lumen)
    assert world.notifications() == ["cinemas"]
    world.do("delete from cinema where id = $1", lumen)
    assert world.notifications() == []


@pytest.mark.usefixtures("database_url")
def test_changes_with_triggers_disabled(world: World, hall: int) -> None:
    """Changes with triggers disabled are announced when the epoch of the halls is renewed."""
    before = world.rev(hall)
    world.do("alter table seat disable trigger user")
    world.do("update seat set status = 'OCCUPIED'")
    world.do("alter table seat enable trigger user")
    assert world.notifications() == []
    world.do("update hall set epoch = default where id = $1", hall)
    assert world.notifications() == [f"hall {hall} {before + 1} layout"]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into cinema (name) values ('  ')",
        "insert into cinema (name) values (repeat('x', 201))",
        "insert into cinema (name, color) values ('Lumen', 'red')",
        "insert into cinema (name, color) values ('Lumen', '#12345')",
        "insert into cinema (id, name) values (0, 'Lumen')",
        "insert into hall (cinema_id, name, rows, places) select id, '', 1, 1 from cinema",
        "insert into hall (cinema_id, name, rows, places) select id, 'A', 0, 1 from cinema",
        "insert into hall (cinema_id, name, rows, places) select id, 'A', 1, -1 from cinema",
        "insert into hall (cinema_id, name, rows, places) values (0, 'A', 1, 1)",
        "insert into seat_type (name) values ('Standard')",
        "insert into seat_type (name) values ('')",
        "update hall set epoch = 'with-hyphen'",
        "update hall set id = id + 1000",
        "update cinema set id = id + 1000",
        "update seat_type set id = id + 1000",
        "delete from seat_type",
    ],
)
def test_rows_out_of_their_domain_are_refused(world: World, hall: int, statement: str) -> None:
    """Constraints hold for any writer."""
    with pytest.raises(IntegrityError):
        world.do(statement)
    assert world.rev(hall) == 1


def test_every_walked_foreign_key_has_an_index(world: World) -> None:
    """Each foreign key's columns lead an index of their table, so that no delete or cascade scans it."""
    assert (
        world.values(
            """
        select c.conrelid::regclass || '.' || c.conname
        from pg_constraint c
        where c.contype = 'f' and not exists (
            select from pg_index i
            where i.indrelid = c.conrelid
              and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] operator(pg_catalog.@>) c.conkey
        )
        """
        )
        == []
    )


def test_every_table_and_view_is_described(world: World) -> None:
    """A maintainer reads the schema in psql: \\d+ shows the purpose of each table."""
    assert (
        world.values(
            """
        select relname
        from pg_class
        where relnamespace = 'public'::regnamespace
          and relkind in ('r', 'v')
          and obj_description(oid, 'pg_class') is null
        """
        )
        == []
    )
