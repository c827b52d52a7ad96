"""Plans as CSV, as a spreadsheet writes it: a line of column names, and a line for each seat."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import attrs

from seatsync.plan.draft import Draft, Entry
from seatsync.plan.faults import Faults, Path
from seatsync.plan.model import Plan, Seat
from seatsync.plan.native import SEAT as COLUMNS
from seatsync.plan.native import plain
from seatsync.plan.order import number
from seatsync.plan.rules import SEAT, shown

_REQUIRED = ("row", "place")

_DELIMITERS = ",;\t"
_DIRECTIVE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d{1,30}([.,]\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)


def read(text: str, faults: Faults) -> Draft:
    """Read the lines. Raises `PlanError` at once if they have no columns of seats."""
    delimiter = _delimiter(text)
    entries = list(_entries(_records(text, delimiter, faults), delimiter, faults))
    number(entries, "row", lambda entry: entry.values.get("section"))
    number(entries, "place", lambda entry: (entry.values.get("section"), entry.values.get("row")))
    return Draft(entries=entries)


def locate(path: Path) -> str:
    """The place of a fault, for a person: ``line 7, row``."""
    return ", ".join(f"line {step}" if isinstance(step, int) else step for step in path)


def _delimiter(text: str) -> str:
    """That of the first line: the one which leaves most names of columns."""
    if directive := _DIRECTIVE.match(text):
        return directive[1]
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=lambda one: len({_column(name) for name in first.split(one)}.intersection(COLUMNS)))


def _column(text: str) -> str:
    return re.sub(r"[\s-]+", "_", text.strip().strip('"').strip().lower())


def _records(text: str, delimiter: str, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, by their numbers; ends with a fault at what is no CSV."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped) and not (line == 1 and _DIRECTIVE.match(text)):
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as error:
        faults.add((line,), f"this is no CSV ({error})")


def _entries(records: Iterator[tuple[int, list[str]]], delimiter: str, faults: Faults) -> Iterator[Entry]:
    line, head = next(records, (1, []))
    columns = [_column(cell) for cell in head]
    for name in dict.fromkeys(columns):
        if name and (name not in COLUMNS or columns.count(name) > 1):
            fault = "there twice" if name in COLUMNS else f"not known; known are {', '.join(COLUMNS)}"
            faults.add((line,), f"the column {shown(name)} is {fault}")
    for name in _REQUIRED:
        if name not in columns:
            faults.add((line,), f"a line with the names of the columns is needed, and among them {name}")
    faults.check()
    for line, cells in records:
        if any(cells[len(columns) :]) or any(cell for name, cell in zip(columns, cells, strict=False) if not name):
            faults.add((line,), "there is a cell beside the columns")
        values = {name: _value(name, cell, delimiter) for name, cell in zip(columns, cells, strict=False) if name}
        yield Entry((line,), values)


def _value(name: str, cell: str, delimiter: str) -> Any:
    """The number that a column of numbers has there, else the text; ``None`` for an empty cell."""
    kind = SEAT[name].kind
    if not cell or kind is str or not _NUMBER.fullmatch(cell) or ("," in cell and delimiter == ","):
        return cell or None
    if kind is int:
        return int(cell) if cell.isdecimal() else cell
    return plain(float(cell.replace(",", ".")))


def write(plan: Plan) -> str:
    """The plan with the columns that it needs, in the order of `seatsync.plan.native`."""
    seats = sorted(plan.seats, key=lambda seat: (seat.section or "", seat.row, seat.place))
    defaults = {one.name: one.default for one in attrs.fields(Seat)}
    needed = {"row", "place", "type", "x", "y"} | {
        name for name in COLUMNS if any(getattr(seat, name) != defaults[name] for seat in seats)
    }
    columns = [name for name in COLUMNS if name in needed]
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([plain(getattr(seat, name)) for name in columns] for seat in seats)
    return target.getvalue()
