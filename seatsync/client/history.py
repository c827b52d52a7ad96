"""A hall as it was, and its changes once more in their time."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import trio
from attrs import define, field, frozen

from seatsync.client.changes import Changes

#: Revisions that are read at a time, by pages of so many events.
_REVISIONS = 100
_PAGE = 500


@frozen(kw_only=True)
class Moment:
    """A hall as it was at a revision."""

    state: dict[str, Any]
    """The hall, as the protocol has it, with the time of the revision as ``at``; the first has the one asked for."""
    events: list[dict[str, Any]]
    """The changes of the revision, as ``hall.history`` has it; nothing in the first moment of a replay."""

    @property
    def rev(self) -> int:
        """The hall's revision."""
        rev: int = self.state["rev"]
        return rev


@define(eq=False)
class Hall(Changes):
    """A hall: an iteration over its changes, and how it was. Looking back needs a user, a replay one who may write."""

    _call: Callable[[str, Mapping[str, Any]], Awaitable[Any]] = field(kw_only=True)

    async def at(self, when: datetime | int) -> dict[str, Any]:
        """The hall as it was at a time, with its zone, or at a revision.

        Raises `HistoryNotFound` where the history does not go back so far, and as `Seats.call` does.
        """
        moment = {"rev": when} if isinstance(when, int) else {"at": when.isoformat()}
        state: dict[str, Any] = await self._call("hall.at", {"id": self._id, **moment})
        return state

    async def replay(
        self, start: datetime | int, end: datetime | int | None = None, *, speed: float | None = None
    ) -> AsyncIterator[Moment]:
        """Iterate over the hall as it was at ``start``, then after each revision up to ``end``, the present by default.

        With a ``speed`` the changes come so many times as fast as they came then, without one as fast as they can be
        read. Raises as `at` does. It may be cancelled, and left, at any time.
        """
        state = await self.at(start)
        last = (await self.at(datetime.now(UTC) if end is None else end))["rev"]
        begun_at, began = trio.current_time(), _seconds(state)
        yield Moment(state=state, events=[])
        for after in range(state["rev"], last, _REVISIONS):
            for rev, events in await self._revisions(after, min(after + _REVISIONS, last)):
                at = max(event["at"] for event in events)
                if any(event["kind"] == "layout" for event in events):
                    state = await self.at(rev)
                else:
                    state = _after(state, events) | {"rev": rev, "at": at}
                if speed is not None:
                    await trio.sleep_until(begun_at + (_seconds(state) - began) / speed)
                yield Moment(state=state, events=events)

    async def _revisions(self, after: int, last: int) -> list[tuple[int, list[dict[str, Any]]]]:
        """The events after a revision up to another, by revision."""
        events: list[dict[str, Any]] = []
        cursor: str | None = f"{last + 1}-0"
        while cursor is not None and (not events or events[-1]["rev"] > after):
            page = await self._call("hall.history", {"id": self._id, "cursor": cursor, "limit": _PAGE})
            events += page["events"]
            cursor = page["cursor"]
        wanted = [event for event in reversed(events) if event["rev"] > after]
        return [(rev, list(group)) for rev, group in groupby(wanted, itemgetter("rev"))]


def _seconds(state: dict[str, Any]) -> float:
    return datetime.fromisoformat(state["at"]).timestamp()


def _after(state: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """The hall after events that do not change its layout."""
    changed = {event["seat_id"]: event for event in events}
    seats = [_seat_after(seat, changed[seat["id"]]) if seat["id"] in changed else seat for seat in state["seats"]]
    counts = Counter((seat["seat_type"]["id"], seat["status"]) for seat in seats)
    types = [
        type_ | {"seats": {status: counts[type_["id"], status] for status in type_["seats"]}}
        for type_ in state["seat_types"]
    ]
    return state | {"seats": seats, "seat_types": types}


def _seat_after(seat: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    return seat | {
        "status": event["new_status"],
        "note": event["note"],
        "hold_until": event["hold_until"],
        "updated_at": event["at"],
    }
