"""The parameters of the methods ``hall.*``."""

from typing import Any
from uuid import UUID

from attrs import Attribute, field, frozen

from seatsync import errors
from seatsync.core.protocol.params import Id

#: Seats of one bulk change, at most.
MAX_SEATS = 1000

MAX_NOTE_CHARACTERS = 200

STATUSES = ("VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE")

_MAX_REV = 2**63 - 1


def _upper(value: str | None) -> str | None:
    return None if value is None else value.upper()


def _check_status(_: Any, attribute: "Attribute[Any]", value: str | None) -> None:
    if value is not None and value not in STATUSES:
        raise errors.ValidationError(f"{attribute.name}: one of {', '.join(STATUSES)} is needed.")


def _check_note(_: Any, __: "Attribute[Any]", value: str | None) -> None:
    if value is not None and (len(value) > MAX_NOTE_CHARACTERS or "\0" in value):
        raise errors.ValidationError(f"note: at most {MAX_NOTE_CHARACTERS} characters, and no NUL, are allowed.")


def _check_since(_: Any, __: "Attribute[Any]", value: int | None) -> None:
    if value is not None and not 0 <= value <= _MAX_REV:
        raise errors.ValidationError("since: a revision is needed.")


@frozen
class HallId:
    """``hall.get``."""

    id: Id | None = None


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
    """``None`` keeps the note, ``""`` removes it."""


@frozen
class UpdateSeatStatus(SeatChange):
    """``hall.update_seat_status``."""

    hall_id: Id | None = field(default=None, kw_only=True)
    key: UUID | None = field(default=None, kw_only=True)

    @property
    def seats(self) -> list[SeatChange]:
        """The one change, as `UpdateSeats` has it."""
        return [self]


@frozen
class UpdateSeats:
    """``hall.update_seats``: all of them, or none."""

    hall_id: Id | None = field(default=None, kw_only=True)
    seats: list[SeatChange] = field(kw_only=True)
    key: UUID | None = field(default=None, kw_only=True)

    @seats.validator
    def _check_seats(self, _: "Attribute[Any]", seats: list[SeatChange]) -> None:
        if not 1 <= len(seats) <= MAX_SEATS:
            raise errors.ValidationError(f"seats: 1 to {MAX_SEATS} seats are needed.")
        if len({seat.seat_id for seat in seats}) < len(seats):
            raise errors.ValidationError("seats: a seat may be named only once.")
