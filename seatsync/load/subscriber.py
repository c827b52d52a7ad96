"""A client that subscribes to a hall and has every frame verified."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from seatsync.load.client import RETRY_S, RETRYABLE, Client, Hall, request
from seatsync.load.frames import Closing
from seatsync.load.loop import Timer
from seatsync.load.stats import Count, Kind, Timing
from seatsync.load.verifier import Verifier

_STATUS_EID = "me"


@define(eq=False, slots=False, kw_only=True)
class Subscriber(Client):
    """Subscribes to one hall."""

    hall: Hall
    verifier: Verifier
    on_live: Callable[["Subscriber"], None]
    """Called whenever the subscription begins, or begins again."""
    checks_status: bool = False
    """It checks that the server has accepted its token."""
    further: tuple[str, ...] = ()
    """Other subscriptions, whose frames are only counted."""
    is_live: bool = field(default=False, init=False)
    """The subscription stands."""
    _again: Timer | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.verifier.on_first = self._begun
        self.verifier.on_error = self._failed
        self.verifier.on_other = self._check_status
        self.text = self.verifier.text  # type: ignore[method-assign]  # the hot path: no call in between

    def opened(self, now: float) -> None:
        """Subscribe, or resume."""
        super().opened(now)
        self.time_opening(now)
        if self.checks_status:
            self.send(request("user.status", {}, _STATUS_EID))
        for method in self.further:
            self.send(request(method, {}, method))
        self._subscribe()

    def _subscribe(self) -> None:
        self.send(request("hall.subscribe", {"id": self.hall.id, **self.verifier.reopen()}, self.verifier.eid))

    def stop(self) -> None:
        """Leave; revisions that are missing now are faults."""
        super().stop()
        self._ended()
        self.verifier.settle()

    def lost(self, closing: Closing) -> None:
        """The subscription ends with the connection."""
        self._ended()
        super().lost(closing)

    def _ended(self) -> None:
        self.is_live = False
        if self._again is not None:
            self._again.cancel()

    def _begun(self, now: float) -> None:
        self.is_live = True
        stats = self.context.stats
        if not self.working(now):
            stats.counts[Count.JOINED] += 1
            stats.record(Timing.JOINED, now - self._due_at)
        self.on_live(self)

    def _failed(self, code: str, retry_after_s: float | None) -> None:
        self.is_live = False
        if code not in RETRYABLE:
            self.gave_up = True
        if self.gave_up or not self.context.plan.survive:
            self.fault(Kind.REFUSED, f"was answered {code} to hall.subscribe")
        if not self.gave_up:
            self._again = self.context.loop.after(retry_after_s or RETRY_S, self._subscribe)

    def _check_status(self, message: Mapping[str, Any]) -> None:
        """The reply to `user.status`, or a frame of another subscription."""
        if message["eid"] != _STATUS_EID:
            return
        status = message["data"] and message["data"]["status"]
        if status != "user" and message["error"] not in RETRYABLE:
            self.fault(Kind.REFUSED, f"signed in by token but is {message['error'] or status}")
