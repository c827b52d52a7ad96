"""The seats that one writer changes, and what to."""

from collections import deque
from collections.abc import Iterable, Mapping

from attrs import define, field

SALES: Mapping[str, str] = {
    "VACANT": "RESERVED",
    "RESERVED": "OCCUPIED",
    "OCCUPIED": "VACANT",
    "MAINTENANCE": "VACANT",
}
"""Reserved, paid, and free again: every change is one that the protocol allows to anybody."""

MAINTENANCE: Mapping[str, str] = {
    "VACANT": "MAINTENANCE",
    "RESERVED": "MAINTENANCE",
    "OCCUPIED": "MAINTENANCE",
    "MAINTENANCE": "VACANT",
}
"""Taken out of service, and back."""

UNSURE = "OCCUPIED"
"""Taken for the status of a seat after a change to it was refused: the next change makes it VACANT, from any status."""


@define(eq=False)
class Place:
    """One seat."""

    id: int
    status: str
    """As this writer has last heard."""


@define
class Seats:
    """Seats that are not being changed just now, the one that rested longest first."""

    cycle: Mapping[str, str]
    """The next status after each."""
    _free: deque[Place] = field(factory=deque)

    def add(self, places: Iterable[Place]) -> None:
        """Put seats in, or back."""
        self._free.extend(places)

    def take(self, count: int) -> list[Place]:
        """That many different seats, or none when there are fewer."""
        return [self._free.popleft() for _ in range(count)] if len(self._free) >= count else []

    def __len__(self) -> int:
        return len(self._free)
