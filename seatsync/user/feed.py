"""Logins, logouts and revoked sessions, from whichever server they happened on, handed to the open connections."""

from typing import Any
from uuid import UUID

from seatsync.core.connections.table import Connections
from seatsync.core.protocol.registry import Json, encode
from seatsync.user.store import UserStore


class UserFeed:
    """A `seatsync.core.postgres.listener.Follower` for what happens to users."""

    def __init__(self, store: UserStore, connections: Connections) -> None:
        self._store = store
        self._connections = connections

    async def announce(self, visitor: str, data: dict[str, Any]) -> None:
        """Tell every server of a visitor's new login state. Raises `ServiceUnavailable`."""
        await self._store.announce_login(visitor, encode(data).decode())

    def visitor_changed(self, payload: str) -> None:
        """``visitor <id> <JSON>``: its login state changed over HTTP."""
        visitor, _, data = payload.partition(" ")
        self._connections.visitor_changed(visitor, Json(data.encode()))

    def session_revoked(self, payload: str) -> None:
        """``session <uuid>``: it is gone."""
        self._connections.session_revoked(UUID(payload))

    def lost(self) -> None:
        """The feed is down: what is revoked meanwhile is found out when it is back; writes are refused at once."""

    async def resync(self) -> None:
        """The feed is back: find the sessions that were revoked meanwhile. Raises `ServiceUnavailable`."""
        known = self._connections.session_ids
        if known:
            for session_id in set(known) - await self._store.live_sessions(known):
                self._connections.session_revoked(session_id)

    def set_stale(self, *, stale: bool) -> None:
        """Login states are never told stale: existing clients take any such frame as the login state."""
