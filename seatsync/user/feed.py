"""The notifications about users: logins, logouts and revoked sessions of every server, for the open connections."""

from typing import Any
from uuid import UUID

from seatsync.core.connections.table import Connections
from seatsync.core.postgres.pool import Database
from seatsync.core.protocol.registry import Json, encode
from seatsync.user.store import QUERIES


class UserFeed:
    """Handles the notifications of users; a `seatsync.core.postgres.listener.Follower`."""

    def __init__(self, db: Database, connections: Connections) -> None:
        self._db = db
        self._connections = connections

    async def announce(self, visitor: str, data: Any) -> None:
        """Notify every server of a visitor's new login state. Raises `ServiceUnavailable`."""
        await self._db.execute(QUERIES["announce_login"], visitor, encode(data).decode())

    def visitor_changed(self, payload: str) -> None:
        """``<visitor> <JSON>``: its login state changed over HTTP."""
        visitor, _, data = payload.partition(" ")
        self._connections.visitor_changed(visitor, Json(data.encode()))

    def session_revoked(self, payload: str) -> None:
        """``<uuid>``: the session has ended."""
        self._connections.session_revoked(UUID(payload))

    def lost(self) -> None:
        """Nothing: writes check their session in the database, and `resync` finds the sessions revoked meanwhile."""

    async def resync(self) -> None:
        """Find the sessions that were revoked while the feed was lost. Raises `ServiceUnavailable`."""
        known = self._connections.session_ids
        if known:
            live = {row["id"] for row in await self._db.fetch(QUERIES["live_sessions"], known)}
            for session_id in set(known) - live:
                self._connections.session_revoked(session_id)

    def set_stale(self, *, stale: bool) -> None:
        """Nothing: existing clients take every frame of this subscription as the login state."""
