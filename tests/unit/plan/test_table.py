"""Plans as CSV: what spreadsheets write."""

import pytest

from seatsync.plan.faults import PlanError
from seatsync.plan.files import WRITERS, read
from seatsync.plan.model import Plan, Seat


def seats(text: str) -> list[Seat]:
    """The seats of a file."""
    return read(text.encode(), "plan.csv").seats


def faults(text: str) -> list[str]:
    """What is said of a file, without the line that counts."""
    with pytest.raises(PlanError) as failed:
        seats(text)
    return str(failed.value).splitlines()[1:]


@pytest.mark.parametrize(
    "text",
    [
        "section,row,place,x,y,type\nBalcony,1,2,40.5,80,VIP\n",
        "\ufeffSection;Row;Place;X;Y;Type\r\nBalcony;1;2;40,5;80;VIP\r\n",
        "section\trow\tplace\tx\ty\ttype\nBalcony\t1\t2\t40,5\t80\tVIP",
        'sep=;\r\ntype;"y";"x";place;row;section\r\n" VIP ";80;40.5;2;1;Balcony\r\n;;;;;\r\n',
        "section,row,place,x,y,type,,\n\nBalcony,1,2,4.05e1,80,VIP,,\n,,,,,,,\n",
    ],
)
def test_what_spreadsheets_write(text: str) -> None:
    """Commas, semicolons or tabs; decimal commas where they are free; blank lines and columns at the end."""
    assert seats(text) == [Seat(section="Balcony", row=1, place=2, type="VIP", x=40.5, y=80.0)]


def test_row_and_place_are_enough() -> None:
    """The rest has the defaults of the tables."""
    assert seats("Place,ROW\n3,2") == [Seat(row=2, place=3, type="Standard", x=80, y=40)]


def test_names_of_rows_and_places_become_labels() -> None:
    """Where a row or a place is no number, those of its section or row are numbered in their order."""
    found = seats("section,row,place\n,B,1\n,B,2\n,A,12\n,A,12a\n,A,14\nBalcony,2,1\n")
    assert [(seat.row, seat.row_label, seat.place, seat.place_label) for seat in found] == [
        (1, "B", 1, None),
        (1, "B", 2, None),
        (2, "A", 1, "12"),
        (2, "A", 2, "12a"),
        (2, "A", 3, "14"),
        (2, None, 1, None),
    ]


def test_beside_labels_rows_are_numbers() -> None:
    """A name beside a label would be one too many."""
    assert faults("row,row_label,place\nA,AA,1") == [
        'line 2, row: a whole number from 1 to 2147483647 is needed, not "A".'
    ]


def test_faults_have_their_lines() -> None:
    """Cells with line ends count as many lines as they have."""
    text = 'row,place,x,note\n1,1,0,"a\nb"\n'
    assert faults(text)[0].startswith('line 1: the column "note" is not known; known are section, row,')
    text = 'row,place,type,x\n1,1,"a\nb",1\n1,,,\n1,2,,1e999\n1,3,,nan\n1,4,,1,5\n\n1,4,,\n'
    assert faults(text) == [
        "line 7: there is a cell beside the columns.",
        "line 2, type: a text of 1 to 200 characters, without control characters or blanks at an end, is needed,"
        ' not "a\\nb".',
        "line 4, place: missing.",
        "line 5, x: a number from -1000000 to 1000000 is needed, not Infinity.",
        'line 6, x: a number from -1000000 to 1000000 is needed, not "nan".',
        "line 9: the same section, row and place as line 7.",
    ]
    assert faults("row,place,width\n1,1,0") == ["line 2, width: a number above 0 and up to 10000 is needed, not 0."]


def test_a_first_line_without_names_is_named() -> None:
    """A plan without a header is the usual mistake."""
    said = faults("1,1\n1,2")
    assert "line 1: a line with the names of the columns is needed, and among them row." in said
    assert faults("row,place,row\n1,1,1") == ['line 1: the column "row" is there twice.']


def test_quotes_that_do_not_end() -> None:
    """The rest of the file is not guessed at."""
    assert faults('row,place\n1,1\n1,"2') == ["line 3: this is no CSV (unexpected end of data)."]


def test_only_columns_that_are_needed_are_written() -> None:
    """By section, row and place."""
    plan = Plan(rows=1, places=2, seats=[Seat(row=1, place=2, x=0.5, y=1), Seat(row=1, place=1, x=0, y=0, height=40)])
    assert WRITERS["csv"](plan) == "row,place,type,x,y,height\n1,1,Standard,0,0,40\n1,2,Standard,0.5,1,32\n"
