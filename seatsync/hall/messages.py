"""The data of the methods ``hall.*``: parameters, validated when structured, and what is sent."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from attrs import Attribute, field, frozen

from seatsync import errors
from seatsync.core.protocol.params import Id
from seatsync.core.protocol.wire import OPTIONAL, REQUIRED, Count, Keywords, Timestamp, needs, rule, sent

#: Seats of one bulk change, at most.
MAX_SEATS = 1000

MAX_NOTE_CHARACTERS = 200

#: The longest hold: a day.
MAX_HOLD_S = 86_400

#: Events on one page of a history, at most, and unless the client says how many.
MAX_EVENTS = 500
EVENTS = 100

STATUSES = ("VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE")

EVENT_KINDS = ("status", "note", "hold", "expired", "layout")

_MAX_REV = 2**63 - 1

_STATUS: dict[str, Any] = {"title": "SeatStatus", "enum": STATUSES}


def _upper(value: str | None) -> str | None:
    return None if value is None else value.upper()


_check_status = needs(STATUSES.__contains__, f"one of {', '.join(STATUSES)} is needed.", **_STATUS)

_check_note = needs(
    lambda note: len(note) <= MAX_NOTE_CHARACTERS and "\0" not in note,
    f"at most {MAX_NOTE_CHARACTERS} characters, and no NUL, are allowed.",
    maxLength=MAX_NOTE_CHARACTERS,
    pattern=r"^[^\0]*$",
)


@rule(minimum=1, maximum=MAX_HOLD_S)
def _check_hold(change: Any, _: "Attribute[Any]", value: int | None) -> None:
    if value is None:
        return
    if not 1 <= value <= MAX_HOLD_S:
        raise errors.ValidationError(f"hold_s: 1 to {MAX_HOLD_S} seconds are needed.")
    if change.status != "RESERVED":
        raise errors.ValidationError("hold_s: only a RESERVED seat can be held.")


_check_since = needs(lambda rev: 0 <= rev <= _MAX_REV, "a revision is needed.", minimum=0, maximum=_MAX_REV)

_check_limit = needs(
    lambda limit: 1 <= limit <= MAX_EVENTS, f"1 to {MAX_EVENTS} events are needed.", minimum=1, maximum=MAX_EVENTS
)

_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_check_cursor = needs(_CURSOR.fullmatch, "that of the page before is needed.", pattern=f"^{_CURSOR.pattern}$")


@frozen
class HallId:
    """``hall.get``."""

    id: Id | None = field(default=None, metadata=REQUIRED)


@frozen
class SubscribeHall(HallId):
    """``hall.subscribe``: with ``since`` and its ``epoch``, only the changes after that revision."""

    since: int | None = field(default=None, validator=_check_since)
    epoch: str | None = None


@frozen
class SeatChange:
    """The change of one seat."""

    seat_id: Id
    status: str = field(converter=_upper, validator=_check_status)
    expected: str | None = field(default=None, converter=_upper, validator=_check_status)
    """Change it only if this is its status now."""
    note: str | None = field(default=None, validator=_check_note)
    """`null` keeps the note, `""` removes it."""
    hold_s: int | None = field(default=None, validator=_check_hold)
    """With RESERVED alone: it becomes VACANT by itself after so many seconds."""


@frozen
class UpdateSeatStatus(SeatChange):
    """``hall.update_seat_status``."""

    hall_id: Id | None = field(default=None, kw_only=True, metadata=REQUIRED)
    key: UUID | None = field(default=None, kw_only=True)

    @property
    def seats(self) -> list[SeatChange]:
        """The one change, as `UpdateSeats` has it."""
        return [self]


@frozen
class UpdateSeats:
    """``hall.update_seats``: all of them, or none."""

    hall_id: Id | None = field(default=None, kw_only=True, metadata=REQUIRED)
    seats: list[SeatChange] = field(kw_only=True)
    key: UUID | None = field(default=None, kw_only=True)

    @seats.validator
    @rule(minItems=1, maxItems=MAX_SEATS)
    def _check_seats(self, _: "Attribute[Any]", seats: list[SeatChange]) -> None:
        if not 1 <= len(seats) <= MAX_SEATS:
            raise errors.ValidationError(f"seats: 1 to {MAX_SEATS} seats are needed.")
        if len({seat.seat_id for seat in seats}) < len(seats):
            raise errors.ValidationError("seats: a seat may be named only once.")


@frozen
class HallHistory(HallId):
    """``hall.history``: one page of the changes of a hall, or of one seat in it."""

    seat_id: Id | None = None
    cursor: str | None = field(default=None, validator=_check_cursor)
    """That of the page before; without, the first page."""
    limit: int = field(default=EVENTS, validator=_check_limit)

    @property
    def before(self) -> tuple[int, int]:
        """The revision and the seat that the page before ended with."""
        found = None if self.cursor is None else _CURSOR.fullmatch(self.cursor)
        return (_MAX_REV, 0) if found is None else (int(found[1]), int(found[2]))


_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")


_TIME_NEEDED = "a time in ISO 8601, with its zone, is needed."

check_time = needs(_TIME.fullmatch, _TIME_NEEDED, pattern=f"^{_TIME.pattern}$")


def instant(name: str, value: str) -> datetime:
    """The time of a parameter; raises `ValidationError` for one that there is not."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise errors.ValidationError(f"{name}: {_TIME_NEEDED}") from None


@frozen
class HallAt(HallId):
    """``hall.at``: the hall at a time, or at a revision of its epoch."""

    at: str | None = field(default=None, validator=check_time)
    """ISO 8601, with its zone."""
    rev: int | None = field(default=None, validator=_check_since)

    @property
    def moment(self) -> tuple[datetime | None, int | None]:
        """The time or the revision, whichever is given; raises `ValidationError` for both and for none."""
        if (self.at is None) == (self.rev is None):
            raise errors.ValidationError("at: either a time or a rev is needed.")
        return None if self.at is None else instant("at", self.at), self.rev


def required(hall_id: Id | None) -> Id:
    """The id of a hall; raises `RequiredHallId` where none was given."""
    if hall_id is None:
        raise errors.RequiredHallId
    return hall_id


# What is sent: PostgreSQL makes it, and `seatsync.core.channels.documents` adds to it.

SeatStatus = Annotated[str, Keywords(**_STATUS)]
Rev = Annotated[int, Keywords(minimum=0, maximum=_MAX_REV)]


@sent
class SeatCounts:
    """The number of seats in each status."""

    VACANT: Count
    RESERVED: Count
    OCCUPIED: Count
    MAINTENANCE: Count


@sent
class SeatTypeName:
    """The type of one seat."""

    id: Id
    name: str


@sent
class SeatTypeCounts:
    """The counts of one type of seat in a hall."""

    id: Id
    seats_count: Count
    """How many seats there are of it."""
    seats: SeatCounts


@sent
class SeatType(SeatTypeCounts):
    """A type of seat in a hall."""

    name: str


@sent
class SeatState:
    """The state of a seat: all that changes without its layout."""

    id: Id
    status: SeatStatus
    updated_at: Timestamp
    note: str | None
    """The reason for maintenance."""
    hold_until: Timestamp | None
    """When it becomes VACANT by itself."""


@sent
class Seat(SeatState):
    """A seat with its place in the plan of its hall."""

    section: str | None
    """The part of the hall that the row is in; null where it has no parts."""
    row: int
    """For the order of rows; people read the label."""
    row_label: str
    """The number where nothing else was given."""
    place: int
    """For the order in the row; people read the label."""
    place_label: str
    """The number where nothing else was given."""
    x: float
    y: float
    width: float
    height: float
    rotation: float
    """In degrees."""
    seat_type: SeatTypeName


@sent
class Hall:
    """A hall with its seats, at one revision."""

    id: Id
    cinema_id: Id
    name: str
    rows: Annotated[int, Keywords(minimum=1)]
    places: Annotated[int, Keywords(minimum=1)]
    """Of the longest row."""
    created_at: Timestamp
    rev: Rev
    epoch: str
    """The series that `rev` belongs to: revisions of different epochs do not compare."""
    seats: list[Seat]
    """Ordered by section, row and place; those without a section come last."""
    seat_types: list[SeatType]
    """Ordered by id."""
    stale: Literal[True] = OPTIONAL
    """The hall may be older than what is committed."""


@sent
class HallThen(Hall):
    """A hall as it was at a revision: its seats, their places in the plan, and the names of then."""

    at: Timestamp
    """The time that was asked for, or that of the revision."""


@sent
class HallUpdate:
    """The changes of a hall: merge both lists by id."""

    id: Id
    from_: Rev = OPTIONAL
    """The first of several revisions that are merged, or of those missed."""
    rev: Rev
    """The last one."""
    seats: list[SeatState]
    seat_types: list[SeatTypeCounts]
    """Those of the changed seats."""
    resumed: Literal[True] = OPTIONAL
    """This is all that was missed since the revision that was asked for."""
    stale: Literal[True] = OPTIONAL
    """The hall may be older than what is committed."""


@sent
class HallStale:
    """The hall may have become older than what is committed (`stale`), or be current again."""

    id: Id
    stale: bool


@sent
class HallWritten:
    """The seats of a write that has committed."""

    id: Id
    rev: Rev
    seats: list[SeatState]


@sent
class SeatEvent:
    """One change in the history of a hall."""

    rev: Rev
    at: Timestamp
    """When it was made. Order by `rev`: times of changes that wait for each other overtake."""
    kind: Annotated[str, Keywords(title="SeatEventKind", enum=EVENT_KINDS)]
    seat_id: Id | None
    """`null` for a change of the hall itself, or of a seat type."""
    old_status: SeatStatus | None
    new_status: SeatStatus | None
    note: str | None
    """The note from then on."""
    hold_until: Timestamp | None
    """The end of the hold from then on."""
    by: str | None
    """The user, `null` for SQL."""


@sent
class HallEvents:
    """A page of the history of a hall."""

    id: Id
    events: list[SeatEvent]
    """The newest revision first."""
    cursor: str | None
    """For the next page; `null` on the last."""
