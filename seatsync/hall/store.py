"""Halls in the database: snapshots and changes read, batches of seat changes written."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from uuid import UUID

import orjson
from attrs import define

from seatsync import errors
from seatsync.core.channels.documents import Changes, Documents, Snapshot
from seatsync.core.postgres.pool import Database, DatabaseRejected
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
        parameters = [self.hall_id, [[s.seat_id, s.status, s.expected, s.note] for s in self.seats]]
        return hashlib.sha256(orjson.dumps(parameters)).digest()


class HallStore:
    """The queries about halls: a `seatsync.core.channels.channel.Source`.

    Each raises `ServiceUnavailable` when the database cannot be reached.
    """

    documents = Documents(("seats", "seat_types"), ordered=frozenset({"seat_types"}))

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot(self, key: int) -> Snapshot:
        """The whole hall; raises `HallNotFound`."""
        row = await self._database.fetchrow(_QUERIES["snapshot"], key)
        if row is None:
            raise errors.HallNotFound
        return Snapshot(row["rev"], row["epoch"], row["data"].encode())

    async def changes(self, key: int, since: int, epoch: str) -> Changes:
        """The changes after a revision; raises `HallNotFound`."""
        row = await self._database.fetchrow(_QUERIES["changes"], key, since, epoch.replace("\0", ""))
        if row is None:
            raise errors.HallNotFound
        return Changes(row["rev"], row["epoch"], row["data"].encode() if row["whole"] else None)

    async def revs(self, keys: Sequence[int]) -> Mapping[int, tuple[int, str]]:
        """The revision and epoch of each of these halls that still exists."""
        rows = await self._database.fetch(_QUERIES["revs"], keys)
        return {row["id"]: (row["rev"], row["epoch"]) for row in rows}

    async def write(self, writes: Sequence[Write], timeout: float) -> list[Outcome[Json]]:  # noqa: ASYNC109 - the database's own
        """Apply the writes in one transaction; an outcome for each, in order.

        A lone write that violates a constraint added to the tables ends in `InvalidSeatData`. Raises
        `ServiceUnavailable` (the outcome is unknown) and `DatabaseRejected` (nothing was written).
        """
        seats = [(number, seat) for number, write in enumerate(writes, 1) for seat in write.seats]
        parameters = (
            [write.hall_id for write in writes],
            [write.identity.user_id for write in writes],
            [write.identity.session_id for write in writes],
            [write.key for write in writes],
            [write.digest() for write in writes],
            [number for number, _ in seats],
            [seat.seat_id for _, seat in seats],
            [seat.status for _, seat in seats],
            [seat.expected for _, seat in seats],
            [seat.note for _, seat in seats],
        )
        try:
            rows = await self._database.fetch(_QUERIES["write"], *parameters, timeout=timeout)
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
