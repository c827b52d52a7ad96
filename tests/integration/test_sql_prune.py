"""Removing what is old, and the halls that `seatsync seed` makes."""

import json
from importlib.resources import files
from uuid import uuid4

import pytest

from seatsync.core.postgres.queries import load
from tests.support.sql import World
from tests.support.writes import Item, Request, write

HALL, SEED = load("hall"), load("seed")
KEYS, EVENTS = HALL["prune_keys"].sql, HALL["prune_events"].sql


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


def test_old_events_go_in_whole_revisions(world: World, hall: int) -> None:
    """A revision with an old event is removed as a whole, so that no resume gets a part of it."""
    world.do("update seat_event set at = now() - interval '31 days' where rev = 1 or rev = 2 and seat_id = 1")
    assert world.value(EVENTS, 30, 1000) == 7
    assert world.values("select distinct rev from seat_event order by rev") == [3, 4, 5]
    assert world.value(EVENTS, 30, 1000) == 0
    assert [resumable(world, hall, since) for since in (0, 1, 2, 5)] == [False, False, True, True]


def test_events_go_in_batches(world: World, hall: int) -> None:
    """Each call removes about the given number, until nothing old is left."""
    world.do("update seat_event set at = now() - interval '31 days'")
    removed = []
    while count := world.value(EVENTS, 30, 4):
        removed.append(count)
    assert sum(removed) == 25
    assert max(removed) <= 4 * 6
    assert len(removed) > 1


def test_old_keys_go(world: World, hall: int) -> None:
    """Keys are removed ten minutes after their first use."""
    alice = world.user("alice")
    for _ in range(3):
        write(world, Request(alice, hall, [Item(world.seats(hall)[0], "VACANT")], uuid4()))
    assert world.value(KEYS, 1000) == 0
    world.do("update write_key set created_at = now() - interval '11 minutes'")
    assert [world.value(KEYS, 2) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize(("query", "args"), [(KEYS, [1000]), (EVENTS, [30, 1000])])
def test_one_server_prunes_at_a_time(world: World, hall: int, query: str, args: list[int]) -> None:
    """While one server prunes, another returns at once without removing anything."""
    world.do("insert into write_key (user_id, key, digest, created_at) values (1, gen_random_uuid(), '', '2001-01-01')")
    world.do("update seat_event set at = '2001-01-01'")
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


def test_the_demo_looks_like_cinemas(world: World) -> None:
    """Three cinemas, eight halls, six kinds of seats all in use, one hall of 500; audience, and a seat to mend."""
    world.do(files("seatsync.sql").joinpath("demo.sql").read_text(encoding="utf-8"))
    cinemas = json.loads(world.value(load("cinema")["list"].sql))
    assert len({cinema["color"] for cinema in cinemas}) == len(cinemas) == 3
    halls = [json.loads(world.row(HALL["snapshot"].sql, hall["id"])["data"]) for c in cinemas for hall in c["halls"]]
    assert len(halls) == 8
    assert len({kind["name"] for hall in halls for kind in hall["seat_types"]}) == 6
    assert 500 in [len(hall["seats"]) for hall in halls]
    for hall in halls:
        assert max(seat["row"] for seat in hall["seats"]) == hall["rows"]
        assert max(seat["place"] for seat in hall["seats"]) == hall["places"]
        assert min(seat["x"] for seat in hall["seats"]) == min(seat["y"] for seat in hall["seats"]) == 0
    seats = [seat for hall in halls for seat in hall["seats"]]
    assert {seat["status"] for seat in seats} == {"VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"}
    assert len([seat for seat in seats if seat["note"]]) == 1
    assert any(seat["rotation"] for seat in seats)
    assert any(seat["width"] > 2 * seat["height"] for seat in seats)


def test_seats_of_the_demo_do_not_overlap(world: World) -> None:
    """No two seats of a hall are nearer to each other than their size allows."""
    world.do(files("seatsync.sql").joinpath("demo.sql").read_text(encoding="utf-8"))
    assert (
        world.value(
            """
            select count(*)
            from seat a
            join seat b on b.hall_id = a.hall_id and b.id > a.id
            where abs(a.y - b.y) < 32 and abs(a.x + a.width / 2 - b.x - b.width / 2) < (a.width + b.width) / 2
              and sqrt((a.x - b.x) ^ 2 + (a.y - b.y) ^ 2) < 39
            """
        )
        == 0
    )
