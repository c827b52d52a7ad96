"""Cinemas in the database: JSON for clients, made there."""

from collections.abc import Iterable

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.protocol.registry import Json

_QUERIES = load("cinema")


class CinemaStore:
    """The queries about cinemas. Each raises `ServiceUnavailable` when the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Json:
        """The list of cinemas with their halls and the halls' totals."""
        data: str = await self._database.fetchval(_QUERIES["list"])
        return Json(data.encode())

    async def totals(self, hall_ids: Iterable[int]) -> list[Json]:
        """An update for each cinema that has one of these halls, with those halls' totals."""
        rows = await self._database.fetch(_QUERIES["counts"], list(hall_ids))
        return [Json(row["data"].encode()) for row in rows]

    async def cinemas(self, cinema_ids: Iterable[int]) -> list[Json]:
        """An update for each of these cinemas, with its name, its colour and all its halls."""
        rows = await self._database.fetch(_QUERIES["cinema"], list(cinema_ids))
        return [Json(row["data"].encode()) for row in rows]
