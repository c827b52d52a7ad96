"""What a subscriber sees of a hall: the merge of all it was sent, shared by those who were sent the same.

A `View` never changes. A frame leads from one view to the next, and that `Step` is found out once: who stands at the
same view and is sent the same bytes makes the same step. So a thousand subscribers are all verified to the last byte
for little more than the price of comparing those bytes.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field, frozen

Seat = tuple[str, str, str | None]
"""Status, time of the last change, note."""

Counts = tuple[int, ...]
"""Of a seat type: all its seats, and those in each of `STATUSES`."""

STATUSES = ("VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE")

_VIEWS = 256
"""Views that remember where they lead, at most."""

_SEATS = 2_000_000
"""Seats in all of those views together, about: each has a dictionary of its own."""

_SNAPSHOTS = 4


@define(eq=False)
class View:
    """A hall at a revision."""

    epoch: str
    rev: int
    seats: Mapping[int, Seat] = field(repr=False)
    counts: Mapping[int, Counts] = field(repr=False)
    steps: dict[bytes, "Step"] = field(factory=dict, repr=False)
    """Where a frame leads from here, by the frame's bytes."""

    def same_as(self, other: "View") -> bool:
        """Whether both show the same hall."""
        return self is other or (self.seats == other.seats and self.counts == other.counts)

    def difference(self, other: "View") -> str:
        """The first difference from another view, in words."""
        for what, mine, others in (("seat", self.seats, other.seats), ("seat type", self.counts, other.counts)):
            for key in sorted({*mine, *others}):
                if mine.get(key) != others.get(key):
                    return f"{what} {key} is {_words(mine.get(key))}, not {_words(others.get(key))}"
        return "there is none"


@define(eq=False)
class Step:
    """From one view to the next by one frame."""

    origin: View
    to: View
    first: int
    """The frame is the revisions from this one to that of `to`."""
    frame_bytes: int
    received: list[float] = field(factory=list)
    """When subscribers received it, on `time.monotonic`, since this was last looked at."""

    @property
    def is_over(self) -> bool:
        """Nobody will make it any more, and everybody who did is accounted for."""
        return not self.received and not self.origin.steps


NOWHERE = View("", -1, {}, {})
"""Where a subscriber stands before its first snapshot."""


@frozen
class Change:
    """An update's content: the revisions `first` to `rev` and what they changed."""

    first: int
    rev: int
    seats: Mapping[int, Seat]
    counts: Mapping[int, Counts]


def read_seats(seats: Iterable[Mapping[str, Any]]) -> dict[int, Seat]:
    """The seats of a snapshot or update, by id; raises `KeyError` and `TypeError` for what are none."""
    return {seat["id"]: (seat["status"], seat["updated_at"], seat["note"]) for seat in seats}


def read_counts(seat_types: Iterable[Mapping[str, Any]]) -> dict[int, Counts]:
    """The seat types of a snapshot or update, by id; raises as `read_seats`."""
    return {
        seat_type["id"]: (seat_type["seats_count"], *(seat_type["seats"][status] for status in STATUSES))
        for seat_type in seat_types
    }


def read_view(data: Mapping[str, Any]) -> View:
    """The view that a snapshot shows; raises as `read_seats`."""
    return View(data["epoch"], data["rev"], read_seats(data["seats"]), read_counts(data["seat_types"]))


def read_change(data: Mapping[str, Any]) -> Change:
    """What an update says; raises as `read_seats`."""
    rev = data["rev"]
    return Change(data.get("from", rev), rev, read_seats(data["seats"]), read_counts(data["seat_types"]))


class Album:
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

    def keep(self, view: View) -> View:
        """The view that is known for its revision and shows the same; else this one, known from now on."""
        known = self._by_rev.get((view.epoch, view.rev))
        if known is not None and known.same_as(view):
            return known
        if known is None:
            self._by_rev[view.epoch, view.rev] = view
            self._recent.append(view)
            self._forget_old(max(4, min(_VIEWS, _SEATS // max(1, len(view.seats)))))
        return view

    def _forget_old(self, kept: int) -> None:
        while len(self._recent) > kept:
            old = self._recent.popleft()
            old.steps.clear()  # or a client that stands still would keep every later view alive
            del self._by_rev[old.epoch, old.rev]

    def snapshot(self, data: bytes) -> View | None:
        """The view of a snapshot with exactly these bytes, if it came lately."""
        return next((view for known, view in self._snapshots if known == data), None)

    def keep_snapshot(self, data: bytes, view: View) -> None:
        """Know these bytes again."""
        self._snapshots.append((data, view))

    def merge(self, view: View, change: Change) -> View:
        """What a client sees that merges lists by id, as existing clients do. Not kept."""
        rev = max(view.rev, change.rev)
        return View(view.epoch, rev, {**view.seats, **change.seats}, {**view.counts, **change.counts})


def _words(state: Seat | Counts | None) -> str:
    return "absent" if state is None else "/".join("no note" if part is None else str(part) for part in state)
