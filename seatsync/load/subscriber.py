"""A client that watches a hall, or just holds a connection."""

from collections.abc import Callable, Mapping
from typing import Any

from seatsync.load.client import Client, Hall, World
from seatsync.load.faults import Kind
from seatsync.load.frames import Closing
from seatsync.load.judge import Judge
from seatsync.load.loop import Timer
from seatsync.load.requests import LATER, RETRY_S, request
from seatsync.load.stats import Count, Timing

_STATUS_EID = "me"


class Subscriber(Client):
    """Subscribes to one hall and has every frame judged."""

    _again: Timer | None = None

    def __init__(self, world: World, name: str, eid: str, hall: Hall, token: str | None) -> None:
        super().__init__(world, name, token)
        self.hall = hall
        self.judge = Judge(name, eid, hall.album, world.stats)
        self.judge.on_first = self._begun
        self.judge.on_error = self._failed
        self.judge.on_other = self._heard
        self.text = self.judge.text  # type: ignore[method-assign]  # every frame comes this way: no call in between
        self.on_live: Callable[[], None] = lambda: None
        """Called when the client has what it came for."""
        self.asks_who_it_is = False
        """Whether it checks that the server has taken its token."""
        self.further: tuple[str, ...] = ()
        """Other subscriptions, whose frames only count."""
        self._is_live = False

    @property
    def is_live(self) -> bool:
        """The subscription stands."""
        return self._is_live

    def opened(self, now: float) -> None:
        """Subscribe, or resume."""
        super().opened(now)
        self.time_opening(now)
        if self.asks_who_it_is:
            self.send(request("user.status", {}, _STATUS_EID))
        for method in self.further:
            self.send(request(method, {}, method))
        self._subscribe()

    def _subscribe(self) -> None:
        self.send(request("hall.subscribe", {"id": self.hall.id, **self.judge.reopen()}, self.judge.eid))

    def stop(self) -> None:
        """Leave; what is missing now stays so."""
        super().stop()
        self._ended()
        self.judge.settle()

    def lost(self, closing: Closing) -> None:
        """The subscription went with the connection."""
        self._ended()
        super().lost(closing)

    def _ended(self) -> None:
        self._is_live = False
        if self._again is not None:
            self._again.cancel()

    def _begun(self, now: float) -> None:
        self._is_live = True
        stats = self.world.stats
        if not self.back(now):
            stats.counts[Count.JOINED] += 1
            stats.timings[Timing.JOINED].record(now - self._meant_at)
        self.on_live()

    def _failed(self, code: str, retry_after_s: float | None) -> None:
        self._is_live = False
        later = code in LATER
        if not (later and self.world.survive):
            self.world.stats.faults.add(Kind.REFUSED, f"{self.name} was answered {code} to hall.subscribe.")
        if later:
            self._again = self.world.loop.after(retry_after_s or RETRY_S, self._subscribe)
        else:
            self._gave_up = True

    def _heard(self, message: Mapping[str, Any]) -> None:
        """The answer to `user.status`, and frames of other subscriptions."""
        if message["eid"] != _STATUS_EID:
            return
        status = message["data"] and message["data"]["status"]
        if status != "user" and message["error"] not in LATER:
            faults = self.world.stats.faults
            faults.add(
                Kind.REFUSED, f"{self.name} signed in by token and is {message['error'] or status} all the same."
            )


class Idler(Client):
    """Holds a connection and asks for nothing."""

    def __init__(self, world: World, name: str, token: str | None) -> None:
        super().__init__(world, name, token)
        self.on_live: Callable[[], None] = lambda: None
        """Called when the connection stands."""

    @property
    def is_live(self) -> bool:
        """The connection stands."""
        return self.is_open

    def opened(self, now: float) -> None:
        """That is all."""
        super().opened(now)
        self.time_opening(now)
        self.back(now)
        self.on_live()

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """Nothing but heartbeats is expected."""
        if data[start:end] != b"1":
            self.world.stats.faults.add(Kind.PROTOCOL, f"{self.name} was sent {data[start : min(end, start + 100)]!r}.")
