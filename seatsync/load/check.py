"""The end of every test: each subscriber's view against a fresh snapshot, and every acknowledged change against it."""

from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from attrs import define, field

from seatsync.load.client import RETRY_S, RETRYABLE, Client, Context, Hall, request
from seatsync.load.stats import Kind
from seatsync.load.subscriber import Subscriber
from seatsync.load.view import STATUSES, Counts, View, read_counts, read_view


@define(eq=False, slots=False, kw_only=True)
class HallReader(Client):
    """Requests halls with `hall.get`; hands on each reply, or the code of its error."""

    name: str = "The reader"
    halls: list[Hall]
    on_hall: Callable[[Hall, Mapping[str, Any]], None]
    on_error: Callable[[Hall, str], None]
    wanted: dict[str, Hall] = field(init=False)
    """By eid: those that are not answered yet."""

    def __attrs_post_init__(self) -> None:
        self.wanted = {str(hall.number): hall for hall in self.halls}

    def read_again(self, hall: Hall) -> None:
        """Request a hall once more."""
        self.wanted[str(hall.number)] = hall
        self._request(str(hall.number))

    def _request(self, eid: str) -> None:
        if self.is_open and eid in self.wanted:
            self.send(request("hall.get", {"id": self.wanted[eid].id}, eid))

    def opened(self, now: float) -> None:
        """Request what is wanted."""
        super().opened(now)
        self.working(now)
        for eid in self.wanted:
            self._request(eid)

    def received(self, message: Mapping[str, Any], now: float) -> None:
        """A reply."""
        eid, code = message["eid"], message["error"]
        if code is None:
            hall = self.wanted.pop(eid, None)
            if hall is not None:
                self.on_hall(hall, message["data"])
        elif code in RETRYABLE:
            self.context.loop.after(message.get("retry_after") or RETRY_S, lambda: self._request(eid))
        else:
            self.on_error(self.wanted.pop(eid), code)


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

    @property
    def is_done(self) -> bool:
        """Everything was compared."""
        return self.truth is not None and not self.subscribers and not self.hall.acknowledged


class FinalCheck:
    """Compares as snapshots arrive and subscribers that are behind catch up, whenever it is polled."""

    def __init__(self, context: Context, subscribers: list[Subscriber], token: str | None) -> None:
        """Request the snapshots."""
        self._stats = context.stats
        checks = [_HallCheck(hall, [one for one in subscribers if one.hall is hall]) for hall in context.halls]
        self._checks = {check.hall.number: check for check in checks if check.subscribers or check.hall.acknowledged}
        halls = [check.hall for check in self._checks.values()]
        self._reader = HallReader(context, token=token, halls=halls, on_hall=self._read, on_error=self._refused)
        self._reader.start(monotonic())

    def close(self) -> None:
        """Close the connection for the snapshots."""
        self._reader.stop()

    def _read(self, hall: Hall, data: Mapping[str, Any]) -> None:
        check = self._checks[hall.number]
        if check.truth is None:
            for phrase in miscounts(data):
                self._stats.fault(Kind.STATE, f"Hall {hall.id} miscounts at revision {data['rev']}: {phrase}.")
        check.truth = hall.views.intern(read_view(data))

    def _refused(self, hall: Hall, code: str) -> None:
        self._stats.fault(Kind.REFUSED, f"Hall {hall.id} could not be read at the end: {code}.")
        del self._checks[hall.number]

    def poll(self) -> bool:
        """Compare what can be compared; returns whether that was everything."""
        for check in self._checks.values():
            if check.truth is not None and str(check.hall.number) not in self._reader.wanted:
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
            self._reader.read_again(check.hall)

    def _compare_acknowledged(self, hall: Hall, truth: View) -> None:
        for sentence in hall.acknowledged.take_lost(truth):
            self._stats.fault(Kind.LOST_WRITE, sentence)

    def give_up(self) -> None:
        """Report what could not be compared as faults."""
        for check in self._checks.values():
            truth = check.truth
            if truth is None:
                self._stats.fault(Kind.UNANSWERED, f"Hall {check.hall.id} could not be read at the end.")
                continue
            self._compare_acknowledged(check.hall, truth)
            for subscriber in check.subscribers:
                view = subscriber.verifier.view
                if not subscriber.is_live:
                    self._stats.fault(Kind.CONNECTION, f"{subscriber.name} had no subscription at the end.")
                elif view.epoch == truth.epoch and view.rev < truth.rev:
                    text = f"{subscriber.name} received nothing after revision {view.rev}; the hall is at {truth.rev}."
                    self._stats.fault(Kind.MISSING, text, truth.rev - view.rev)
                else:
                    self._stats.fault(Kind.STATE, f"{subscriber.name} could not be compared: the hall kept changing.")
