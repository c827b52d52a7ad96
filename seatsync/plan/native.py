"""Plans in the JSON of Seats Sync."""

import json
from collections.abc import Iterator
from typing import Any

import attrs

from seatsync.plan.draft import Draft, Entry
from seatsync.plan.faults import Faults
from seatsync.plan.model import FORMAT, VERSION, Plan, Seat
from seatsync.plan.rules import PLAN, shown

_FIELDS = [one.name for one in attrs.fields(Plan)]
SEAT = [one.name for one in attrs.fields(Seat)]
"""The members of a seat, in their order."""
_DEFAULTS = {one.name: one.default for one in attrs.fields(Seat) if one.name != "type"}


def read(document: dict[str, Any], faults: Faults) -> Draft:
    """Read a document of this format."""
    if document.get("version") != VERSION or type(document.get("version")) is not int:
        faults.add(("version",), f"the version {VERSION} is needed, not {shown(document.get('version'))}")
        faults.check()
    for key in document.keys() - set(_FIELDS):
        faults.add((key,), f"not known; known are {', '.join(_FIELDS)}")
    draft = Draft(types=_types(document.get("seat_types"), faults))
    for name in ("name", "rows", "places"):
        value = document.get(name)
        if value is not None and (refusal := PLAN[name].refusal(value)):
            faults.add((name,), refusal)
        elif value is not None:
            setattr(draft, name, value)
    draft.entries = list(_entries(document.get("seats"), faults))
    return draft


def _types(listed: Any, faults: Faults) -> set[str] | None:
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        faults.add(("seat_types",), "a list of names is needed")
        return None
    return set(listed)


def _entries(seats: Any, faults: Faults) -> Iterator[Entry]:
    if not isinstance(seats, list):
        faults.add(("seats",), f"a list is needed, not {shown(seats)}")
        return
    for index, seat in enumerate(seats):
        path = ("seats", index)
        if isinstance(seat, dict):
            for key in seat.keys() - set(SEAT):
                faults.add((*path, key), f"not known; known are {', '.join(SEAT)}")
            yield Entry(path, seat)
        else:
            faults.add(path, f"an object is needed, not {shown(seat)}")


def write(plan: Plan) -> str:
    """The plan in this format, in an order of its own and one seat a line, so that two can be compared."""
    seats = sorted(plan.seats, key=lambda seat: (seat.section or "", seat.row, seat.place))
    head = {"format": FORMAT, "version": VERSION, "name": plan.name, "rows": plan.rows, "places": plan.places}
    head["seat_types"] = list(dict.fromkeys(seat.type for seat in seats))
    lines = [f"  {_json(key)}: {_json(value)}," for key, value in head.items() if value is not None]
    seat_lines = ",\n".join(f"    {_json(_members(seat))}" for seat in seats)
    return "\n".join(["{", *lines, '  "seats": [', seat_lines, "  ]", "}", ""])


def _members(seat: Seat) -> dict[str, Any]:
    """The members that are not the default."""
    values = {name: plain(getattr(seat, name)) for name in SEAT}
    return {name: value for name, value in values.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}


def plain(value: Any) -> Any:
    """A number without a point where it is whole, so that it is always written alike."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
