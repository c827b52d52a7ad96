"""A plan: the layout of a hall, without what happens on its seats."""

from typing import Annotated, Literal

from attrs import field, frozen

from seatsync.core.protocol.wire import REQUIRED, Keywords

FORMAT = "seatsync.plan"
VERSION = 1

#: As many as a hall has at most, which the database checks.
MAX_SEATS = 50_000

#: Of the page's grid, where a seat has no x or y of its own.
PITCH = 40

DEFAULT_TYPE = "Standard"

# No control characters, and no blanks at the ends.
_TEXT = r"^[^\s\x00-\x1f]([^\x00-\x1f]*[^\s\x00-\x1f])?$"

Number = Annotated[int, Keywords(minimum=1, maximum=2**31 - 1)]
Coordinate = Annotated[float, Keywords(minimum=-1_000_000, maximum=1_000_000)]
Size = Annotated[float, Keywords(exclusiveMinimum=0, maximum=10_000)]
Degrees = Annotated[float, Keywords(minimum=-360, maximum=360)]
Name = Annotated[str, Keywords(maxLength=200, pattern=_TEXT)]
Section = Annotated[str, Keywords(maxLength=100, pattern=_TEXT)]
Label = Annotated[str, Keywords(maxLength=32, pattern=_TEXT)]


@frozen(kw_only=True)
class Seat:
    """A seat of a plan. What is null is as if it were absent."""

    section: Section | None = None
    """The part of the hall, such as Balcony; absent in a hall without."""
    row: Number
    """Which row of its section, for the order."""
    row_label: Label | None = None
    """What people read for the row, such as AA; absent for the number."""
    place: Number
    """Which place of its row, for the order."""
    place_label: Label | None = None
    """What people read for the place, such as 12a; absent for the number."""
    type: Name = DEFAULT_TYPE
    """The name of its seat type."""
    x: Coordinate | None = None
    """Left edge; on a grid of 40 by the place when absent. It grows to the right."""
    y: Coordinate | None = None
    """Upper edge; on a grid of 40 by section and row when absent. It grows away from the screen."""
    width: Size = 32
    """From left to right."""
    height: Size = 32
    """From front to back."""
    rotation: Degrees = 0
    """Degrees clockwise around the middle of the seat."""

    @property
    def position(self) -> tuple[str | None, int, int]:
        """The position, which differs from seat to seat of a hall."""
        return self.section, self.row, self.place

    @property
    def name(self) -> tuple[str | None, str, str]:
        """The labels that people read, which differ from seat to seat, too."""
        return self.section, self.row_label or str(self.row), self.place_label or str(self.place)


@frozen(kw_only=True)
class Plan:
    """The layout of a hall of Seats Sync."""

    format: Literal["seatsync.plan"] = field(default="seatsync.plan", metadata=REQUIRED)
    """Which format this is."""
    version: Literal[1] = field(default=1, metadata=REQUIRED)
    """Of the format: the only one so far."""
    name: Name | None = None
    """The name of the hall."""
    rows: Number | None = None
    """How many rows the hall has; the greatest number of a row when absent."""
    places: Number | None = None
    """How many places its longest row has; the greatest number of a place when absent."""
    seat_types: list[Name] | None = None
    """The types of the seats; where they are listed, each seat has one of them."""
    seats: Annotated[list[Seat], Keywords(minItems=1, maxItems=MAX_SEATS)] = field(factory=list, metadata=REQUIRED)
    """The seats. No two have the same section, row and place, or the same as people read it."""
