"""Plans in the database: exported, added, and replaced in one revision."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st
from psycopg import errors

from seatsync.core.postgres.pool import Database
from seatsync.errors import Failure, HallNotFound
from seatsync.plan import store
from seatsync.plan.faults import PlanError
from seatsync.plan.files import WRITERS, read
from seatsync.plan.model import Plan
from seatsync.plan.store import Replaced
from tests.support.examples import for_all
from tests.support.plans import plans
from tests.support.server import RunningServer
from tests.support.sql import World

FIRST = """section,row,row_label,place,place_label,type,x,y
,1,A,1,,Standard,0,0
,1,A,2,,Standard,40,0
,2,B,1,,VIP,0,40
Balcony,1,A,1,,Standard,0,120
"""

#: Of the first: A 1 as it was, A 2 is the first of its row, B 1 is gone, Balcony A 1 has moved; B 2 is new.
SECOND = """section,row,row_label,place,place_label,type,x,y
,1,A,3,1,Standard,0,0
,1,A,1,2,Standard,40,0
,2,B,2,,Comfort,40,40
Balcony,3,A,1,,VIP,0,160
"""


def plan(text: str, name: str | None = None) -> Plan:
    """The plan of a file."""
    return evolve(read(text.encode(), "plan"), name=name)


async def add(db: Database, cinema_id: int, taken: Plan) -> int:
    """The id of a new hall with this plan."""
    async with db.transaction(timeout=120) as session:
        return await store.add_hall(session, cinema_id, taken)


async def replace(db: Database, hall_id: int, taken: Plan, *, keep_status: bool = True) -> Replaced:
    """What has become of the seats."""
    async with db.transaction(timeout=120) as session:
        return await store.replace(session, hall_id, taken, keep_status=keep_status)


def seats(world: World, hall: int) -> dict[str, Any]:
    """The seats of a hall by the labels of row and place."""
    query = (
        "select concat_ws(' ', section, coalesce(row_label, row::text), coalesce(place_label, place::text)) as name,"
        " seat.*, seat_type.name as type from seat join seat_type on seat_type.id = seat_type_id where hall_id = $1"
    )
    return {row["name"]: row for row in world.rows(query, hall)}


async def test_halls_come_back_from_their_files(db: Database, world: World) -> None:
    """Exported, added from the file and exported again, a hall has the same file, whatever the format."""
    cinema = world.cinema()

    async def check(example: Plan) -> None:
        exported = await store.plan_of(db, await add(db, cinema, evolve(example, name="Hall")))
        for name, write in WRITERS.items():
            text = write(exported)
            assert text == write(evolve(example, name="Hall"))
            again = evolve(read(text.encode(), name), name="Hall")
            assert write(await store.plan_of(db, await add(db, cinema, again))) == text

    await for_all(plans, check, 40)


async def test_any_plan_takes_the_place_of_any_other(db: Database, world: World) -> None:
    """In one revision, or in none where nothing is different; and the counts are those of the seats."""
    hall = await add(db, world.cinema(), plan(FIRST, "Hall"))

    async def check(example: tuple[Plan, bool]) -> None:
        taken, keep_status = example
        before, rev = await store.plan_of(db, hall), world.rev(hall)
        world.do("update seat set status = 'OCCUPIED' where id % 2 = 0")
        rev = world.rev(hall)
        done = await replace(db, hall, taken, keep_status=keep_status)
        after = await store.plan_of(db, hall)
        assert WRITERS["json"](evolve(after, name=None)) == WRITERS["json"](evolve(taken, name=None))
        assert (done.kept + done.moved + done.removed, done.kept + done.moved + done.added) == (
            len(before.seats),
            len(after.seats),
        )
        changed = (after, keep_status) != (before, True) and done != Replaced(len(before.seats), 0, 0, 0, 0)
        assert world.rev(hall) == rev + (changed or (after.name, after.rows) != (before.name, before.rows))
        assert world.value("select count(*) from layout_change") == 0
        assert world.rows("select * from unannounced()") == []
        counted = "select hall_id, seat_type_id, count(*) from seat group by 1, 2 order by 1, 2"
        assert world.rows(counted) == world.rows("select hall_id, seat_type_id, seats from hall_count order by 1, 2")

    await for_all(st.tuples(plans, st.booleans()), check, 60)


async def test_seats_that_match_keep_what_they_are(db: Database, world: World) -> None:
    """Ids, statuses, notes and holds stay with the labels; the rest is as the plan has it."""
    hall = await add(db, world.cinema(), plan(FIRST, "Hall"))
    world.do("update seat set status = 'MAINTENANCE', note = 'Wet' where row_label = 'A' and place = 2")
    world.do("update seat set status = 'RESERVED', hold_until = '2099-01-01' where section = 'Balcony'")
    world.do("update seat set status = 'OCCUPIED' where row_label = 'B'")
    before, rev = seats(world, hall), world.rev(hall)
    assert await replace(db, hall, plan(SECOND)) == Replaced(kept=0, moved=3, added=1, removed=1, lost=1)
    after = seats(world, hall)
    assert world.rev(hall) == rev + 1
    assert set(after) == {"A 1", "A 2", "B 2", "Balcony A 1"}
    for name in ("A 1", "A 2", "Balcony A 1"):
        for column in ("id", "status", "note", "hold_until", "updated_at", "updated_by"):
            assert after[name][column] == before[name][column]
    assert (after["A 2"]["place"], after["A 1"]["place"]) == (1, 3)
    assert [after["Balcony A 1"][column] for column in ("row", "type", "y")] == [3, "VIP", 160]
    assert (after["B 2"]["status"], after["B 2"]["type"]) == ("VACANT", "Comfort")
    assert world.values("select seat_id from seat_hold") == [after["Balcony A 1"]["id"]]


async def test_without_statuses_all_seats_are_vacant(db: Database, world: World) -> None:
    """In the same revision, also where the layout stays."""
    hall = await add(db, world.cinema(), plan(FIRST, "Hall"))
    world.do("update seat set status = 'RESERVED', hold_until = '2099-01-01'")
    rev, before = world.rev(hall), seats(world, hall)
    assert await replace(db, hall, plan(FIRST), keep_status=False) == Replaced(4, 0, 0, 0, lost=4)
    after = seats(world, hall)
    assert world.rev(hall) == rev + 1
    assert {seat["status"] for seat in after.values()} == {"VACANT"}
    assert {name: seat["id"] for name, seat in after.items()} == {name: seat["id"] for name, seat in before.items()}
    assert world.value("select count(*) from seat_hold") == 0
    assert await replace(db, hall, plan(FIRST), keep_status=False) == Replaced(4, 0, 0, 0, 0)
    assert world.rev(hall) == rev + 1


async def test_a_client_gets_the_new_plan_at_once(server: RunningServer, database_url: str) -> None:
    """One snapshot of one revision, with the kept statuses, the new name and the new seats; then updates as ever."""
    cinema = await server.value("insert into cinema (name) values ('Astoria') returning id")
    hall = await add(server.db, cinema, plan(FIRST, "Hall"))
    async with server.client() as client:
        seen = await client.data("hall.subscribe", {"id": hall}, "h")
        await server.sql("update seat set status = 'OCCUPIED' where row_label = 'A'")
        await client.update("h")
        await replace(server.db, hall, plan(SECOND, "New"))
        relaid = (await client.answer("h"))["data"]
        assert (relaid["rev"], relaid["name"], len(relaid["seats"])) == (seen["rev"] + 2, "New", 4)
        assert sorted(seat["status"] for seat in relaid["seats"]) == ["OCCUPIED"] * 3 + ["VACANT"]
        await replace(server.db, hall, plan(FIRST), keep_status=False)
        relaid = (await client.answer("h"))["data"]
        assert (relaid["rev"], relaid["name"]) == (seen["rev"] + 3, "New")
        assert {seat["status"] for seat in relaid["seats"]} == {"VACANT"}
        await server.sql("update seat set status = 'RESERVED' where row_label = 'B'")
        assert (await client.update("h"))["rev"] == seen["rev"] + 4


async def test_nothing_is_left_of_a_plan_that_fails(db: Database, world: World) -> None:
    """What the database refuses is rolled back whole."""
    hall = await add(db, world.cinema(), plan(FIRST, "Hall"))
    before = seats(world, hall)
    document = json.loads(WRITERS["json"](plan(SECOND)))
    document["seats"][0]["width"] = 0
    with pytest.raises(errors.CheckViolation):
        world.rows("select * from replace_plan($1, $2::text::jsonb)", hall, json.dumps(document))
    assert seats(world, hall) == before
    for damage in ({"seats": None}, {"format": "other"}, {"version": 2}):
        with pytest.raises(errors.InvalidParameterValue):
            world.rows("select * from replace_plan($1, $2::text::jsonb)", hall, json.dumps(document | damage))
    for n in (0, 2):  # one that is there, and a new one
        twice = document | {"seats": [*json.loads(WRITERS["json"](plan(SECOND)))["seats"], document["seats"][n]]}
        twice["seats"][-1]["width"] = 5
        with pytest.raises(errors.UniqueViolation):
            world.rows("select * from replace_plan($1, $2::text::jsonb)", hall, json.dumps(twice))
    assert seats(world, hall) == before


async def test_a_plan_by_sql_may_leave_out_what_has_a_default(db: Database, world: World) -> None:
    """As in the format: x and y of a seat that is there stay, those of a new one are of the grid."""
    hall = await add(db, world.cinema(), plan(FIRST, "Hall"))
    short = {
        "format": "seatsync.plan",
        "version": 1,
        "seats": [{"row": 1, "row_label": "A", "place": 2}, {"row": 7, "place": 3}],
    }
    row = world.row("select * from replace_plan($1, $2::text::jsonb)", hall, json.dumps(short))
    assert tuple(row) == (1, 0, 1, 3, 0)
    found = seats(world, hall)
    assert [(seat["x"], seat["y"], seat["type"]) for seat in (found["A 2"], found["7 3"])] == [
        (40, 0, "Standard"),
        (80, 240, "Standard"),
    ]
    assert tuple(world.row("select name, rows, places from hall where id = $1", hall)) == ("Hall", 7, 3)


async def test_two_plans_at_once_are_two_revisions(db: Database, world: World) -> None:
    """The second waits for the first."""
    hall = await add(db, world.cinema(), plan(FIRST, "Hall"))
    rev, other = world.rev(hall), world.session()
    query = "select * from replace_plan($1, $2::text::jsonb)"
    world.do("begin")
    world.rows(query, hall, WRITERS["json"](plan(SECOND)))
    waiting = other.start(query, hall, WRITERS["json"](plan(FIRST)))
    world.wait_for_lock(other)
    world.do("commit")
    waiting.result()
    assert world.rev(hall) == rev + 2
    assert set(seats(world, hall)) == {"A 1", "A 2", "B 1", "Balcony A 1"}


async def test_what_is_not_there(db: Database, world: World) -> None:
    """Halls, cinemas, and seats of a hall."""
    with pytest.raises(HallNotFound):
        await store.plan_of(db, 1)
    with pytest.raises(HallNotFound):
        await replace(db, 1, plan(FIRST))
    with pytest.raises(Failure, match="There is no such cinema"):
        await add(db, 1, plan(FIRST, "Hall"))
    hall = world.hall(rows=0)
    with pytest.raises(PlanError, match=f"Hall {hall} has no seats."):
        await store.plan_of(db, hall)


async def test_a_large_hall(db: Database, world: World) -> None:
    """15,000 seats are exported, added and replaced."""
    lines = [f"{row},{place}" for row in range(1, 61) for place in range(1, 251)]
    hall = await add(db, world.cinema(), plan("\n".join(["row,place", *lines]), "Stadium"))
    exported = await store.plan_of(db, hall)
    assert len(exported.seats) == 15_000
    moved = [evolve(seat, place=251 - seat.place, place_label=str(seat.place)) for seat in exported.seats]
    done = await replace(db, hall, evolve(exported, seats=moved))
    assert done == Replaced(0, 15_000, 0, 0, 0)
