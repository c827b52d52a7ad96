"""Reads: the snapshot of a hall, missed revisions, and the list of cinemas."""

import json
import re
from typing import Any

import pytest

from seatsync.core.postgres.queries import load
from tests.support.sql import World

HALL, CINEMA = load("hall"), load("cinema")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def hall(world: World) -> int:
    """A hall of six seats."""
    return world.hall()


def snapshot(world: World, hall: int) -> dict[str, Any]:
    """The hall as clients see it."""
    data: dict[str, Any] = json.loads(world.row(HALL["snapshot"].sql, hall)["data"])
    return data


def changes(world: World, hall: int, since: int, epoch: str | None = None) -> dict[str, Any] | None:
    """The changes after a revision; ``None`` when they are incomplete."""
    epoch = epoch or world.value("select wire_epoch(epoch) from hall where id = $1", hall)
    row = world.row(HALL["changes"].sql, hall, since, epoch)
    assert row["whole"] == (row["data"] is not None)
    return json.loads(row["data"]) if row["whole"] else None


def test_a_snapshot_has_every_key_in_order(world: World, hall: int) -> None:
    """The object of the protocol, compact, with rev and epoch also beside it."""
    seats = world.seats(hall)
    world.do("update seat set status = 'MAINTENANCE', note = 'Spring \"7\" broken' where id = $1", seats[0])
    row = world.row(HALL["snapshot"].sql, hall)
    data = json.loads(row["data"])
    assert row["data"] == json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    assert " ".join(data) == "id cinema_id name rows places created_at rev epoch seats seat_types"
    assert (data["rev"], data["epoch"]) == (row["rev"], row["epoch"])
    assert TIME.fullmatch(data["created_at"])
    first = data["seats"][0]
    assert " ".join(first) == (
        "id section row row_label place place_label x y width height rotation"
        " status updated_at note hold_until seat_type"
    )
    assert (first["id"], first["status"], first["note"]) == (seats[0], "MAINTENANCE", 'Spring "7" broken')
    assert TIME.fullmatch(first["updated_at"])
    assert first["seat_type"] == {"id": world.seat_type(), "name": "Standard"}
    counts = {"VACANT": 5, "RESERVED": 0, "OCCUPIED": 0, "MAINTENANCE": 1}
    assert data["seat_types"] == [{"id": world.seat_type(), "name": "Standard", "seats_count": 6, "seats": counts}]


def test_seats_are_ordered_by_row_and_place(world: World, hall: int) -> None:
    """Seats are ordered by row and place, types by id, whatever the order in the tables."""
    world.do("update seat set row = 3 - row")
    world.do("update seat set seat_type_id = $1 where row = 1", world.seat_type("Aisle"))
    data = snapshot(world, hall)
    order = [(seat["row"], seat["place"]) for seat in data["seats"]]
    assert order == sorted(order)
    assert [kind["id"] for kind in data["seat_types"]] == sorted(kind["id"] for kind in data["seat_types"])


def test_an_empty_hall_has_empty_lists(world: World) -> None:
    """An empty hall has empty lists; an unknown hall has no row."""
    hall = world.hall(0, 0)
    data = snapshot(world, hall)
    assert (data["seats"], data["seat_types"]) == ([], [])
    assert world.rows(HALL["snapshot"].sql, hall + 1) == []


def test_the_epoch_names_the_timeline(world: World, hall: int) -> None:
    """A failover to a replica that lagged behind begins a new epoch without intervention."""
    assert snapshot(world, hall)["epoch"] == "-".join([world.value("select epoch from hall"), "00000001"])


def test_revs_of_many_halls(world: World, hall: int) -> None:
    """Existing halls have a row; unknown ids are left out."""
    other = world.hall()
    rows = world.rows(HALL["revs"].sql, [hall, other, other + 1])
    assert [(row["id"], row["rev"]) for row in rows] == [(hall, 1), (other, 1)]
    assert rows[0]["epoch"] == snapshot(world, hall)["epoch"]


def test_nothing_missed(world: World, hall: int) -> None:
    """The present revision, empty lists, and no `from`."""
    assert changes(world, hall, 1) == {"id": hall, "rev": 1, "seats": [], "seat_types": []}


@pytest.mark.usefixtures("database_url")
def test_one_revision_missed_is_that_update(world: World, hall: int) -> None:
    """The same data as was announced."""
    world.notifications()
    world.do("update seat set status = 'OCCUPIED' where row = 2")
    (announced,) = world.notifications()
    assert changes(world, hall, 1) == json.loads(announced.split(" ", 3)[3])


def test_several_revisions_are_merged(world: World, hall: int) -> None:
    """The newest state of each changed seat, `from` the first revision missed to the present one."""
    first, second, *_ = world.seats(hall)
    world.do("update seat set status = 'OCCUPIED' where id = $1", first)
    world.do("update seat set status = 'RESERVED' where id = any($1::bigint[])", [first, second])
    world.do("update seat set status = 'VACANT' where id = $1", first)
    missed = changes(world, hall, 1)
    assert missed is not None
    assert list(missed) == ["id", "from", "rev", "seats", "seat_types"]
    assert (missed["from"], missed["rev"]) == (2, 4)
    assert [(seat["id"], seat["status"]) for seat in missed["seats"]] == [(first, "VACANT"), (second, "RESERVED")]
    assert missed["seat_types"][0]["seats"]["RESERVED"] == 1
    missed = changes(world, hall, 2)
    assert missed is not None
    assert (missed["from"], missed["rev"]) == (3, 4)


@pytest.mark.parametrize("since", [4, 2**40, -1])
def test_a_future_revision(world: World, hall: int, since: int) -> None:
    """A future revision cannot be resumed from."""
    assert changes(world, hall, since) is None


@pytest.mark.parametrize("epoch", ["", "elsewhere-00000001"])
def test_another_epoch(world: World, hall: int, epoch: str) -> None:
    """Revisions of different epochs do not compare."""
    assert changes(world, hall, 1, epoch or world.value("select epoch from hall")) is None


def test_a_layout_in_between(world: World, hall: int) -> None:
    """A client can resume from the revision after it, not from the one before it."""
    world.do("update seat set x = 5 where id = $1", world.seats(hall)[0])
    world.do("update seat set status = 'OCCUPIED' where id = $1", world.seats(hall)[0])
    assert changes(world, hall, 1) is None
    assert changes(world, hall, 2) is not None


def test_missing_history(world: World, hall: int) -> None:
    """A revision whose events are missing, for any reason, is never skipped in silence."""
    for status in ("OCCUPIED", "VACANT", "RESERVED"):
        world.do("update seat set status = $1::text::seat_status where id = $2", status, world.seats(hall)[0])
    world.do("delete from seat_event where rev = 3")
    assert changes(world, hall, 1) is None
    assert changes(world, hall, 2) is None
    assert changes(world, hall, 3) is not None


def test_a_hall_that_is_gone(world: World, hall: int) -> None:
    """A deleted hall has no row."""
    assert world.rows(HALL["changes"].sql, hall + 1, 0, "e") == []


def test_the_list_of_cinemas(world: World, hall: int) -> None:
    """By id, each with its halls and their counts; empty ones too."""
    empty = world.cinema("Lumen")
    world.do("update seat set status = 'RESERVED' where row = 1")
    data = json.loads(world.value(CINEMA["list"].sql))
    assert [list(cinema) for cinema in data] == [["id", "name", "color", "created_at", "halls"]] * 2
    assert (data[1]["id"], data[1]["name"], data[1]["color"], data[1]["halls"]) == (empty, "Lumen", "#4F46E5", [])
    assert TIME.fullmatch(data[0]["created_at"])
    counts = {"VACANT": 3, "RESERVED": 3, "OCCUPIED": 0, "MAINTENANCE": 0}
    assert data[0]["halls"] == [{"id": hall, "name": "Hall", "rows": 2, "places": 3, "seats_count": counts}]
    world.do("delete from cinema")
    assert world.value(CINEMA["list"].sql) == "[]"


def test_the_counts_of_some_halls(world: World, hall: int) -> None:
    """One object for each of their cinemas, with those halls alone."""
    cinema = world.value("select cinema_id from hall")
    second, other = world.hall(1, 1, cinema=cinema), world.hall(0, 0)
    world.hall(cinema=cinema)
    data = [json.loads(text) for text in world.values(CINEMA["counts"].sql, [second, hall, other])]
    zero = {"VACANT": 0, "RESERVED": 0, "OCCUPIED": 0, "MAINTENANCE": 0}
    assert data == [
        {
            "id": cinema,
            "halls": [
                {"id": hall, "seats_count": zero | {"VACANT": 6}},
                {"id": second, "seats_count": zero | {"VACANT": 1}},
            ],
        },
        {"id": cinema + 1, "halls": [{"id": other, "seats_count": zero}]},
    ]


def test_some_cinemas(world: World, hall: int) -> None:
    """Name, colour and all halls, without the time that updates do not carry."""
    cinema, lumen = world.value("select cinema_id from hall"), world.cinema("Lumen")
    data = [json.loads(text) for text in world.values(CINEMA["cinema"].sql, [lumen, cinema, 0])]
    assert [list(one) for one in data] == [["id", "name", "color", "halls"]] * 2
    assert [(one["id"], [hall["id"] for hall in one["halls"]]) for one in data] == [(cinema, [hall]), (lumen, [])]
