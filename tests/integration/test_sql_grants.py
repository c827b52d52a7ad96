"""A role that may change seats and nothing else: the grants that the documentation recommends."""

import os
from collections.abc import Iterator

import pytest
from psycopg import errors

from tests.support.sql import Session, User, World, updates
from tests.support.writes import write_seat

GRANTS = "grant select, update (status, note) on seat to {role}; grant select on cinema, hall, seat_type to {role}"


@pytest.fixture
def usher_role(world: World) -> Iterator[str]:
    """A role that may change status and note of seats and read the halls."""
    role = f"seatsync_test_usher_{os.getpid()}"
    world.do(f"create role {role}; {GRANTS.format(role=role)}")
    try:
        yield role
    finally:
        world.do(f"reset role; drop owned by {role}; drop role {role}")


@pytest.fixture
def usher(database_url: str, world: World, usher_role: str) -> Iterator[Session]:
    """A session of that role."""
    session = Session.connect(database_url)
    session.do(f"set role {usher_role}")
    yield session
    session.connection.close()


def test_an_usher_may_change_seats(world: World, hall: int, usher: Session) -> None:
    """The triggers act with the rights of the owner: revision, history and notification are as for any role."""
    usher.do("update seat set status = 'MAINTENANCE', note = 'Spring' where hall_id = $1", hall)
    (update,) = updates(world.notifications())
    assert update["rev"] == world.rev(hall) == 2
    assert {seat["note"] for seat in update["seats"]} == {"Spring"}
    assert world.value("select count(*) from seat_event where kind = 'status'") == 6
    assert usher.value("select name from hall") == "Hall"


@pytest.mark.parametrize(
    "statement",
    [
        "update seat set place = place + 1",
        "update seat set updated_by = 1",
        "delete from seat",
        "insert into seat (hall_id, seat_type_id, row, place) select hall_id, seat_type_id, 9, 9 from seat limit 1",
        "truncate seat",
        "update hall set rev = 0",
        "select * from seat_event",
        "select totp_secret from app_user",
        "select * from session",
        "select announce_layout('{1}')",
        "select * from hall_changes(1, 0, '')",
        "select key from feed_key",
        "select announce('cinemas')",
    ],
)
def test_an_usher_may_do_nothing_else(world: World, hall: int, usher_role: str, statement: str) -> None:
    """Other changes are refused, directly and through the functions of the schema."""
    world.do(f"set role {usher_role}")
    with pytest.raises(errors.InsufficientPrivilege):
        world.do(statement)
    assert world.rev(hall) == 1


def test_a_schema_of_the_usher_is_not_searched(world: World, hall: int, usher: Session) -> None:
    """Triggers do not use tables of the same names earlier in the caller's search path."""
    usher.do("create temporary table hall (id bigint, rev bigint)")
    usher.do("create temporary table seat_event (hall_id bigint)")
    usher.do("update seat set status = 'OCCUPIED' where hall_id = $1", hall)
    assert world.rev(hall) == 2
    assert len(world.notifications()) == 1


def test_an_empty_search_path_does_no_harm(world: World, hall: int) -> None:
    """Changing seats works for tools that name every schema and search none."""
    world.do("set search_path = ''")
    world.do("update public.seat set status = 'MAINTENANCE', note = 'Spring', x = 3")
    world.do("update public.seat set status = 'OCCUPIED'")
    world.do("update public.hall set name = 'Blue Hall'")
    world.do(
        "insert into public.seat (hall_id, seat_type_id, row, place) select hall_id, seat_type_id, 9, 9 "
        "from public.seat limit 1"
    )
    world.do("delete from public.cinema")
    world.do("reset search_path")
    assert world.value("select count(*) from seat") == 0


def test_a_setting_does_not_turn_the_guards_off(world: World, hall: int, usher: Session) -> None:
    """The setting of write_seats means nothing to a role that may not name the user of a change."""
    usher.do("set seatsync.writing = 'on'")
    usher.do("update seat set status = 'OCCUPIED' where hall_id = $1", hall)
    row = world.row("select updated_by, updated_at > now() - interval '1 minute' as fresh from seat limit 1")
    assert (row["updated_by"], row["fresh"]) == (None, True)


def test_a_trigger_of_the_site_keeps_the_guards(world: World, hall: int, alice: User) -> None:
    """A seat that another trigger changes while a user's write runs is nobody's own, and has the time of its change."""
    seat, neighbour = world.seats(hall)[:2]
    world.do(
        f"""
        create function follow() returns trigger language plpgsql as $$
        begin
            update seat set status = new.status where id = {neighbour} and status <> new.status;
            return null;
        end $$;
        create trigger follow after update on seat for each row when (new.id = {seat}) execute function follow();
        alter table seat disable trigger user;
        update seat set updated_at = '2020-01-01';
        alter table seat enable trigger user;
        """
    )
    assert write_seat(world, alice, hall, seat, "OCCUPIED").code is None
    rows = world.rows("select id, updated_by, updated_at > '2020-01-02' as fresh from seat where status = 'OCCUPIED'")
    assert {row["id"]: (row["updated_by"], row["fresh"]) for row in rows} == {
        seat: (alice.id, True),
        neighbour: (None, True),
    }


def test_functions_and_operators_of_the_usher_are_not_used(world: World, hall: int, usher: Session) -> None:
    """A role with a schema of its own cannot say by it what time it is, or whether a status is another."""
    world.do(f"create schema site; grant create, usage on schema site to {usher.value('select current_user')}")
    usher.do(
        """
        create function site.clock_timestamp() returns timestamptz
            language sql as $$ select timestamptz '1999-01-01' $$;
        create function site.same(public.seat_status, public.seat_status) returns boolean language sql as 'select true';
        create operator site.= (leftarg = public.seat_status, rightarg = public.seat_status, function = site.same);
        set search_path = site, pg_catalog, public;
        """
    )
    seat = world.seats(hall)[0]
    world.do(
        f"set seatsync.writing = 'on'; update seat set updated_by = 7, updated_at = '2020-01-01' where id = {seat}; "
        "reset seatsync.writing"
    )
    usher.do("update public.seat set status = 'OCCUPIED' where id = $1", seat)
    row = world.row("select by, at > now() - interval '1 minute' as fresh from seat_event where kind = 'status'")
    assert (row["by"], row["fresh"]) == (None, True)


def test_triggers_do_not_use_the_search_path_of_the_caller(world: World) -> None:
    """Each function of a trigger has its own."""
    searched = "coalesce(array_to_string(proconfig, ' '), '')"
    triggers = f"select proname, {searched} as config from pg_proc where prorettype = 'trigger'::regtype"
    for function in world.rows(f"{triggers} and pronamespace = 'public'::regnamespace"):
        assert "search_path=public, pg_temp" in function["config"], function["proname"]
