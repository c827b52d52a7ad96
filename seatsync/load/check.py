"""The last act of every test: is what each subscriber sees what a fresh snapshot shows, and is every promise kept?"""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from attrs import define

from seatsync.load.client import Hall, World
from seatsync.load.faults import Kind
from seatsync.load.promises import Promises
from seatsync.load.reader import Reader, miscounts
from seatsync.load.subscriber import Subscriber
from seatsync.load.view import View, read_view

_LOOK_EVERY_S = 0.05


@define(eq=False)
class _Case:
    """One hall."""

    hall: Hall
    waiting: list[Subscriber]
    """Who has not been compared yet."""
    promises: Promises | None
    """What has not been looked for yet."""
    truth: View | None = None
    asked: bool = True

    @property
    def is_closed(self) -> bool:
        """Nothing is left to compare."""
        return self.truth is not None and not self.waiting and self.promises is None


class Check:
    """Compares, waiting for those that are behind up to ``patience_s``; then calls ``on_done``, once."""

    def __init__(
        self,
        world: World,
        subscribers: list[Subscriber],
        promises: Mapping[int, Promises],
        *,
        token: str | None,
        patience_s: float,
        on_done: Callable[[], None],
    ) -> None:
        self._world = world
        self._on_done = on_done
        self._give_up_at = monotonic() + patience_s
        cases = [
            _Case(hall, [one for one in subscribers if one.hall is hall], promises[hall.number] or None)
            for hall in world.halls
        ]
        self._cases = {case.hall.number: case for case in cases if case.waiting or case.promises}
        halls = [case.hall for case in self._cases.values()]
        self._reader = Reader(world, token, halls, on_hall=self._read, on_error=self._refused)

    def begin(self) -> None:
        """Read the halls anew."""
        self._reader.start(monotonic())
        self._look()

    def _read(self, hall: Hall, data: Mapping[str, Any]) -> None:
        """A fresh snapshot."""
        case = self._cases[hall.number]
        if case.truth is None:
            for words in miscounts(data):
                self._fault(Kind.STATE, f"Hall {hall.id} miscounts at revision {data['rev']}: {words}.")
        case.truth = hall.album.keep(read_view(data))
        case.asked = False

    def _refused(self, hall: Hall, code: str) -> None:
        self._fault(Kind.REFUSED, f"Hall {hall.id} could not be read at the end: {code}.")
        del self._cases[hall.number]

    def _look(self) -> None:
        """Compare whom there is something to compare with; ask anew for a hall that has gone on."""
        for case in self._cases.values():
            if case.truth is not None and not case.asked:
                self._compare(case, case.truth)
        if not all(case.is_closed for case in self._cases.values()):
            if monotonic() < self._give_up_at:
                self._world.loop.after(_LOOK_EVERY_S, self._look)
                return
            self._give_up()
        self._reader.stop()
        self._on_done()

    def _compare(self, case: _Case, truth: View) -> None:
        late: list[Subscriber] = []
        ahead = False
        for subscriber in case.waiting:
            view = subscriber.judge.view
            if subscriber.gave_up:  # which is a fault already
                continue
            if not subscriber.is_live or view.epoch != truth.epoch or view.rev != truth.rev:
                late.append(subscriber)
                ahead |= view.rev > truth.rev or view.epoch != truth.epoch
            else:
                subscriber.judge.compare(truth)
        case.waiting = late
        if case.promises is not None and case.promises.rev <= truth.rev:
            self._look_for(case.promises, truth)
            case.promises = None
        if ahead or case.promises is not None:  # another node of the server may be a moment behind
            case.asked = True
            self._reader.ask(case.hall)

    def _look_for(self, promises: Promises, truth: View) -> None:
        for words in promises.broken(truth):
            self._fault(Kind.LOST_WRITE, f"{words}.")

    def _give_up(self) -> None:
        for case in self._cases.values():
            truth = case.truth
            if truth is None:
                self._fault(Kind.UNANSWERED, f"Hall {case.hall.id} could not be read at the end.")
                continue
            if case.promises is not None:
                self._look_for(case.promises, truth)
            for subscriber in case.waiting:
                view = subscriber.judge.view
                if not subscriber.is_live:
                    self._fault(Kind.CONNECTION, f"{subscriber.name} had no subscription at the end.")
                elif view.epoch == truth.epoch and view.rev < truth.rev:
                    words = f"{subscriber.name} was sent nothing after revision {view.rev}; the hall is at {truth.rev}."
                    self._fault(Kind.MISSING, words, truth.rev - view.rev)
                else:
                    words = f"{subscriber.name} could not be compared: the hall kept changing."
                    self._fault(Kind.STATE, words)

    def _fault(self, kind: Kind, words: str, count: int = 1) -> None:
        self._world.stats.faults.add(kind, words, count)
