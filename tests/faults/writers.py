"""The writer of a drill: sends each write again, under the same key, until it is answered."""

from collections.abc import Iterator, Sequence
from itertools import chain, cycle, repeat
from time import monotonic
from uuid import uuid4

from attrs import define, field

from seatsync import jsontext
from seatsync.load.frames import HEARTBEAT
from tests.faults.clients import Link
from tests.faults.ledger import Answered

#: A write whose answer does not come is sent again after so many seconds; the wait counts as one for an answer.
_PATIENCE_S = 8.0

#: What a writer does over and over: whether to all of its seats or to one, and what they become.
_ROUND = ((True, "RESERVED"), (False, "OCCUPIED"), (True, "VACANT"), (False, "MAINTENANCE"), (False, "VACANT"))

#: Changes of one seat in a round: the last two have to be of the same.
_SINGLES = 3


@define(eq=False)
class Writer(Link):
    """Changes seats that are its alone, one request after another."""

    seats: Sequence[int] = field(kw_only=True)
    busy: bool = False
    """It waits for an answer."""
    _status: dict[int, str] = field(factory=dict)
    _key: str = ""
    _request: tuple[Sequence[int], str] = ((), "")
    _sent_at: float = 0.0
    _steps: Iterator[tuple[bool, str]] = field(factory=lambda: cycle(_ROUND))
    _ones: Iterator[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ones = chain.from_iterable(repeat(seat, _SINGLES) for seat in cycle(self.seats))

    def begin(self) -> None:
        """Send again what is not answered, or begin."""
        if self.busy:
            self._resend()
        else:
            self._next()

    def _next(self) -> None:
        self.busy = not self.crowd.resting
        if self.busy:
            whole, status = next(self._steps)
            self._request = (self.seats if whole else [next(self._ones)], status)
            self._key = str(uuid4())
            self._send()

    def _of(self, seat: int) -> str:
        return self._status.get(seat, "VACANT")

    def _send(self) -> None:
        seats, status = self._request
        self._sent_at = monotonic()
        changes = [{"seat_id": seat, "status": status, "expected": self._of(seat)} for seat in seats]
        data: dict[str, object] = {"hall_id": self.crowd.hall, "seats": changes, "key": self._key}
        self.send("hall.update_seats", data, self._key)

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """An answer."""
        if end - start == len(HEARTBEAT):
            return
        answer = jsontext.loads(data[start:end])
        if answer["eid"] != self._key:
            return
        ledger = self.crowd.ledger
        ledger.slowest_s = max(ledger.slowest_s, now - self._sent_at)
        if answer["error"] is None:
            seats, status = self._request
            ledger.answers.append(Answered(answer["data"]["rev"], list(seats), status))
            self._status |= dict.fromkeys(seats, status)
            self.busy = False
            self.crowd.loop.after(self.crowd.pause_s, self._go_on)
        elif answer["error"] == "ServiceUnavailable":
            ledger.unavailable += 1
            ledger.reasons[answer["message"]] += 1
            self.crowd.loop.after(min(answer["retry_after"], 0.5), self._resend)
        else:
            ledger.refused.append(f"a write was refused: {answer['error']}: {answer['message']}")
            self.busy = False

    def _go_on(self) -> None:
        if self.is_open and not self.busy:
            self._next()

    def _resend(self) -> None:
        if self.is_open and self.busy:
            self.crowd.ledger.resent += 1
            self._send()

    def beat(self, now: float) -> None:
        """Besides the heartbeat: an answer that does not come is a fault, and the write goes out again."""
        if self.is_open and self.busy and now - self._sent_at > _PATIENCE_S:
            self.crowd.ledger.slowest_s = max(self.crowd.ledger.slowest_s, now - self._sent_at)
            self._resend()
        super().beat(now)
