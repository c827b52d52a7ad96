"""The last revisions of a channel, kept in memory, and how several become one.

A merged update holds the newest state of each seat and the newest counts of each seat type among the revisions it
covers. This is the only place where Python looks inside an update; the common way passes PostgreSQL's JSON through.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson
from attrs import define, field, frozen

MAX_UPDATES = 256
MAX_BYTES = 512 * 1024

#: Merged updates that are kept for who asks for the same.
MAX_MERGED = 8


@frozen
class Update:
    """One frame's worth of change: the revisions ``first`` to ``rev`` and their JSON."""

    first: int
    rev: int
    data: bytes


def merge(updates: Sequence[Update]) -> Update:
    """One update for a run of consecutive ones; ``from`` is the first revision when there is more than one."""
    if len(updates) == 1:
        return updates[0]
    seats: dict[int, Any] = {}
    seat_types: dict[int, Any] = {}
    merged: dict[str, Any] = {}
    for update in updates:
        merged = orjson.loads(update.data)
        seats |= {seat["id"]: seat for seat in merged["seats"]}
        seat_types |= {seat_type["id"]: seat_type for seat_type in merged["seat_types"]}
    first, rev = updates[0].first, updates[-1].rev
    data = {
        "id": merged["id"],
        "from": first,
        "rev": rev,
        "seats": list(seats.values()),
        "seat_types": [seat_types[key] for key in sorted(seat_types)],
    }
    return Update(first, rev, orjson.dumps(data))


@define
class History:
    """The newest updates without a gap, at most `MAX_UPDATES` of them and `MAX_BYTES`."""

    _updates: deque[Update] = field(factory=deque)
    _bytes: int = 0
    _merged: dict[int, Update] = field(factory=dict)

    def append(self, update: Update) -> None:
        """Keep one more; one that does not follow the last starts anew."""
        self._merged.clear()
        if self._updates and update.first != self._updates[-1].rev + 1:
            self.clear()
        self._updates.append(update)
        self._bytes += len(update.data)
        while len(self._updates) > MAX_UPDATES or self._bytes > MAX_BYTES:
            self._bytes -= len(self._updates.popleft().data)

    def clear(self) -> None:
        """Forget everything: the layout or the epoch has changed."""
        self._updates.clear()
        self._merged.clear()
        self._bytes = 0

    def after(self, rev: int) -> Update | None:
        """Everything after ``rev`` as one update; ``None`` if that is not here in full.

        Many subscribers that ask for the same get the same bytes.
        """
        if rev not in self._merged:
            missed = [update for update in self._updates if update.rev > rev]
            if not missed or missed[0].first != rev + 1:
                return None
            if len(self._merged) >= MAX_MERGED:
                self._merged.clear()
            self._merged[rev] = merge(missed)
        return self._merged[rev]
