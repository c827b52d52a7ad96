"""The data that the methods ``cinemas.*`` send."""

from typing import Annotated

from seatsync.core.protocol.params import Id
from seatsync.core.protocol.wire import OPTIONAL, Count, Keywords, Timestamp, sent

Colour = Annotated[str, Keywords(description="#RRGGBB", pattern="^#[0-9A-Fa-f]{6}$")]


@sent
class SeatCounts:
    """The number of seats in each status."""

    VACANT: Count
    RESERVED: Count
    OCCUPIED: Count
    MAINTENANCE: Count


@sent
class CinemaHall:
    """A hall in the list of cinemas."""

    id: Id
    name: str
    rows: Annotated[int, Keywords(minimum=1)]
    places: Annotated[int, Keywords(minimum=1)]
    seats_count: SeatCounts


@sent
class Cinema:
    """A cinema with its halls."""

    id: Id
    name: str
    color: Colour
    created_at: Timestamp
    halls: list[CinemaHall]
    """Ordered by id."""


@sent
class HallChange:
    """The counts of a hall; the rest where it is new or renamed."""

    id: Id
    name: str = OPTIONAL
    rows: Annotated[int, Keywords(minimum=1)] = OPTIONAL
    places: Annotated[int, Keywords(minimum=1)] = OPTIONAL
    seats_count: SeatCounts


@sent
class CinemaUpdate:
    """The changes of a cinema: merge its halls by id."""

    id: Id
    name: str = OPTIONAL
    color: Colour = OPTIONAL
    created_at: Timestamp = OPTIONAL
    halls: list[HallChange]


@sent
class CinemasStale:
    """The list may have become older than what is committed (`stale`), or be current again."""

    stale: bool
