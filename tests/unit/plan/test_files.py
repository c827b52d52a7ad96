"""Plans as files: how a format is recognised, and what is said of files that are none."""

import json

import pytest

from seatsync.plan.faults import MAX_SHOWN, PlanError
from seatsync.plan.files import MAX_BYTES, WRITERS, read
from seatsync.plan.model import MAX_SEATS, Plan, Seat

SEAT = {"row": 1, "place": 1}


def native(*seats: object, **members: object) -> bytes:
    """A file in the format of Seats Sync, one seat a line."""
    head = json.dumps({"format": "seatsync.plan", "version": 1, **members})[:-1]
    return (head + ', "seats": [\n' + ",\n".join(map(json.dumps, seats)) + "\n]}").encode()


def faults(data: bytes) -> list[str]:
    """What is said of a file, line by line, without the first, which counts."""
    with pytest.raises(PlanError) as failed:
        read(data, "plan")
    return str(failed.value).splitlines()[1:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "plan is empty."),
        (b"\xef\xbb\xbf \n", "plan is empty."),
        (b"\x89PNG\0", "plan is not UTF-8 text (byte 0); save it as UTF-8."),
        ("row,place\n1,1".encode("utf-16"), "plan is not UTF-8 text (byte 0); save it as UTF-8."),
        (b"row,place\n1,\0", "plan is not text (it has a zero byte); a plan is JSON or CSV."),
        (b"[" * 100_000, "plan is not JSON: line 1, column "),
        (b'{"format": NaN}', "plan is not JSON: line 1, column "),
        (b'{"format":\n "seatsync.plan"', "plan is not JSON: line 2, column "),
        (b"[1]", "plan is no plan: an object is needed, not a list."),
        (b'{"seats": []}', "plan is no plan that is known: it has neither "),
        (b'{"format": "other", "zones": []}', "plan is no plan that is known: it has neither "),
        (b" " * (MAX_BYTES + 1), "plan has more than 33,554,432 bytes"),
    ],
)
def test_what_is_no_plan_at_all(data: bytes, said: str) -> None:
    """One sentence says why."""
    with pytest.raises(PlanError) as failed:
        read(data, "plan")
    assert str(failed.value).startswith(said)
    assert "\n" not in str(failed.value)


def test_the_content_decides_the_format() -> None:
    """Ours, pretix's and CSV, with a byte order mark or blank lines before."""
    pretix = {
        "zones": [{"rows": [{"row_number": "1", "seats": [{"seat_number": "1", "position": {"x": 10, "y": 10}}]}]}]
    }
    for data in (native(SEAT), json.dumps(pretix).encode(), b"row,place\n1,1"):
        for prefix in (b"", b"\xef\xbb\xbf", b"\n\n"):
            assert [seat.position for seat in read(prefix + data, "plan").seats] == [(None, 1, 1)]


def test_every_fault_is_named_with_its_line() -> None:
    """All at once, by path and line; duplicates with the line of the seat that they repeat."""
    data = native(
        SEAT,
        SEAT,
        {"row": 0, "place": "x", "width": 0, "rotation": 361, "colour": "red"},
        {"place": 2},
        {"row": 2, "row_label": "1", "place": 1, "type": ""},
        {"row": 2, "row_label": "1", "place": 3, "place_label": "1"},
        7,
        rows=0,
        floor=1,
    )
    assert faults(data) == [
        "line 1, floor: not known; known are format, version, name, rows, places, seat_types, seats.",
        "line 1, rows: a whole number from 1 to 2147483647 is needed, not 0.",
        "line 4, seats[2].colour: not known; known are section, row, row_label, place, place_label, type, x, y, width,"
        " height, rotation.",
        "line 8, seats[6]: an object is needed, not 7.",
        "line 4, seats[2].row: a whole number from 1 to 2147483647 is needed, not 0.",
        'line 4, seats[2].place: a whole number from 1 to 2147483647 is needed, not "x".',
        "line 4, seats[2].width: a number above 0 and up to 10000 is needed, not 0.",
        "line 4, seats[2].rotation: a number from -360 to 360 is needed, not 361.",
        "line 5, seats[3].row: missing.",
        "line 6, seats[4].type: a text of 1 to 200 characters, without control characters or blanks at an end, is"
        ' needed, not "".',
        "line 3, seats[1]: the same section, row and place as line 2, seats[0].",
        "line 7, seats[5]: read by people, the same section, row and place as line 2, seats[0].",
    ]


def test_many_faults_are_counted() -> None:
    """The first twenty are named."""
    said = faults(native(*[{"row": 0, "place": 1}] * 50))
    assert len(said) == MAX_SHOWN + 1
    assert said[-1] == "and 30 more."


@pytest.mark.parametrize("value", [True, 1.0, 2**31, 2**70, None, [1], "1"])
def test_a_row_is_a_whole_number(value: object) -> None:
    """Of PostgreSQL's integers, written as one."""
    (said,) = faults(native({"row": value, "place": 1}))
    assert said.startswith("line 2, seats[0].row: ")


@pytest.mark.parametrize("text", ["", " A", "A ", "A\n", "\x01A", "A\tB", "x" * 33, 5, ["A"]])
def test_a_label_is_a_short_text(text: object) -> None:
    """Without blanks at an end, which nobody sees, and without control characters."""
    (said,) = faults(native({"row": 1, "place": 1, "row_label": text}))
    assert said.startswith("line 2, seats[0].row_label: a text of 1 to 32 characters")


def test_listed_types_are_all_there_are() -> None:
    """A type that is written wrong is found, where the plan lists its types."""
    (said,) = faults(native({**SEAT, "type": "Vip"}, seat_types=["VIP"]))
    assert said == 'line 2, seats[0].type: "Vip" is not among the seat types.'
    assert faults(native(SEAT, seat_types="VIP")) == ["line 1, seat_types: a list of names is needed."]
    assert read(native({**SEAT, "type": "VIP"}, seat_types=["VIP", "Standard"]), "plan").seat_types == ["VIP"]


def test_another_version_is_refused_alone() -> None:
    """What its fields mean is not known."""
    for version in (b"2", b"true", b'"1"', b"null"):
        data = native(SEAT, floor=1).replace(b'"version": 1', b'"version": ' + version)
        assert faults(data) == [f"line 1, version: the version 1 is needed, not {version.decode()}."]


def test_a_hall_has_seats_and_not_too_many() -> None:
    """The limit is the table's."""
    assert faults(native()) == ["It has no seats."]
    lines = "\n".join(f"1,{place}" for place in range(1, MAX_SEATS + 2))
    assert faults(f"row,place\n{lines}".encode()) == ["It has 50,001 seats, and a hall has at most 50,000."]
    assert len(read(f"row,place\n{lines.rpartition(chr(10))[0]}".encode(), "plan").seats) == MAX_SEATS


def test_faults_behind_deep_nesting_have_no_line() -> None:
    """The path is enough."""
    deep = json.loads("[" * 900 + "]" * 900)
    (said,) = [line for line in faults(native({"q": deep, **SEAT}, {"row": 1})) if line.endswith("missing.")]
    assert said in {"line 3, seats[1].place: missing.", "seats[1].place: missing."}


def test_a_plan_is_written_for_people_to_compare() -> None:
    """One seat a line, by section, row and place, without what is the default, numbers always alike."""
    seats = [
        Seat(row=2, place=1, x=-0.0, y=44.0),
        Seat(section="Rang", row=1, row_label="Ä", place=1, type="VIP", x=0.5, y=0, width=48),
        Seat(row=1, place=1, x=0, y=0),
    ]
    assert WRITERS["json"](Plan(name="Salon", rows=2, places=1, seats=seats)).splitlines() == [
        "{",
        '  "format": "seatsync.plan",',
        '  "version": 1,',
        '  "name": "Salon",',
        '  "rows": 2,',
        '  "places": 1,',
        '  "seat_types": ["Standard", "VIP"],',
        '  "seats": [',
        '    {"row": 1, "place": 1, "type": "Standard", "x": 0, "y": 0},',
        '    {"row": 2, "place": 1, "type": "Standard", "x": 0, "y": 44},',
        '    {"section": "Rang", "row": 1, "row_label": "Ä", "place": 1, "type": "VIP", "x": 0.5, "y": 0, "width": 48}',
        "  ]",
        "}",
    ]


def test_sections_stand_behind_each_other_on_the_grid() -> None:
    """Seats without x or y do not overlap, whether the rows of each section begin at 1 or go on."""
    for first in (1, 4):
        rows = [("Stalls", 1), ("Stalls", 3), ("Balcony", first), ("Balcony", first + 1)]
        plan = read(native(*({"section": section, "row": row, "place": 2} for section, row in rows)), "plan")
        assert [(seat.x, seat.y) for seat in plan.seats] == [(40, 0), (40, 80), (40, 160), (40, 200)]
