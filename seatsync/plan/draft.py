"""A file on its way to a plan: the same checks for every format."""

from collections.abc import Mapping
from typing import Any

from attrs import define, evolve, field

from seatsync.plan.faults import Faults, Path
from seatsync.plan.model import MAX_SEATS, PITCH, Plan, Seat
from seatsync.plan.rules import SEAT, shown


@define
class Entry:
    """A seat as a file has it."""

    path: Path
    values: Mapping[str, Any]
    """By the fields of a `Seat`, unchecked."""


@define
class Draft:
    """A plan as a file has it; of it only the seats are unchecked."""

    name: str | None = None
    rows: int | None = None
    places: int | None = None
    types: set[str] | None = None
    """The types that seats may have; ``None`` for any."""
    entries: list[Entry] = field(factory=list)

    def plan(self, faults: Faults) -> Plan:
        """The plan, complete. Raises `PlanError` if there are faults, earlier ones, too."""
        if len(self.entries) > MAX_SEATS:
            faults.add((), f"it has {len(self.entries):,} seats, and a hall has at most {MAX_SEATS:,}")
        seats = [(entry.path, seat) for entry in self.entries if (seat := self._seat(entry, faults)) is not None]
        _find_duplicates(seats, faults)
        faults.check()
        if not seats:
            faults.add((), "it has no seats")
            faults.check()
        complete = _on_grid([seat for _, seat in seats])
        return Plan(
            name=self.name,
            rows=self.rows or max(seat.row for seat in complete),
            places=self.places or max(seat.place for seat in complete),
            seat_types=list(dict.fromkeys(seat.type for seat in complete)),
            seats=complete,
        )

    def _seat(self, entry: Entry, faults: Faults) -> Seat | None:
        values: dict[str, Any] = {}
        complete = True
        for name, rule in SEAT.items():
            value = entry.values.get(name)
            if value is None:
                if name in {"row", "place"}:
                    faults.add((*entry.path, name), "missing")
                    complete = False
            elif refusal := rule.refusal(value):
                faults.add((*entry.path, name), refusal)
                complete = False
            else:
                values[name] = value
        if self.types is not None and (type_ := values.get("type", "Standard")) not in self.types:
            faults.add((*entry.path, "type"), f"{shown(type_)} is not among the seat types")
        return Seat(**values) if complete else None


def _find_duplicates(seats: list[tuple[Path, Seat]], faults: Faults) -> None:
    """Note the seats that another one before has the position of, or the name."""
    positions: dict[Any, Path] = {}
    names: dict[Any, Path] = {}
    for path, seat in seats:
        first = positions.setdefault(seat.position, path)
        namesake = names.setdefault(seat.name, path)
        if first is not path:
            faults.add(path, "the same section, row and place as {other}", other=first)
        elif namesake is not path:
            faults.add(path, "read by people, the same section, row and place as {other}", other=namesake)


def _on_grid(seats: list[Seat]) -> list[Seat]:
    """Every seat with an x and a y: those without stand on a grid, the sections one behind the other."""
    if all(seat.x is not None and seat.y is not None for seat in seats):
        return seats
    rows: dict[str | None, list[int]] = {}
    for seat in seats:
        rows.setdefault(seat.section, []).append(seat.row)
    origins, free = {}, None
    for section, numbers in rows.items():
        origins[section] = 1 if free is None else min(numbers) - free
        free = max(numbers) - origins[section] + 2
    return [
        evolve(
            seat,
            x=PITCH * (seat.place - 1) if seat.x is None else seat.x,
            y=PITCH * (seat.row - origins[seat.section]) if seat.y is None else seat.y,
        )
        for seat in seats
    ]
