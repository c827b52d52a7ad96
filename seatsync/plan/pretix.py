"""Seating plans of pretix: zones with rows of seats, which are circles."""

from collections.abc import Iterator
from typing import Any

from attrs import define

from seatsync.plan.draft import Draft, Entry
from seatsync.plan.faults import Faults, Path
from seatsync.plan.model import DEFAULT_TYPE
from seatsync.plan.order import number
from seatsync.plan.rules import PLAN, SEAT, shown

#: Of a seat, where it has none.
_RADIUS = 10


def read(document: dict[str, Any], faults: Faults) -> Draft:
    """Read the document: zones are sections, categories are types. Areas and colours are left out."""
    reader = _Reader(faults)
    entries = list(reader.entries(document))
    number(entries, "row", lambda entry: entry.values.get("section"))
    number(entries, "place", lambda entry: (entry.values.get("section"), entry.values.get("row")))
    name = document.get("name")
    if name and (refusal := PLAN["name"].refusal(name)):
        faults.add(("name",), refusal)
        name = None
    return Draft(name=name or None, entries=entries)


@define
class _Reader:
    _faults: Faults

    def entries(self, document: dict[str, Any]) -> Iterator[Entry]:
        """The seats of all zones."""
        for zone_path, zone in self._objects((), document, "zones"):
            section = self._text(zone_path, zone, "name", "section")
            zone_x, zone_y = self._position(zone_path, zone)
            for row_path, row in self._objects(zone_path, zone, "rows"):
                label = self._text(row_path, row, "row_number", "row_label", needed=True)
                row_x, row_y = self._position(row_path, row)
                for path, seat in self._objects(row_path, row, "seats"):
                    values = self._seat(path, seat, zone_x + row_x, zone_y + row_y)
                    if label is not None and values["place"] is not None:
                        yield Entry(path, {"section": section, "row": label, **values})

    def _seat(self, path: Path, seat: dict[str, Any], x: float, y: float) -> dict[str, Any]:
        """Its circle as a square around the same middle."""
        radius = self._number(path, seat, "radius", _RADIUS)
        seat_x, seat_y = self._position(path, seat)
        return {
            "place": self._text(path, seat, "seat_number", "place_label", needed=True),
            "type": self._text(path, seat, "category", "type") or DEFAULT_TYPE,
            "x": x + seat_x - radius,
            "y": y + seat_y - radius,
            "width": 2 * radius,
            "height": 2 * radius,
        }

    def _objects(self, path: Path, parent: dict[str, Any], key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The objects of a list; anything else is a fault."""
        found = parent.get(key)
        if not isinstance(found, list):
            self._faults.add((*path, key), f"a list is needed, not {shown(found)}")
            return
        for index, one in enumerate(found):
            if isinstance(one, dict):
                yield (*path, key, index), one
            else:
                self._faults.add((*path, key, index), f"an object is needed, not {shown(one)}")

    def _text(self, path: Path, of: dict[str, Any], key: str, field: str, *, needed: bool = False) -> str | None:
        """A text that a seat may have in that field; ``None`` where it is missing or refused."""
        value = of.get(key)
        text = value.strip() if isinstance(value, str) else str(value) if type(value) is int else value
        if text is None or text == "":
            if needed:
                self._faults.add((*path, key), "missing")
            return None
        if refusal := SEAT[field].refusal(text):
            self._faults.add((*path, key), refusal)
            return None
        return str(text)

    def _position(self, path: Path, of: dict[str, Any]) -> tuple[float, float]:
        position = of.get("position")
        if position is None:
            return 0, 0
        if not isinstance(position, dict):
            self._faults.add((*path, "position"), f"an object is needed, not {shown(position)}")
            return 0, 0
        at = (*path, "position")
        return self._number(at, position, "x", 0), self._number(at, position, "y", 0)

    def _number(self, path: Path, of: dict[str, Any], key: str, default: float) -> float:
        value = of.get(key, default)
        rule = SEAT["width" if key == "radius" else key]
        if refusal := rule.refusal(value):
            self._faults.add((*path, key), refusal)
            return default
        return float(value)
