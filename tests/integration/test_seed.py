"""The demo cinemas: plans in files, added as `seatsync hall import` adds one."""

import json
from importlib.resources import files

import pytest

from seatsync import seed
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.plan.files import WRITERS, read
from tests.support.sql import World

HALL = load("hall")

PLANS = sorted(files("seatsync.plan").joinpath("demo").iterdir(), key=lambda file: file.name)


@pytest.fixture
async def demo(db: Database) -> None:
    """The demo data are in the database."""
    assert await seed.demo(db)


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.name)
def test_the_plans_are_as_an_export_writes_them(file: object) -> None:
    """A hall that is changed and exported differs in its own lines alone."""
    text = getattr(file, "read_text")(encoding="utf-8")  # noqa: B009 -- mypy does not know its class
    assert WRITERS["csv"](read(text.encode(), "plan")) == text


async def test_the_demo_looks_like_cinemas(demo: None, world: World) -> None:
    """Three cinemas, eight halls, six kinds of seats all in use, one hall of 500; audience, and a seat to mend."""
    cinemas = json.loads(world.value(load("cinema")["list"].sql))
    assert len({cinema["color"] for cinema in cinemas}) == len(cinemas) == 3
    halls = [json.loads(world.row(HALL["snapshot"].sql, hall["id"])["data"]) for c in cinemas for hall in c["halls"]]
    assert len(halls) == len(PLANS) == 8
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
    assert {seat["section"] for seat in seats} >= {None, "Balcony"}
    assert any(seat["row_label"].isalpha() for seat in seats)
    assert any(not seat["place_label"].isdecimal() for seat in seats)


async def test_seats_of_the_demo_do_not_overlap(demo: None, world: World) -> None:
    """No two seats of a hall are nearer to each other than their size allows."""
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
