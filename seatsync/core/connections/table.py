"""All open WebSocket connections of a node: indexed, checked when a deadline may have passed, and closed."""

import hashlib
import heapq
import time
from collections.abc import Callable
from uuid import UUID

import structlog
import trio
from attrs import Factory, define, field

from seatsync.core.connections.connection import Connection
from seatsync.core.connections.visitors import Visitors
from seatsync.core.net.limits import ClientLimits
from seatsync.core.protocol.call import Client
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import ABNORMAL, CloseCode, close_label

#: How long a client that was too slow waits before it reconnects, in milliseconds.
SLOW_RETRY_MS = (0, 5000)

_LOGIN_CHANGED = (CloseCode.LOGIN_CHANGED, "login changed", (0, 0))

logger = structlog.get_logger(__name__)


@define(eq=False)
class Connections:
    """The open connections and the operations on many of them."""

    _spawn: Callable[..., object]
    _metrics: Metrics
    _addresses: ClientLimits
    _login_method: str = field(kw_only=True)
    """The method that subscribes to the login state."""
    _guest: Json = field(kw_only=True)
    """The login state after a logout."""
    _limit: int = field(kw_only=True)
    _public_view: bool = field(kw_only=True)
    _timing: Timing = field(default=Timing(), kw_only=True)
    _all: dict[int, Connection] = field(factory=dict, init=False)
    _of: dict[str, set[Connection]] = field(factory=dict, init=False)
    """The connections of each visitor and of each session, by alias."""
    _revoked: dict[str, float] = field(factory=dict, init=False)
    """When sessions were revoked, for handshakes in flight."""
    _visitors: Visitors = field(default=Factory(lambda self: Visitors(self._timing), takes_self=True), init=False)
    _leaving: set[Connection] = field(factory=set, init=False)
    _farewell: tuple[CloseCode, str, tuple[int, int]] | None = field(default=None, init=False)
    _due: list[tuple[float, int]] = field(factory=list, init=False)
    """A heap of the connections' deadlines."""

    @property
    def has_room(self) -> bool:
        """Another connection may be accepted."""
        return len(self._all) < self._limit

    async def serve(self, connection: Connection) -> None:
        """Run a connection to its end, indexed meanwhile."""
        self._add(connection)
        started = trio.current_time()
        try:
            await connection.run()
        finally:
            self._remove(connection)
            self._metrics.closes[(close_label(connection.socket.close_code or ABNORMAL),)] += 1
            logger.debug(
                "connection_closed",
                connection=connection.id,
                user=connection.client.username,
                address=connection.client.address,
                close_code=connection.socket.close_code,
                seconds=round(trio.current_time() - started, 1),
            )

    def _add(self, connection: Connection) -> None:
        client = connection.client
        self._all[connection.id] = connection
        connection.socket.budget = self._addresses.opened(client.address, is_local=client.is_local)
        self._metrics.connections = len(self._all)
        keys = _keys(client)
        for key in keys:
            self._of.setdefault(key, set()).add(connection)
        missed = self._visitors.missed(keys[0])
        if missed is not None:
            connection.missed = self._login_method, missed
            self._leaving.add(connection)
            self._spawn(self._close_later, connection)
        if any(key in self._revoked for key in keys):
            self._end_session(connection, self._timing.revoked_wait_s)
        self._schedule(connection, self._timing.ping_after_s)
        if self._farewell is not None:
            self._spawn(connection.close, *self._farewell)

    def _remove(self, connection: Connection) -> None:
        client = connection.client
        del self._all[connection.id]
        self._addresses.closed(client.address, is_local=client.is_local)
        self._leaving.discard(connection)
        self._metrics.connections = len(self._all)
        for key in _keys(client):
            self._of[key].discard(connection)
            if not self._of[key]:
                del self._of[key]

    # Login state

    @property
    def session_ids(self) -> set[UUID]:
        """The sessions of the open connections."""
        return {one.client.session.id for one in self._all.values() if one.client.session is not None}

    @property
    def sessions_in_use(self) -> set[UUID]:
        """Those that have been checked in the database, and have not ended."""
        sessions = {one.client.session for one in self._all.values() if one.client.session is not None}
        return {session.id for session in sessions if session.identity is not None and not session.ended}

    def visitor_changed(self, visitor: str, successor: str | None, data: Json) -> None:
        """A visitor logged in or out over HTTP: send its connections the new state, then close them to reconnect.

        A login gives it another id, the ``successor``. So a handshake that comes with the former id was under way: it
        is sent the state, too, and closed `Timing.login_close_s` later.
        """
        for key in self._visitors.changed(visitor, successor, data):
            for connection in self._of.get(key, ()):
                self._leaving.add(connection)
                self._announce(connection, data)
                self._spawn(connection.close, *_LOGIN_CHANGED)

    def session_revoked(self, session: str) -> None:
        """End the rights of a session's connections at once, and close them within two seconds."""
        now = trio.current_time()
        while self._revoked and next(iter(self._revoked.values())) < now - self._timing.handshake_s:
            del self._revoked[next(iter(self._revoked))]
        self._revoked[session] = now
        for connection in self._of.get(session, ()):
            self._end_session(connection, self._timing.revoked_wait_s)

    def _end_session(self, connection: Connection, wait_s: float) -> None:
        if connection.client.session is not None:
            connection.client.session.ended = True
        self._spawn(self._close_as_guest, connection, wait_s)

    def _announce(self, connection: Connection, data: Json) -> None:
        for subscription in connection.subscriptions(self._login_method):
            subscription.send(b"update", data)

    async def _close_as_guest(self, connection: Connection, wait_s: float) -> None:
        await trio.sleep(wait_s)
        if connection not in self._leaving and connection.id in self._all:
            self._leaving.add(connection)
            self._announce(connection, self._guest)
            if self._public_view:
                await trio.sleep(self._timing.login_close_s)
            await connection.close(*_LOGIN_CHANGED)

    async def _close_later(self, connection: Connection) -> None:
        await trio.sleep(self._timing.login_close_s)
        if connection.id in self._all:
            await connection.close(*_LOGIN_CHANGED)

    # Deadlines

    async def keep_alive(self) -> None:
        """Ping the silent, end the silent and the slow, and expire tokens, until cancelled."""
        while True:
            await trio.sleep(self._timing.tick_s)
            now = trio.current_time()
            while self._due and self._due[0][0] <= now:
                connection = self._all.get(heapq.heappop(self._due)[1])
                if connection is not None:
                    self._check(connection, now)

    def _schedule(self, connection: Connection, after_s: float) -> None:
        """Check the connection after so many seconds, or when its token expires if that is sooner."""
        session = connection.client.session
        if session is not None and not session.ended:
            after_s = min(after_s, max(0.0, session.expires_at - time.time()))
        heapq.heappush(self._due, (trio.current_time() + after_s, connection.id))

    def _check(self, connection: Connection, now: float) -> None:
        session = connection.client.session
        if session is not None and not session.ended and session.expires_at <= time.time():
            self._end_session(connection, 0.0)
        timing, silent_s = self._timing, connection.socket.stream.silent_s
        if connection.behind_since is not None and now - connection.behind_since > timing.slow_for_s:
            self._metrics.slow_closes += 1
            self._spawn(connection.close, CloseCode.TOO_SLOW, "too slow", SLOW_RETRY_MS)
        elif silent_s >= timing.drop_after_s:
            self._spawn(connection.close, CloseCode.GOING_AWAY, "silent")
        elif silent_s >= timing.ping_after_s:
            connection.socket.ping()
            self._schedule(connection, max(timing.tick_s, min(timing.ping_after_s, timing.drop_after_s - silent_s)))
        else:
            self._schedule(connection, timing.ping_after_s - silent_s)

    # The end

    def close_all(self, code: CloseCode, reason: str) -> None:
        """Begin to close every connection, and those that open later, with one range of reconnect delays."""
        self._farewell = (code, reason, (0, spread_ms(len(self._all))))
        for connection in self._all.values():
            self._spawn(connection.close, *self._farewell)


def spread_ms(connections: int) -> int:
    """The time over which that many clients spread their reconnects: 2,000 a second, one second at least."""
    return max(1000, connections // 2)


def alias(secret: bytes) -> str:
    """The name of a visitor or a session in notifications, which any role may read: SHA-256 of its id, in hex."""
    return hashlib.sha256(secret).hexdigest()


def _keys(client: Client) -> list[str]:
    """The aliases of a client's visitor and, if it has one, of its session."""
    session = client.session
    return [alias(secret) for secret in (client.visitor.encode(), *(() if session is None else (session.id.bytes,)))]
