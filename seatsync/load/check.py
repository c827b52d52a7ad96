"""The end of every test: each subscriber's view against a fresh snapshot, and every acknowledged change against it."""

from collections import Counter
from collections.abc import Mapping
from time import monotonic
from typing import Any

from attrs import define

from seatsync.load.client import RETRY_S, RETRYABLE, Client, Context, Hall, request
from seatsync.load.stats import Kind
from seatsync.load.subscriber import Subscriber
from seatsync.load.view import STATUSES, Counts, View, read_counts, read_view


def miscounts(hall: Mapping[str, Any]) -> list[str]:
    """A phrase for each seat type whose counts are not those of its seats."""
    tally: Counter[tuple[int, str]] = Counter((seat["seat_type"]["id"], seat["status"]) for seat in hall["seats"])
    counts = read_counts(hall["seat_types"])
    zero: Counts = (0,) * (1 + len(STATUSES))
    found: list[str] = []
    for type_id in sorted({type_id for type_id, _ in tally} | counts.keys()):
        each = tuple(tally[type_id, status] for status in STATUSES)
        if counts.get(type_id, zero) != (sum(each), *each):
            found.append(f"seat type {type_id} has seats {(sum(each), *each)} and counts {counts.get(type_id)}")
    return found


@define(eq=False)
class _HallCheck:
    """One hall, and the subscribers that are left to compare."""

    hall: Hall
    subscribers: list[Subscriber]
    truth: View | None = None
    """The latest snapshot."""
    is_requested: bool = True
    """A newer one is to come."""

    @property
    def is_done(self) -> bool:
        """Everything was compared."""
        return self.truth is not None and not self.subscribers and not self.hall.acknowledged


class FinalCheck(Client):
    """Reads the halls, and compares as snapshots arrive and subscribers catch up, whenever it is polled."""

    def __init__(self, context: Context, subscribers: list[Subscriber], token: str | None) -> None:
        """Request the snapshots."""
        super().__init__(context, "The final check", token)
        checks = [_HallCheck(hall, [one for one in subscribers if one.hall is hall]) for hall in context.halls]
        self._checks = {str(one.hall.number): one for one in checks if one.subscribers or one.hall.acknowledged}
        """By the eid of the request."""
        self.start(monotonic())

    def opened(self, now: float) -> None:
        """Request what is not answered yet."""
        super().opened(now)
        self.working(now)
        for check in self._checks.values():
            self._request(check)

    def _request(self, check: _HallCheck) -> None:
        if self.is_open and check.is_requested:
            self.send(request("hall.get", {"id": check.hall.id}, str(check.hall.number)))

    def received(self, message: Mapping[str, Any], now: float) -> None:
        """A snapshot, or the code of an error."""
        eid, code, data = message["eid"], message["error"], message["data"]
        check = self._checks[eid]
        hall = check.hall
        if code in RETRYABLE:
            self.context.loop.after(message.get("retry_after") or RETRY_S, lambda: self._request(check))
        elif code is not None:
            self.context.stats.fault(Kind.REFUSED, f"Hall {hall.id} could not be read at the end: {code}.")
            check.is_requested = False
            del self._checks[eid]
        else:
            for phrase in miscounts(data) if check.truth is None else ():
                text = f"Hall {hall.id} miscounts at revision {data['rev']}: {phrase}."
                self.context.stats.fault(Kind.STATE, text)
            check.truth, check.is_requested = hall.views.intern(read_view(data)), False

    def poll(self) -> bool:
        """Compare what can be compared; returns whether that was everything."""
        for check in self._checks.values():
            if check.truth is not None and not check.is_requested:
                self._compare(check, check.truth)
        return all(check.is_done for check in self._checks.values())

    def _compare(self, check: _HallCheck, truth: View) -> None:
        """Compare everything that is at the snapshot's revision; request a newer snapshot for what is ahead of it."""
        late: list[Subscriber] = []
        for subscriber in check.subscribers:
            view = subscriber.verifier.view
            if subscriber.is_live and (view.epoch, view.rev) == (truth.epoch, truth.rev):
                subscriber.verifier.compare(truth)
            elif not subscriber.gave_up:  # which is a fault already
                late.append(subscriber)
        check.subscribers = late
        if check.hall.acknowledged.rev <= truth.rev:
            self._compare_acknowledged(check.hall, truth)
        views = [subscriber.verifier.view for subscriber in late]
        ahead = any(view.rev > truth.rev or view.epoch != truth.epoch for view in views)
        if ahead or check.hall.acknowledged:  # another node of the server may be a moment behind
            check.is_requested = True
            self._request(check)

    def _compare_acknowledged(self, hall: Hall, truth: View) -> None:
        for sentence in hall.acknowledged.take_lost(truth):
            self.context.stats.fault(Kind.LOST_WRITE, sentence)

    def give_up(self) -> None:
        """Report what could not be compared as faults."""
        for check in self._checks.values():
            truth = check.truth
            if truth is None:
                self.context.stats.fault(Kind.UNANSWERED, f"Hall {check.hall.id} could not be read at the end.")
                continue
            self._compare_acknowledged(check.hall, truth)
            for subscriber in check.subscribers:
                view = subscriber.verifier.view
                if not subscriber.is_live:
                    self.context.stats.fault(Kind.CONNECTION, f"{subscriber.name} had no subscription at the end.")
                elif view.epoch == truth.epoch and view.rev < truth.rev:
                    text = f"{subscriber.name} received nothing after revision {view.rev}; the hall is at {truth.rev}."
                    self.context.stats.fault(Kind.MISSING, text, truth.rev - view.rev)
                else:
                    text = f"{subscriber.name} could not be compared: the hall kept changing."
                    self.context.stats.fault(Kind.STATE, text)
