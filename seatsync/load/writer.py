"""A client that changes seats, each change under an idempotency key, and sends it again until it is answered."""

from collections import deque
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

from attrs import define, field

from seatsync.load.client import RETRY_S, RETRYABLE, Client, Hall, request
from seatsync.load.schedule import Pace
from seatsync.load.stats import Count, Kind, Timing

#: The next status after each. Sales: reserved, paid, and free again, which the protocol allows to every writer.
SALES = {"VACANT": "RESERVED", "RESERVED": "OCCUPIED", "OCCUPIED": "VACANT", "MAINTENANCE": "VACANT"}

#: Assumed after a change was refused: the next change of the seat makes it VACANT, which is allowed from any status.
UNKNOWN = "OCCUPIED"

#: Errors that a concurrent change of the same seat explains.
_CONFLICT = frozenset({"SeatConflict", "SeatOccupied", "SeatReserved"})

#: Errors after which a writer stops: its user may not change seats.
_NOT_ALLOWED = frozenset({"Unauthorized", "Forbidden", "TokenInvalid", "TokenExpired", "SessionExpired"})


@define(eq=False)
class Seat:
    """One seat, with its status as this writer last knew it."""

    id: int
    status: str


def take(seats: deque[Seat], count: int) -> list[Seat]:
    """Take the longest unchanged seats out; none when there are fewer."""
    return [seats.popleft() for _ in range(count)] if len(seats) >= count else []


@define(eq=False)
class _Change:
    """A change in flight, from when it was due to its reply, over as many connections as that takes."""

    eid: str
    due_at: float
    seats: list[Seat]
    statuses: list[str]
    """The new status of each seat."""
    type: str
    data: dict[str, Any]
    sent: int = 0
    """How often."""


@define(eq=False, slots=False, kw_only=True)
class Writer(Client):
    """Changes its seats: on a schedule, or as fast as replies come when it has none.

    A scheduled change that has to wait for room in the pipeline counts from when it was due.
    """

    hall: Hall
    seats: deque[Seat]
    """Those without a change in flight, the longest unchanged first."""
    _pace: Pace | None = field(default=None, init=False)
    _due: deque[float] = field(factory=deque, init=False)
    _in_flight: dict[str, _Change] = field(factory=dict, init=False)
    _number: int = field(default=0, init=False)
    _is_started: bool = field(default=False, init=False)

    @property
    def is_quiet(self) -> bool:
        """No change is in flight or due."""
        return not self._in_flight and not self._due

    def begin(self, at: float) -> None:
        """Start changing seats at that time."""
        plan = self.context.plan
        self._pace = Pace(plan.rate / plan.writers, at, rushes=plan.rushes) if plan.rate else None
        self.context.loop.at(at, self._begin)

    def _begin(self) -> None:
        self._is_started = True
        self._on_schedule() if self._pace else self._fill()

    def finish(self) -> None:
        """Start no more changes; those in flight or due are completed."""
        self._is_started = False

    def report_unanswered(self) -> None:
        """Report what is in flight or due as faults, at the end of the test."""
        if not self.is_quiet:
            text = f"had no answer to {len(self._in_flight)} changes, and {len(self._due)} were not sent"
            self.fault(Kind.UNANSWERED, text, len(self._in_flight) + len(self._due))

    # Sending

    def _on_schedule(self) -> None:
        pace = self._pace
        if pace is None or not self._is_started:
            return
        now = monotonic()
        for due_at in pace.due(now):
            self.context.stats.record(Timing.LAG, now - due_at)
            self._due.append(due_at)
        self._fill()
        self.context.loop.at(pace.next_at, self._on_schedule)

    def _fill(self) -> None:
        """Send what is due, as far as the pipeline has room; without a schedule a change is always due."""
        endless = self._is_started and self._pace is None
        plan = self.context.plan
        while self.is_open and len(self._in_flight) < plan.in_flight and (self._due or endless):
            seats = take(self.seats, plan.bulk)
            if not seats:
                return
            due_at = self._due.popleft() if self._due else monotonic()
            self._send_change(self._make_change(seats, due_at))

    def _make_change(self, seats: list[Seat], due_at: float) -> _Change:
        self._number += 1
        statuses = [SALES[seat.status] for seat in seats]
        items = [{"seat_id": seat.id, "status": status} for seat, status in zip(seats, statuses, strict=True)]
        data: dict[str, Any] = {"hall_id": self.hall.id, "key": str(uuid4())}
        if len(items) == 1:
            type_, data = "hall.update_seat_status", data | items[0]
        else:
            type_, data = "hall.update_seats", data | {"seats": items}
        return _Change(f"w{self._number}", due_at, seats, statuses, type_, data)

    def _send_change(self, change: _Change) -> None:
        self._in_flight[change.eid] = change
        change.sent += 1
        self.send(request(change.type, change.data, change.eid))

    def _send_again(self, change: _Change, sent: int) -> None:
        """Send a change again that is still in flight and was not sent more than ``sent`` times."""
        if self.is_open and change.eid in self._in_flight and change.sent == sent:
            self.context.stats.counts[Count.RESENT] += 1
            self._send_change(change)

    def opened(self, now: float) -> None:
        """Send again what is in flight; its keys keep the server from applying it twice."""
        super().opened(now)
        self.working(now)
        for change in list(self._in_flight.values()):
            self._send_again(change, change.sent)
        self._fill()

    # Replies

    def received(self, message: Mapping[str, Any], now: float) -> None:
        """A reply."""
        change = self._in_flight.get(message["eid"])
        if change is None:
            super().received(message, now)
        elif message["status"] == "success":
            self._succeeded(change, message["data"], now)
        else:
            self._failed(change, message["error"], message)
        self._fill()

    def _succeeded(self, change: _Change, data: Mapping[str, Any], now: float) -> None:
        rev, seats = data["rev"], data["seats"]
        answered = {seat["id"]: seat["status"] for seat in seats}
        wanted = {seat.id: status for seat, status in zip(change.seats, change.statuses, strict=True)}
        if answered != wanted:
            self.fault(Kind.PROTOCOL, f"requested {wanted} and was answered {answered}")
        stats = self.context.stats
        stats.record(Timing.ANSWER, now - change.due_at)
        stats.counts[Count.ANSWERED] += 1
        stats.counts[Count.SEATS] += len(seats)
        self.context.send_times.note(self.hall.number, rev, change.due_at)
        self.hall.acknowledged.add(rev, seats)
        self._complete(change, change.statuses)

    def _failed(self, change: _Change, code: str, message: Mapping[str, Any]) -> None:
        if code in RETRYABLE:
            if not self.context.plan.survive:
                self.fault(Kind.REFUSED, f"was answered {code}")
            again = partial(self._send_again, change, change.sent)  # unless a reconnect has done so by then
            self.context.loop.after(message.get("retry_after") or RETRY_S, again)
            return
        self._complete(change, [UNKNOWN] * len(change.seats))
        if code in _CONFLICT:
            self.context.stats.counts[Count.REFUSED] += 1
            return
        self.fault(Kind.REFUSED, f"was answered {code}: {message.get('message')}")
        if code in _NOT_ALLOWED:
            self.finish()
            self._due.clear()

    def _complete(self, change: _Change, statuses: list[str]) -> None:
        del self._in_flight[change.eid]
        for seat, status in zip(change.seats, statuses, strict=True):
            seat.status = status
        self.seats.extend(change.seats)
