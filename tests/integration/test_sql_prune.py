"""Removing what is old, and the halls that `seatsync seed` makes."""

import json
from uuid import uuid4

import pytest
from psycopg import errors

from seatsync.core.postgres.queries import load
from tests.support.sql import World
from tests.support.writes import Item, Request, write

HALL, SEED = load("hall"), load("seed")
KEYS, KEEP = HALL["prune_keys"].sql, HALL["keep_history"].sql

#: A day of the history that is to be dropped.
LONG_AGO = "create table seat_event_20010101 partition of seat_event for values from ('2001-01-01') to ('2001-01-02')"


@pytest.fixture
def hall(world: World) -> int:
    """A hall of six seats, with five revisions: the first a layout, each of the others all its seats."""
    hall = world.hall()
    for status in ("OCCUPIED", "VACANT") * 2:
        world.do("update seat set status = $1::text::seat_status", status)
    return hall


def resumable(world: World, hall: int, since: int) -> bool:
    """Whether the history after a revision is complete."""
    epoch = world.value("select wire_epoch(epoch) from hall where id = $1", hall)
    whole: bool = world.row(HALL["changes"].sql, hall, since, epoch)["whole"]
    return whole


def partitions(world: World) -> list[str]:
    """The days of the history that have a partition."""
    return world.values(
        "select right(relname, 8) from pg_class where relispartition and relkind = 'r' and relname ~ '[0-9]{8}$'"
    )


def test_days_are_made_ahead(world: World, hall: int) -> None:
    """There are partitions for today and a week, and what came before them is moved there."""
    assert world.value(KEEP, 30) == 0
    days = world.values("select to_char((now() at time zone 'UTC')::date + n, 'YYYYMMDD') from generate_series(0, 7) n")
    assert set(days) <= set(partitions(world))
    assert world.value("select count(*) from seat_event_default") == 0
    assert world.value("select count(*) from seat_event") == 30
    assert all(resumable(world, hall, since) for since in (1, 2, 5))


@pytest.mark.usefixtures("database_url")
def test_old_days_go_whole(world: World, hall: int) -> None:
    """A day of too long ago is dropped with all its events; no resume gets a part of a revision."""
    world.do("update seat_event set at = now() - interval '31 days 1 hour' where rev = 1 or rev = 2 and seat_id = 1")
    assert world.value(KEEP, 30) in {1, 2}
    assert world.value(KEEP, 30) == 0
    assert world.values("select distinct rev from seat_event order by rev") == [2, 3, 4, 5]
    assert [resumable(world, hall, since) for since in (0, 2, 5)] == [False, True, True]


def test_history_without_a_partition_is_written(world: World, hall: int) -> None:
    """Where nobody has made partitions for longer than a week, the default one takes the events."""
    world.value(KEEP, 30)
    for day in partitions(world):
        world.do(f"alter table seat_event detach partition seat_event_{day}; drop table seat_event_{day}")
    world.do("update seat set status = 'OCCUPIED'")
    assert world.value("select count(*) from seat_event_default") == 6
    assert world.value(KEEP, 30) == 0
    assert world.value("select count(*) from seat_event_default") == 0


@pytest.mark.usefixtures("database_url")
def test_a_writer_waits_for_the_partition_of_its_day(world: World, hall: int) -> None:
    """The event of a change meanwhile goes there, and not to the default partition, which no longer takes it."""
    writer = world.session()
    world.do("begin")
    world.value(KEEP, 30)
    change = writer.start("update seat set status = 'OCCUPIED'")
    world.wait_for_lock(writer)
    world.do("commit")
    change.result()
    assert world.value("select count(*) from seat_event_default") == 0


@pytest.mark.usefixtures("database_url")
def test_reader_of_the_history_makes_it_wait_for_a_moment(world: World, hall: int) -> None:
    """A lock that is not to be had fails the call, and not the writers behind it."""
    world.value(KEEP, 30)
    world.do(
        "create table seat_event_20010101 partition of seat_event for values from ('2001-01-01') to ('2001-01-02')"
    )
    other = world.session()
    other.do("begin; select count(*) from seat_event")
    with pytest.raises(errors.LockNotAvailable):
        world.value(KEEP, 30)
    other.do("rollback")
    assert world.value(KEEP, 30) == 1


def test_old_keys_go(world: World, hall: int) -> None:
    """Keys are removed ten minutes after their first use."""
    alice = world.user("alice")
    for _ in range(3):
        write(world, Request(alice, hall, [Item(world.seats(hall)[0], "VACANT")], uuid4()))
    assert world.value(KEYS, 1000) == 0
    world.do("update write_key set created_at = now() - interval '11 minutes'")
    assert [world.value(KEYS, 2) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize(("query", "args"), [(KEYS, [1000]), (KEEP, [30])])
@pytest.mark.usefixtures("database_url")
def test_one_server_prunes_at_a_time(world: World, query: str, args: list[int]) -> None:
    """While one server prunes, another returns at once without removing anything."""
    world.do("insert into write_key (user_id, key, digest, created_at) values (1, gen_random_uuid(), '', '2001-01-01')")
    world.do(
        "create table seat_event_20010101 partition of seat_event for values from ('2001-01-01') to ('2001-01-02')"
    )
    other = world.session()
    other.do("begin")
    assert other.value(query, *args) > 0
    assert world.value(query, *args) == 0
    other.do("rollback")
    assert world.value(query, *args) > 0


@pytest.mark.parametrize("seats", [1, 2, 7, 500])
def test_a_hall_for_load_tests(world: World, seats: int) -> None:
    """Rectangular, of exactly so many seats on a grid, in one cinema for all such halls."""
    first, second = (world.value(SEED["create_hall"].sql, name, seats) for name in ("One", "Two"))
    data = json.loads(world.row(HALL["snapshot"].sql, first)["data"])
    assert (data["name"], data["rev"], len(data["seats"])) == ("One", 1, seats)
    assert max(seat["row"] for seat in data["seats"]) == data["rows"]
    assert max(seat["place"] for seat in data["seats"]) == data["places"]
    assert len({(seat["x"], seat["y"]) for seat in data["seats"]}) == seats
    assert world.values("select name from cinema") == ["Load test"]
    assert world.values("select id from hall order by id") == [first, second]


def test_days_are_those_of_utc(world: World, hall: int) -> None:
    """Whatever the session's time zone and format of dates: POSIX zones have the sign of the offset reversed."""
    world.do("set timezone = '<+05>5'; set datestyle = 'SQL, DMY'")
    world.value(KEEP, 30)
    world.do("set timezone = 'UTC'; set datestyle = 'ISO'")
    bounds = world.values(
        "select pg_get_expr(relpartbound, oid) from pg_class where relispartition and relname ~ '[0-9]{8}$'"
    )
    assert bounds
    assert all(bound.count(" 00:00:00+00'") == 2 for bound in bounds)


@pytest.mark.usefixtures("database_url")
def test_a_stranger_holds_nothing_up(world: World, hall: int) -> None:
    """Any role may take any advisory lock: none is needed to prune."""
    world.do(LONG_AGO)
    alice = world.user("alice")
    write(world, Request(alice, hall, [Item(world.seats(hall)[0], "VACANT")], uuid4()))
    world.do("update write_key set created_at = now() - interval '11 minutes'")
    stranger = world.session()
    for name in ("keep_history", "prune_keys"):
        stranger.value("select pg_advisory_lock(hashtext('seatsync'), hashtext($1))", name)
    assert (world.value(KEEP, 30), world.value(KEYS, 1000)) == (1, 1)


def test_a_resume_from_far_behind_gets_a_snapshot(world: World) -> None:
    """Reading more than 10,000 events is dearer than the snapshot that takes their place."""
    hall = world.hall(25, 41)
    for status in ("OCCUPIED", "VACANT") * 5:
        world.do("update seat set status = $1::text::seat_status", status)
    assert [resumable(world, hall, since) for since in (1, 2, 10)] == [False, True, True]
