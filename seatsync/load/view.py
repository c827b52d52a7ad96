"""The state of a hall as a subscriber sees it, shared by the subscribers that received the same frames.

A `View` never changes. A frame leads from one view to the next, and each such `Step` is worked out once: another
subscriber at the same view that receives the same bytes makes the same step. So a thousand subscribers are verified to
the last byte for little more than the price of comparing those bytes.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field

Seat = tuple[str, str, str | None]
"""Status, time of the last change, note."""

Counts = tuple[int, ...]
"""Of a seat type: all its seats, and those in each of `STATUSES`."""

STATUSES = ("VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE")

#: At most: views with known steps; seats in all of them, for each has a dictionary of its own; recognised snapshots.
_VIEWS, _SEATS, _SNAPSHOTS = 256, 2_000_000, 4


@define(eq=False)
class View:
    """A hall at a revision."""

    epoch: str
    rev: int
    seats: Mapping[int, Seat] = field(repr=False)
    counts: Mapping[int, Counts] = field(repr=False)
    steps: dict[bytes, "Step"] = field(factory=dict, repr=False)
    """The step that each known frame makes from here, by the frame's bytes."""

    def same_as(self, other: "View") -> bool:
        """Both show the same hall."""
        return self is other or (self.seats == other.seats and self.counts == other.counts)

    def difference(self, other: "View") -> str:
        """The first difference from another view, as a phrase."""
        for what, mine, others in (("seat", self.seats, other.seats), ("seat type", self.counts, other.counts)):
            for key in sorted({*mine, *others}):
                if mine.get(key) != others.get(key):
                    return f"{what} {key} is {_phrase(mine.get(key))}, not {_phrase(others.get(key))}"
        return "there is none"


def _phrase(state: Seat | Counts | None) -> str:
    return "absent" if state is None else "/".join("no note" if part is None else str(part) for part in state)


@define(eq=False)
class Step:
    """From one view to the next by one frame."""

    origin: View
    to: View
    first: int
    """The first revision in the frame; the last is that of `to`."""
    frame_bytes: int
    received: list[float] = field(factory=list)
    """When subscribers received it, on `time.monotonic`, since this list was last counted and cleared."""

    @property
    def is_over(self) -> bool:
        """No subscriber can make it any more, and all that did are counted."""
        return not self.received and not self.origin.steps


NOWHERE = View("", -1, {}, {})
"""The view before the first snapshot."""


def _read_seats(seats: Iterable[Mapping[str, Any]]) -> dict[int, Seat]:
    return {seat["id"]: (seat["status"], seat["updated_at"], seat["note"]) for seat in seats}


def read_counts(seat_types: Iterable[Mapping[str, Any]]) -> dict[int, Counts]:
    """The seat types of a snapshot or update, by id; raises as `read_view`."""
    return {
        seat_type["id"]: (seat_type["seats_count"], *(seat_type["seats"][status] for status in STATUSES))
        for seat_type in seat_types
    }


def read_view(data: Mapping[str, Any]) -> View:
    """The view of a snapshot's data; raises `KeyError` and `TypeError` for other data."""
    return View(data["epoch"], data["rev"], _read_seats(data["seats"]), read_counts(data["seat_types"]))


def merge(view: View, update: Mapping[str, Any]) -> View:
    """The view after an update's data, with lists merged by id; raises as `read_view`."""
    seats, counts = _read_seats(update["seats"]), read_counts(update["seat_types"])
    return View(view.epoch, max(view.rev, update["rev"]), {**view.seats, **seats}, {**view.counts, **counts})


class Views:
    """The views of one hall that this process knows, the recent ones by revision."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        """Every step that may have been made lately."""
        self._recent: deque[View] = deque()
        self._by_rev: dict[tuple[str, int], View] = {}
        self._snapshots: deque[tuple[bytes, View]] = deque(maxlen=_SNAPSHOTS)

    def find(self, epoch: str, rev: int) -> View | None:
        """The view of that revision, while it is recent."""
        return self._by_rev.get((epoch, rev))

    def intern(self, view: View) -> View:
        """The known view of that revision if it shows the same; else this one, known from now on if it is the first."""
        known = self._by_rev.get((view.epoch, view.rev))
        if known is not None and known.same_as(view):
            return known
        if known is None:
            self._by_rev[view.epoch, view.rev] = view
            self._recent.append(view)
            self._evict(max(4, min(_VIEWS, _SEATS // max(1, len(view.seats)))))
        return view

    def _evict(self, kept: int) -> None:
        while len(self._recent) > kept:
            old = self._recent.popleft()
            old.steps.clear()  # or a subscriber that stays there would keep every later view alive
            del self._by_rev[old.epoch, old.rev]

    def find_snapshot(self, data: bytes) -> View | None:
        """The view of a recent snapshot of exactly these bytes."""
        return next((view for known, view in self._snapshots if known == data), None)

    def keep_snapshot(self, data: bytes, view: View) -> None:
        """Recognise these bytes from now on."""
        self._snapshots.append((data, view))


@define
class Acknowledged:
    """The newest acknowledged change of each seat of a hall, of those that this process has made."""

    rev: int = 0
    """The highest revision among the replies."""
    _by_seat: dict[int, tuple[int, str, str]] = field(factory=dict)
    """Revision, status and time of the change."""

    def __len__(self) -> int:
        return len(self._by_seat)

    def add(self, rev: int, seats: Sequence[Mapping[str, Any]]) -> None:
        """Add the seats of a reply; replies may come in any order."""
        self.rev = max(self.rev, rev)
        for seat in seats:
            if self._by_seat.get(seat["id"], (0,))[0] <= rev:
                self._by_seat[seat["id"]] = (rev, seat["status"], seat["updated_at"])

    def take_lost(self, view: View) -> list[str]:
        """Take everything out; a sentence for each seat that is not as acknowledged and was not changed since then.

        Times are the database's, in ISO 8601, so they compare as text.
        """
        found: list[str] = []
        for seat_id, (rev, *acknowledged) in self._by_seat.items():
            status, updated_at = view.seats.get(seat_id, ("absent", ""))[:2]
            if [status, updated_at] != acknowledged and updated_at <= acknowledged[1]:
                found.append(
                    f"Seat {seat_id} was acknowledged as {' at '.join(acknowledged)} (revision {rev}) but is {status}"
                    f" since {updated_at or 'never'}."
                )
        self._by_seat.clear()
        return found
