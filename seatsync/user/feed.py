"""The notifications about users: logins, logouts and revoked sessions of every server, for the open connections."""

import time
from typing import Any

import structlog

from seatsync.core.connections.table import Connections, alias
from seatsync.core.postgres.feed_key import FeedKey
from seatsync.core.postgres.pool import Database
from seatsync.core.protocol.registry import Json, encode
from seatsync.core.telemetry.sampling import REFUSALS, Lines
from seatsync.user.store import QUERIES

#: How old an announcement may be, in seconds, by the clocks of two servers: an older one is a copy that was kept.
ANNOUNCED_S = 30.0

logger = structlog.get_logger(__name__)


class UserFeed:
    """Handles the notifications of users; a `seatsync.core.postgres.listener.Follower`."""

    def __init__(self, db: Database, connections: Connections, key: FeedKey) -> None:
        self._db = db
        self._connections = connections
        self._key = key
        self._taken: dict[str, float] = {}
        """When each of the last announcements was made: a copy of one is not taken."""
        self._ignored = Lines(*REFUSALS)

    async def announce(self, visitor: str, successor: str | None, data: Any) -> None:
        """Notify every server of a visitor's new login state, and of the id that replaces its own, if one does.

        Raises `ServiceUnavailable`.
        """
        aliases = ",".join(alias(one.encode()) for one in (visitor, successor) if one is not None)
        body = f"visitor {time.time():.3f} {aliases} {encode(data).decode()}"
        await self._db.execute(QUERIES["notify"], self._key.sign(body))

    def visitor_changed(self, body: str) -> None:
        """``<time> <alias>[,<new alias>] <JSON>``: a visitor's login state has changed over HTTP at that time, in
        seconds.
        """
        made, aliases, data = body.split(" ", 2)
        oldest = time.time() - ANNOUNCED_S
        if float(made) < oldest or body in self._taken:
            self._ignored.write(logger.warning, "announcement_ignored", made=made)
            return
        self._taken = {one: when for one, when in self._taken.items() if when >= oldest} | {body: float(made)}
        visitor, _, successor = aliases.partition(",")
        self._connections.visitor_changed(visitor, successor or None, Json(data.encode()))

    def session_revoked(self, body: str) -> None:
        """``<alias>``: the session has ended."""
        self._connections.session_revoked(body)

    def lost(self) -> None:
        """Nothing: writes check their session in the database, and `resync` finds the sessions revoked meanwhile."""

    async def resync(self) -> None:
        """Find the sessions that were revoked while the feed was lost. Raises `ServiceUnavailable`."""
        known = self._connections.session_ids
        if known:
            live = {row["id"] for row in await self._db.fetch(QUERIES["live_sessions"], list(known))}
            for session_id in known - live:
                self._connections.session_revoked(alias(session_id.bytes))

    def set_stale(self, *, stale: bool) -> None:
        """Nothing: existing clients take every frame of this subscription as the login state."""
