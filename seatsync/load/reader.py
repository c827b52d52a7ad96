"""A client that reads whole halls: what there is to change before the test, and what is true after it."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from seatsync.load.client import Client, Hall, World
from seatsync.load.faults import Kind
from seatsync.load.frames import HEARTBEAT
from seatsync.load.requests import LATER, RETRY_S, request
from seatsync.load.view import STATUSES, Counts, read_counts


class Reader(Client):
    """Asks for each of some halls with `hall.get`, and hands on what it is answered: the hall, or an error's code."""

    def __init__(
        self,
        world: World,
        token: str | None,
        halls: list[Hall],
        *,
        on_hall: Callable[[Hall, Mapping[str, Any]], None],
        on_error: Callable[[Hall, str], None],
    ) -> None:
        super().__init__(world, "The reader", token)
        self._wanted = {f"h{hall.number}": hall for hall in halls}
        self._on_hall = on_hall
        self._on_error = on_error

    @property
    def is_done(self) -> bool:
        """All halls were answered."""
        return not self._wanted

    def ask(self, hall: Hall) -> None:
        """Ask for a hall once more."""
        self._wanted[f"h{hall.number}"] = hall
        self._ask(f"h{hall.number}")

    def _ask(self, eid: str) -> None:
        if self.is_open and eid in self._wanted:
            self.send(request("hall.get", {"id": self._wanted[eid].id}, eid))

    def opened(self, now: float) -> None:
        """Ask for everything that was not answered yet."""
        super().opened(now)
        self.back(now)
        for eid in self._wanted:
            self._ask(eid)

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A hall, or why not."""
        if data[start:end] == HEARTBEAT:
            return
        try:
            self._take(orjson.loads(data[start:end]))
        except (ValueError, KeyError, TypeError) as error:
            self.world.stats.faults.add(Kind.PROTOCOL, f"{self.name} was sent a frame that cannot be read ({error!r}).")

    def _take(self, message: Mapping[str, Any]) -> None:
        eid, code = message["eid"], message["error"]
        if code is None:
            hall = self._wanted.pop(eid, None)
            if hall is not None:
                self._on_hall(hall, message["data"])
        elif code in LATER:
            self.world.loop.after(message.get("retry_after") or RETRY_S, lambda: self._ask(eid))
        else:
            self._on_error(self._wanted.pop(eid), code)


def miscounts(hall: Mapping[str, Any]) -> list[str]:
    """Where the counts of a hall's seat types are not those of its seats, in words."""
    tally: Counter[tuple[int, str]] = Counter((seat["seat_type"]["id"], seat["status"]) for seat in hall["seats"])
    said = read_counts(hall["seat_types"])
    types = {type_id for type_id, _ in tally} | said.keys()
    nothing: Counts = (0,) * (1 + len(STATUSES))
    found: list[str] = []
    for type_id in sorted(types):
        each = tuple(tally[type_id, status] for status in STATUSES)
        if said.get(type_id, nothing) != (sum(each), *each):
            found.append(f"seat type {type_id} has {(sum(each), *each)} seats and is said to have {said.get(type_id)}")
    return found
