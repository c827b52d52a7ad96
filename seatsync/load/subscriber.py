"""A client that subscribes to a hall and has every frame verified."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import define, field

from seatsync.client.closing import Closing
from seatsync.load.client import RETRY_S, RETRYABLE, Client, Hall, request
from seatsync.load.connection import Connection
from seatsync.load.stats import Count, Kind, Timing
from seatsync.load.verifier import Verifier

USER = "user.subscribe"


@define(eq=False, slots=False, kw_only=True)
class Subscriber(Client):
    """Subscribes to one hall, or, as the plan may have it, just holds its connection."""

    hall: Hall
    verifier: Verifier
    on_live: Callable[["Subscriber"], None]
    """Called whenever the subscription begins, or begins again."""
    further: tuple[str, ...] = ()
    """Other subscriptions; that to the user shows whether the server has accepted the token."""
    is_live: bool = field(default=False, init=False)
    """The subscription stands, or the connection where there is none."""

    def __attrs_post_init__(self) -> None:
        self.verifier.on_first = self._begun
        self.verifier.on_error = self._failed
        self.verifier.on_other = self._take_other
        self.text = self.verifier.text  # type: ignore[method-assign]  # the hot path: no call in between

    def opened(self, now: float) -> None:
        """Subscribe, or resume."""
        super().opened(now)
        if not self._has_worked:
            self.context.stats.record(Timing.OPENED, now - self._due_at)
        for method in self.further:
            self.send(request(method, {}, method))
        if self.context.plan.subscribe:
            self._subscribe()
        else:
            self._begun(now)

    def _subscribe(self) -> None:
        self.send(request("hall.subscribe", {"id": self.hall.id, **self.verifier.reopen()}, self.verifier.eid))

    def stop(self) -> None:
        """Leave; revisions that are missing now are faults."""
        super().stop()
        self.is_live = False
        self.verifier.settle()

    def lost(self, closing: Closing) -> None:
        """The subscription ends with the connection."""
        self.is_live = False
        super().lost(closing)

    def _begun(self, now: float) -> None:
        self.is_live = True
        if not self.working(now) and self.context.plan.subscribe:
            self.context.stats.counts[Count.JOINED] += 1
            self.context.stats.record(Timing.JOINED, now - self._due_at)
        self.on_live(self)

    def _failed(self, code: str, retry_after_s: float | None) -> None:
        self.is_live = False
        if code not in RETRYABLE:
            self.gave_up = True
        if self.gave_up or not self.context.plan.survive:
            self.fault(Kind.REFUSED, f"was answered {code} to hall.subscribe")
        if not self.gave_up:
            self.context.loop.after(retry_after_s or RETRY_S, partial(self._subscribe_again, self._connection))

    def _subscribe_again(self, connection: Connection | None) -> None:
        """On the same connection; another has begun with it."""
        if self._connection is connection:
            self._subscribe()

    def _take_other(self, message: Mapping[str, Any]) -> None:
        """A frame of another subscription."""
        if message["eid"] == USER and self._token is not None:
            status = message["data"] and message["data"]["status"]
            if status != "user" and message["error"] not in RETRYABLE:
                self.fault(Kind.REFUSED, f"signed in by token but is {message['error'] or status}")
        elif message["eid"] not in self.further:
            self.fault(Kind.PROTOCOL, f"received a message without a request: {message}")
