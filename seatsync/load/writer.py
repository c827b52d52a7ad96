"""A client that changes seats, each change under a key, and sends it again until it is answered."""

from collections import deque
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any
from uuid import uuid4

import orjson
from attrs import define

from seatsync.load.client import Client, Hall, World
from seatsync.load.faults import Kind
from seatsync.load.frames import HEARTBEAT
from seatsync.load.loop import Timer
from seatsync.load.pace import Pace
from seatsync.load.promises import Promises
from seatsync.load.requests import LATER, NOT_ALLOWED, OVERTAKEN, RETRY_S, request
from seatsync.load.seats import UNSURE, Place, Seats
from seatsync.load.stats import Count, Timing

NOTE = "Out of order."


@define(eq=False)
class Order:
    """A change under way, from when it was due to its answer, over as many connections as that takes."""

    eid: str
    meant_at: float
    places: list[Place]
    status: list[str]
    """What each of the places is to become."""
    type: str
    data: dict[str, Any]
    sent: int = 0
    """How often."""


class Writer(Client):
    """Changes its seats: on a schedule, or as fast as the answers come when it has none.

    At most ``pipeline`` changes of ``bulk`` seats each are under way. On a schedule, a change that has to wait for its
    turn keeps the time it was meant for.
    """

    _timer: Timer | None = None

    def __init__(
        self,
        world: World,
        name: str,
        token: str | None,
        *,
        hall: Hall,
        seats: Seats,
        promises: Promises,
        pace: Pace | None,
        pipeline: int,
        bulk: int,
    ) -> None:
        super().__init__(world, name, token)
        self._hall = hall
        self._seats = seats
        self._promises = promises
        self._pace = pace
        self._pipeline = pipeline
        self._bulk = bulk
        self._due: deque[float] = deque()
        self._orders: dict[str, Order] = {}
        self._number = 0
        self._going = False

    @property
    def is_quiet(self) -> bool:
        """Nothing is under way, and nothing is due."""
        return not self._orders and not self._due

    def begin(self, at: float) -> None:
        """Start changing seats at that time."""
        if self._pace is not None:
            self._pace.begin(at)
        self.world.loop.at(at, self._go)

    def _go(self) -> None:
        self._going = True
        self._on_schedule() if self._pace else self._fill()

    def finish(self) -> None:
        """Start no more changes; those under way, and those that were due, are seen through."""
        self._going = False
        if self._timer is not None:
            self._timer.cancel()

    def report_unanswered(self) -> None:
        """The test ends without these answers."""
        if self._orders or self._due:
            words = f"{self.name} had no answer to {len(self._orders)} changes, and {len(self._due)} were not sent."
            self.world.stats.faults.add(Kind.UNANSWERED, words, len(self._orders) + len(self._due))

    # Sending

    def _on_schedule(self) -> None:
        pace = self._pace
        if pace is None or not self._going:
            return
        now = monotonic()
        for meant_at in pace.due(now):
            self.world.stats.timings[Timing.LAG].record(now - meant_at)
            self._due.append(meant_at)
        self._fill()
        self._timer = self.world.loop.at(pace.next_at, self._on_schedule)

    def _fill(self) -> None:
        """Send what is due and has room; without a schedule something always is."""
        while self.is_open and len(self._orders) < self._pipeline and (self._due or (self._going and not self._pace)):
            places = self._seats.take(self._bulk)
            if not places:
                return
            meant_at = self._due.popleft() if self._due else monotonic()
            self._send_order(self._order(places, meant_at))

    def _order(self, places: list[Place], meant_at: float) -> Order:
        self._number += 1
        wanted = [self._seats.cycle[place.status] for place in places]
        items = [self._item(place, status) for place, status in zip(places, wanted, strict=True)]
        data: dict[str, Any] = {"hall_id": self._hall.id, "key": str(uuid4())}
        type_ = "hall.update_seat_status"
        if len(items) == 1:
            data |= items[0]
        else:
            type_, data["seats"] = "hall.update_seats", items
        return Order(f"w{self._number}", meant_at, places, wanted, type_, data)

    def _item(self, place: Place, status: str) -> dict[str, Any]:
        item = {"seat_id": place.id, "status": status}
        return {**item, "note": NOTE} if status == "MAINTENANCE" else item

    def _send_order(self, order: Order) -> None:
        self._orders[order.eid] = order
        order.sent += 1
        self.send(request(order.type, order.data, order.eid))

    def _send_again(self, order: Order, sent: int) -> None:
        """Send an order that is still under way and was sent so often until now."""
        if self.is_open and order.eid in self._orders and order.sent == sent:
            self.world.stats.counts[Count.RESENT] += 1
            self._send_order(order)

    def opened(self, now: float) -> None:
        """Send again what was under way when the last connection was lost: the keys keep it from happening twice."""
        super().opened(now)
        self.back(now)
        for order in list(self._orders.values()):
            self._send_again(order, order.sent)
        self._fill()

    # Answers

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """An answer."""
        text = data[start:end]
        if text == HEARTBEAT:
            return
        try:
            message = orjson.loads(text)
            order = self._orders.get(message["eid"])
            if order is None:
                self._fault(Kind.PROTOCOL, f"was answered what it had not asked: {text[:100]!r}")
            elif message["status"] == "success":
                self._done(order, message["data"], now)
            else:
                self._failed(order, message["error"], message)
        except (ValueError, KeyError, TypeError) as error:
            self._fault(Kind.PROTOCOL, f"was sent a frame that cannot be read ({error!r}): {text[:100]!r}")
        self._fill()

    def _done(self, order: Order, data: Mapping[str, Any], now: float) -> None:
        rev, seats = data["rev"], data["seats"]
        answered = {seat["id"]: seat["status"] for seat in seats}
        wanted = {place.id: status for place, status in zip(order.places, order.status, strict=True)}
        if answered != wanted:
            self._fault(Kind.PROTOCOL, f"asked for {wanted} and was answered {answered}")
        stats = self.world.stats
        stats.timings[Timing.ANSWER].record(now - order.meant_at)
        stats.counts[Count.ANSWERED] += 1
        stats.counts[Count.SEATS] += len(seats)
        self.world.timetable.note(self._hall.number, rev, order.meant_at)
        self._promises.keep(rev, seats)
        self._settle(order, order.status)

    def _failed(self, order: Order, code: str, message: Mapping[str, Any]) -> None:
        if code in LATER:
            if not self.world.survive:
                self._fault(Kind.REFUSED, f"was answered {code}")
            again = partial(self._send_again, order, order.sent)  # unless a reconnect has done so by then
            self.world.loop.after(message.get("retry_after") or RETRY_S, again)
            return
        self._settle(order, [UNSURE] * len(order.places))
        if code in OVERTAKEN:
            self.world.stats.counts[Count.REFUSED] += 1
            return
        self._fault(Kind.REFUSED, f"was answered {code}: {message.get('message')}")
        if code in NOT_ALLOWED:
            self.finish()
            self._due.clear()

    def _settle(self, order: Order, status: list[str]) -> None:
        del self._orders[order.eid]
        for place, now_is in zip(order.places, status, strict=True):
            place.status = now_is
        self._seats.add(order.places)

    def _fault(self, kind: Kind, words: str) -> None:
        self.world.stats.faults.add(kind, f"{self.name} {words}.")
