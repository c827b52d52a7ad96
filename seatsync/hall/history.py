"""The methods that look back: ``hall.history``, ``hall.at`` and ``hall.report``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

import trio
from attrs import Factory, field, frozen

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.params import Id
from seatsync.core.protocol.registry import Access, Json, Method
from seatsync.hall.messages import HallAt, HallEvents, HallHistory, HallThen, required
from seatsync.hall.report import HallReport, OccupancyBucket, Reports

#: Halls of then and reports that are made at once, each for another user, and for how long one may wait and take, in
#: seconds: each takes a connection of the pool that all reads share.
LOOKS_BACK = 2
WAIT_S = 2.0

_NO_DATA_FOUND = "P0002"

_QUERIES = load("history")


@frozen
class HistoryMethods:
    """Reads of what has been."""

    _database: Database
    _reports: Reports = field(default=Factory(lambda self: Reports(self._database), takes_self=True), init=False)
    _looking: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(LOOKS_BACK), init=False)
    _turns: WeakValueDictionary[int, trio.Lock] = field(factory=WeakValueDictionary, init=False)
    """Of users: one who asks over many connections leaves others their share."""

    def table(self) -> tuple[Method, ...]:
        """The methods of the history."""
        return (
            Method("hall.history", HallHistory, self.history, Access.WRITE, result=HallEvents),
            Method("hall.at", HallAt, self.at, Access.USER, result=HallThen),
            Method("hall.report", HallReport, self.report, Access.WRITE, result=list[OccupancyBucket]),
        )

    async def history(self, _: Call, params: HallHistory) -> dict[str, Any]:
        """A page of events, the newest first; raises `HallNotFound`."""
        hall_id, (rev, seat_id), limit = required(params.id), params.before, params.limit
        if params.seat_id is None:
            rows = await self._database.fetch(_QUERIES["hall_events"], hall_id, rev, seat_id, limit + 1)
        else:
            rows = await self._database.fetch(_QUERIES["seat_events"], hall_id, params.seat_id, rev, limit + 1)
        if not rows:
            raise errors.HallNotFound
        events = [row for row in rows if row["rev"] is not None]
        last = events[limit - 1] if len(events) > limit else None
        cursor = None if last is None else f"{last['rev']}-{last['seat_id'] or 0}"
        return {"id": hall_id, "events": events[:limit], "cursor": cursor}

    async def at(self, call: Call, params: HallAt) -> Json:
        """The hall as it was; raises `HistoryNotFound`, `HallNotFound`, and `TooManyRequests` while many look back."""
        hall_id, (time, rev) = required(params.id), params.moment
        async with self._look_back(call):
            try:
                data = await self._database.fetchval(_QUERIES["hall_then"], hall_id, time, rev)
            except DatabaseRejected as error:
                if error.sqlstate == _NO_DATA_FOUND:
                    raise await self._out_of_history(hall_id) from None
                raise
        if data is None:
            raise errors.HallNotFound
        return Json(data.encode())

    async def _out_of_history(self, hall_id: Id) -> errors.HistoryNotFound:
        """Says from where to where it goes, so that one can ask again."""
        span = await self._database.fetchval(_QUERIES["history_span"], hall_id)
        return errors.HistoryNotFound(None if span is None else f"The history of the hall goes from {span}.")

    async def report(self, call: Call, params: HallReport) -> list[Row]:
        """The occupancy; raises as `Reports.read` does, `RequiredHallId`, and `TooManyRequests` like `at`."""
        async with self._look_back(call):
            return await self._reports.read(params)

    @asynccontextmanager
    async def _look_back(self, call: Call) -> AsyncIterator[None]:
        """One of few at once, and the only one of its user; raises `TooManyRequests` when it takes too long."""
        with trio.move_on_after(WAIT_S):
            async with self._turns.setdefault(call.identity.user_id, trio.Lock()), self._looking:
                yield
                return
        raise errors.TooManyRequests(retry_after=1.0)
