"""The seating plans of pretix."""

import json
from typing import Any

import pytest

from seatsync.plan.faults import PlanError
from seatsync.plan.files import read
from seatsync.plan.model import Plan, Seat


def seat(number: Any, x: Any = 0, y: float = 0, **members: Any) -> dict[str, Any]:
    """A seat in a row."""
    position = {"x": x, "y": y}
    return {"seat_guid": f"g{number}", "seat_number": number, "position": position, "category": "Stalls"} | members


def plan(*zones: Any, **members: Any) -> Plan:
    """What becomes of these zones."""
    document = {"name": "Opera", "categories": [{"name": "Stalls", "color": "#7f4a91"}], "zones": zones}
    return read(json.dumps(document | members, indent=1).encode(), "opera.json")


def faults(*zones: Any, **members: Any) -> list[str]:
    """What is said of these zones, without the lines."""
    with pytest.raises(PlanError) as failed:
        plan(*zones, **members)
    return [line.partition(", ")[2] or line for line in str(failed.value).splitlines()[1:]]


def test_zones_are_sections_and_circles_are_seats() -> None:
    """Positions add up and are of the middle; a radius is 10 unless given; rows and places are numbered in order."""
    found = plan(
        {
            "name": "Parkett",
            "zone_id": "p",
            "position": {"x": 100, "y": 50},
            "areas": [{"shape": "text", "text": {"text": "Stage"}}],
            "rows": [
                {"row_number": "B", "position": {"x": 5, "y": 0}, "seats": [seat("1"), seat("2", 25, radius=12)]},
                {"row_number": "A", "seats": [seat("12", 0.5, 40), seat("12a", 25, 40, category="")]},
            ],
        },
        {"position": {"x": 0, "y": 300}, "rows": [{"row_number": "1", "seats": [seat("2"), seat("1", 30)]}]},
        size={"width": 1, "height": 1},
    )
    assert (found.name, found.rows, found.places, found.seat_types) == ("Opera", 2, 2, ["Stalls", "Standard"])
    common: dict[str, Any] = {"section": "Parkett", "type": "Stalls", "width": 20, "height": 20}
    assert found.seats == [
        Seat(row=1, row_label="B", place=1, x=95, y=40, **common),
        Seat(row=1, row_label="B", place=2, x=118, y=38, **common | {"width": 24, "height": 24}),
        Seat(row=2, row_label="A", place=1, place_label="12", x=90.5, y=80, **common),
        Seat(row=2, row_label="A", place=2, place_label="12a", x=115, y=80, **common | {"type": "Standard"}),
        Seat(row=1, place=1, place_label="2", type="Stalls", x=-10, y=290, width=20, height=20),
        Seat(row=1, place=2, place_label="1", type="Stalls", x=20, y=290, width=20, height=20),
    ]


def test_a_row_in_two_parts_is_one_row() -> None:
    """pretix has a row for each side of an aisle."""
    halves = [{"row_number": "A", "seats": [seat(str(n), 30 * n) for n in numbers]} for numbers in ((1, 2), (3,))]
    assert [(one.row, one.place) for one in plan({"rows": halves}).seats] == [(1, 1), (1, 2), (1, 3)]


def test_faults_have_their_paths() -> None:
    """All at once; a fault of a row is named once, not for each of its seats."""
    rows = [
        {"row_number": "", "seats": [seat("1"), seat("2")]},
        {"row_number": "A", "seats": [seat(None), seat("1", radius=0), seat("2", "x"), seat("1", position=[1]), 5]},
        {"row_number": "C"},
    ]
    assert faults({"name": 1.5, "rows": rows}, 7, {"rows": {}}) == [
        "zones[0].name: a text of 1 to 100 characters, without control characters or blanks at an end, is needed,"
        " not 1.5.",
        "zones[0].rows[0].row_number: missing.",
        "zones[0].rows[1].seats[0].seat_number: missing.",
        "zones[0].rows[1].seats[1].radius: a number above 0 and up to 10000 is needed, not 0.",
        'zones[0].rows[1].seats[2].position.x: a number from -1000000 to 1000000 is needed, not "x".',
        "zones[0].rows[1].seats[3].position: an object is needed, not a list.",
        "zones[0].rows[1].seats[4]: an object is needed, not 5.",
        "zones[0].rows[2].seats: a list is needed, not null.",
        "zones[1]: an object is needed, not 7.",
        "zones[2].rows: a list is needed, not an object.",
        "zones[0].rows[1].seats[3]: the same section, row and place as line 48, zones[0].rows[1].seats[1].",
    ]


def test_a_plan_without_a_name_or_seats() -> None:
    """The name is not needed; seats are."""
    assert plan({"rows": [{"row_number": "1", "seats": [seat("1")]}]}, name="").name is None
    assert faults(name=5) == [
        "name: a text of 1 to 200 characters, without control characters or blanks at an end, is needed, not 5."
    ]
    assert faults() == ["It has no seats."]
