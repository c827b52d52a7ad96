"""The methods that look back: ``hall.history``."""

from typing import Any

from attrs import frozen

from seatsync import errors
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.registry import Access, Method
from seatsync.hall.messages import HallEvents, HallHistory

_QUERIES = load("history")


@frozen
class HistoryMethods:
    """Reads of what has been."""

    _database: Database

    def table(self) -> tuple[Method, ...]:
        """The methods of the history."""
        return (Method("hall.history", HallHistory, self.history, Access.WRITE, result=HallEvents),)

    async def history(self, _: Call, params: HallHistory) -> dict[str, Any]:
        """A page of events, the newest first; raises `HallNotFound`."""
        if params.id is None:
            raise errors.RequiredHallId
        hall_id, (rev, seat_id), limit = params.id, params.before, params.limit
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
