"""Cinemas in the database: JSON for clients, made there."""

from collections.abc import Iterable

from attrs import frozen

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.protocol.registry import Json

_QUERIES = load("cinema")


@frozen
class CinemaStore:
    """The queries about cinemas. Each raises `ServiceUnavailable` when the database cannot be reached."""

    _database: Database

    async def all(self) -> Json:
        """The list of cinemas with their halls and the halls' totals."""
        return Json((await self._database.fetchval(_QUERIES["list"])).encode())

    async def totals(self, hall_ids: Iterable[int]) -> list[Json]:
        """An update for each cinema that has one of these halls, with those halls' totals."""
        return await self._updates("counts", hall_ids)

    async def cinemas(self, cinema_ids: Iterable[int]) -> list[Json]:
        """An update for each of these cinemas, with its name, its colour and all its halls."""
        return await self._updates("cinema", cinema_ids)

    async def _updates(self, query: str, ids: Iterable[int]) -> list[Json]:
        return [Json(row["data"].encode()) for row in await self._database.fetch(_QUERIES[query], list(ids))]
