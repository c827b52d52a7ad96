"""Halls in the database: snapshots and changes read, batches of seat changes written."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from uuid import UUID

from attrs import define

from seatsync import errors, jsontext
from seatsync.core.channels.documents import Documents, Snapshot, Update
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.write_queue import Outcome
from seatsync.core.protocol.call import Identity
from seatsync.core.protocol.registry import Json
from seatsync.hall.messages import SeatChange

_QUERIES = load("hall")


@define(eq=False, slots=False)
class Write:
    """One request to change seats: a `seatsync.core.postgres.write_queue.Change`."""

    hall_id: int
    seats: Sequence[SeatChange]
    identity: Identity
    key: UUID | None

    @property
    def group(self) -> Hashable:
        """The hall: a lock of another session blocks its writes alone."""
        return self.hall_id

    @property
    def rows(self) -> int:
        """Seats it changes."""
        return len(self.seats)

    @cached_property
    def claims(self) -> frozenset[Hashable]:
        """Its seats, and the user's idempotency key: two writes of one batch may not share any."""
        keys = () if self.key is None else ((self.identity.user_id, self.key),)
        return frozenset([*(seat.seat_id for seat in self.seats), *keys])

    def digest(self) -> bytes | None:
        """SHA-256 of the parameters, to which an idempotency key is bound; ``None`` without a key."""
        if self.key is None:
            return None
        # No item without a hold: the digests of servers that know none are the same.
        seats = [
            [s.seat_id, s.status, s.expected, s.note, *([] if s.hold_s is None else [s.hold_s])] for s in self.seats
        ]
        return hashlib.sha256(jsontext.dumps([self.hall_id, seats])).digest()


class HallStore:
    """A `seatsync.core.channels.channel.Source`; each query raises `ServiceUnavailable` without a database."""

    documents = Documents(("seats", "seat_types"), ordered=frozenset({"seat_types"}))

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot(self, key: int) -> Snapshot:
        """The whole hall; raises `HallNotFound`."""
        row = await self._database.fetchrow(_QUERIES["snapshot"], key)
        if row is None:
            raise errors.HallNotFound
        return Snapshot(row["rev"], row["epoch"], row["data"].encode())

    async def changes(self, key: int, since: int, epoch: str) -> Update | None:
        """All changes after a revision, if they are known and lead on; raises `HallNotFound`."""
        known = epoch.replace("\0", "?")  # PostgreSQL takes no NUL, and no epoch has either
        row = await self._database.fetchrow(_QUERIES["changes"], key, since, known)
        if row is None:
            raise errors.HallNotFound
        return Update(since + 1, row["rev"], row["data"].encode()) if row["whole"] else None

    async def revs(self, keys: Sequence[int]) -> Mapping[int, tuple[int, str]]:
        """The revision and epoch of each of these halls that still exists."""
        rows = await self._database.fetch(_QUERIES["revs"], keys)
        return {row["id"]: (row["rev"], row["epoch"]) for row in rows}

    async def write(self, writes: Sequence[Write], timeout: float) -> list[Outcome[Json]]:  # noqa: ASYNC109 - the database's own
        """Apply the writes in one transaction; an outcome for each, in order.

        A lone write that violates a constraint added to the tables ends in `InvalidSeatData`. Raises
        `ServiceUnavailable` (the outcome is unknown) and `DatabaseRejected` (nothing was written).
        """
        requests = [(w.hall_id, w.identity.user_id, w.identity.session_id, w.key, w.digest()) for w in writes]
        seats = [
            (number, seat.seat_id, seat.status, seat.expected, seat.note, seat.hold_s)
            for number, write in enumerate(writes, 1)
            for seat in write.seats
        ]
        columns = map(list, (*zip(*requests, strict=True), *zip(*seats, strict=True)))
        try:
            rows = await self._database.fetch(_QUERIES["write"], *columns, timeout=timeout)
        except DatabaseRejected as error:
            if error.is_about_data and len(writes) == 1:
                return [errors.InvalidSeatData()]
            raise
        return [
            Json(row["data"].encode()) if row["code"] is None else errors.from_code(row["code"], row["message"])
            for row in rows
        ]

    async def unlocked(self, writes: Sequence[Write]) -> set[Hashable]:
        """The halls of these writes that no session has locked, nor any of the seats; raises as `write` does."""
        rows = await self._database.fetch(
            _QUERIES["unlocked"],
            list({write.hall_id for write in writes}),
            [seat.seat_id for write in writes for seat in write.seats],
        )
        return {row["id"] for row in rows}
