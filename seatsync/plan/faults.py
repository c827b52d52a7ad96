"""The faults of a plan: all of them at once, up to a bound."""

from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field

from seatsync.errors import Failure
from seatsync.terminal import counted

#: More are counted only.
MAX_SHOWN = 20

#: Of a value: ``("seats", 14, "row")`` in JSON, ``(7, "row")`` for line and column of CSV; ``()`` is the file.
Path: TypeAlias = tuple[str | int, ...]


class PlanError(Failure):
    """A plan cannot be taken. The message has a line for each fault."""


@define
class Faults:
    """The faults of a file."""

    _name: str
    _locate: Callable[[Path], str]
    """Where that is, for a person; ``""`` for the file."""
    _lines: list[str] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)

    def add(self, path: Path, fault: str, *, other: Path = ()) -> None:
        """Note a fault. ``other`` is the path of what it is at odds with, which the fault names as ``{other}``."""
        self._count += 1
        if self._count <= MAX_SHOWN:
            place = self._locate(path)
            fault = fault.replace("{other}", self._locate(other)) if other else fault
            self._lines.append(f"{place}: {fault}." if place else f"{fault[0].upper()}{fault[1:]}.")

    def check(self) -> None:
        """Raise `PlanError` if there is any."""
        if self._count:
            more = self._count - MAX_SHOWN
            rest = [f"and {more} more."] if more > 0 else []
            raise PlanError("\n".join([f"{self._name} has {counted(self._count, 'fault')}.", *self._lines, *rest]))
