"""All open WebSocket connections of this node: found by visitor and session, kept alive, closed.

Deadlines (a ping when a connection is silent, its end when it stays so, the end of its token) stand in one heap: a
connection is looked at when it may be due, not every second.
"""

import heapq
import time
from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

import structlog
import trio

from seatsync.core.connections.connection import Connection
from seatsync.core.net.limits import ClientLimits
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.websocket.frames import CloseCode

#: Silence after which a connection is pinged, and after which it is dropped, in seconds.
PING_AFTER_S, DROP_AFTER_S = 25.0, 60.0

#: How long a peer may take nothing of what it is sent before it is closed with 4008, in seconds.
SLOW_FOR_S = 120.0

#: Between the news that a client's login state has changed and the close that makes it reconnect, in seconds.
LOGIN_CLOSE_S = 1.0

#: How long a revoked session's connections wait for news of the login that may have replaced it, in seconds.
REVOKED_WAIT_S = 0.5

#: How long a connection may take from the check of its session until it is in the index, in seconds.
HANDSHAKE_S = 10.0

#: How often the deadlines are looked at, in seconds.
TICK_S = 0.5

USER_SUBSCRIBE = "user.subscribe"
GUEST = Json(b'{"status":"guest"}')

logger = structlog.get_logger(__name__)


class Connections:
    """The open connections and what is done to many of them at once."""

    def __init__(
        self,
        spawn: Callable[..., object],
        metrics: Metrics,
        addresses: ClientLimits,
        *,
        limit: int,
        public_view: bool,
    ) -> None:
        self._spawn = spawn
        self._metrics = metrics
        self._addresses = addresses
        self._limit = limit
        self._public_view = public_view
        self._all: dict[int, Connection] = {}
        self._by_visitor: defaultdict[str, set[Connection]] = defaultdict(set)
        self._by_session: defaultdict[UUID, set[Connection]] = defaultdict(set)
        self._revoked: dict[UUID, float] = {}
        self._leaving: set[Connection] = set()
        self._due: list[tuple[float, int]] = []
        self._farewell: tuple[CloseCode, str, tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self._all)

    @property
    def has_room(self) -> bool:
        """Another connection may be accepted."""
        return len(self._all) < self._limit

    async def serve(self, connection: Connection) -> None:
        """Run a connection with its place in the indexes; returns when it has ended."""
        self._add(connection)
        started = trio.current_time()
        try:
            await connection.run()
        finally:
            self._remove(connection)
            logger.info(
                "connection_closed",
                connection=connection.id,
                user=connection.client.username,
                address=connection.client.address,
                close_code=connection.socket.close_code,
                seconds=round(trio.current_time() - started, 1),
            )

    def _add(self, connection: Connection) -> None:
        self._all[connection.id] = connection
        connection.socket.budget = self._addresses.opened(connection.client.address)
        self._metrics.connections = len(self._all)
        self._by_visitor[connection.client.visitor].add(connection)
        if connection.client.session_id is not None:
            self._by_session[connection.client.session_id].add(connection)
            if connection.client.session_id in self._revoked:
                self._end_session(connection)
        self._schedule(connection)
        if self._farewell is not None:
            self._spawn(connection.close, *self._farewell)

    def _remove(self, connection: Connection) -> None:
        del self._all[connection.id]
        self._addresses.closed(connection.client.address)
        self._leaving.discard(connection)
        self._metrics.connections = len(self._all)
        _drop(self._by_visitor, connection.client.visitor, connection)
        if connection.client.session_id is not None:
            _drop(self._by_session, connection.client.session_id, connection)

    # Login state

    def visitor_changed(self, visitor: str, data: Json) -> None:
        """A client logged in or out over HTTP: tell its sockets, then have them reconnect."""
        for connection in list(self._by_visitor.get(visitor, ())):
            self._leave(connection, data, 0.0)

    def session_revoked(self, session_id: UUID) -> None:
        """A session is gone: its connections have no rights any more and are closed within two seconds."""
        now = trio.current_time()
        while self._revoked and next(iter(self._revoked.values())) < now - HANDSHAKE_S:
            del self._revoked[next(iter(self._revoked))]
        self._revoked[session_id] = now
        for connection in list(self._by_session.get(session_id, ())):
            self._end_session(connection)

    def _end_session(self, connection: Connection) -> None:
        connection.client.ended = True
        self._leave(connection, GUEST, REVOKED_WAIT_S)

    @property
    def session_ids(self) -> list[UUID]:
        """The sessions behind the open connections: what has to be checked again after the feed was lost."""
        return list(self._by_session)

    def _leave(self, connection: Connection, data: Json, wait_s: float) -> None:
        if connection not in self._leaving:
            self._spawn(self._say_and_close, connection, data, wait_s)

    async def _say_and_close(self, connection: Connection, data: Json, wait_s: float) -> None:
        await trio.sleep(wait_s)
        if connection in self._leaving or connection.id not in self._all:
            return
        self._leaving.add(connection)
        for subscriber in connection.subscribers(USER_SUBSCRIBE):
            subscriber.send(b"update", data)
        if self._public_view:
            await trio.sleep(LOGIN_CLOSE_S)
        await connection.close(CloseCode.LOGIN_CHANGED, "login changed", (0, 0))

    # Deadlines

    async def watch(self) -> None:
        """Ping the silent, drop the dead, the stuck and those whose token has expired, until cancelled."""
        while True:
            await trio.sleep(TICK_S)
            now = trio.current_time()
            while self._due and self._due[0][0] <= now:
                connection = self._all.get(heapq.heappop(self._due)[1])
                if connection is not None:
                    self._check(connection, now)

    def _schedule(self, connection: Connection, at: float = 0.0) -> None:
        """Look at the connection at ``at`` (trio's clock), or when its token expires if that is sooner."""
        at = at or trio.current_time() + PING_AFTER_S
        if not connection.client.ended:
            at = min(at, trio.current_time() + max(0.0, connection.client.expires_at - time.time()))
        heapq.heappush(self._due, (at, connection.id))

    def _check(self, connection: Connection, now: float) -> None:
        if not connection.client.ended and connection.client.expires_at <= time.time():
            connection.client.ended = True
            self._leave(connection, GUEST, 0.0)
        silent_s = connection.socket.stream.silent_s
        if connection.behind_since is not None and now - connection.behind_since > SLOW_FOR_S:
            self._metrics.slow_closes += 1
            self._spawn(connection.close, CloseCode.TOO_SLOW, "too slow", (0, 5000))
        elif silent_s >= DROP_AFTER_S:
            self._spawn(connection.close, CloseCode.GOING_AWAY, "silent")
        elif silent_s >= PING_AFTER_S:
            connection.socket.ping()
            self._schedule(connection, now + max(TICK_S, min(PING_AFTER_S, DROP_AFTER_S - silent_s)))
        else:
            self._schedule(connection, now - silent_s + PING_AFTER_S)

    # The end

    def close_all(self, code: CloseCode, reason: str) -> None:
        """Have every connection close, and those that still open, with the same advice on when to come back."""
        self._farewell = (code, reason, (0, spread_ms(len(self._all))))
        for connection in self._all.values():
            self._spawn(connection.close, *self._farewell)


def spread_ms(connections: int) -> int:
    """Over how long that many clients should spread their return: 2,000 a second, at least one second."""
    return max(1000, connections // 2)


def _drop(index: dict, key: object, connection: Connection) -> None:  # type: ignore[type-arg]  # of either kind of key
    members = index.get(key)
    if members is not None:
        members.discard(connection)
        if not members:
            del index[key]
