"""All open WebSocket connections of a node, by visitor and by session: opened, closed, and changed in login state."""

from collections import defaultdict
from collections.abc import Callable
from uuid import UUID

import structlog
import trio
from attrs import frozen

from seatsync.core.connections.connection import Connection
from seatsync.core.connections.keepalive import Keepalive
from seatsync.core.net.limits import ClientLimits
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode

logger = structlog.get_logger(__name__)


@frozen
class LoginState:
    """How the domain of users shows the login state to clients."""

    subscribe: str
    """The method that subscribes to it."""
    guest: Json
    """Its data after a logout."""


class Connections:
    """The open connections and the operations on many of them."""

    def __init__(
        self,
        spawn: Callable[..., object],
        metrics: Metrics,
        addresses: ClientLimits,
        login_state: LoginState,
        *,
        limit: int,
        public_view: bool,
        timing: Timing = Timing(),
    ) -> None:
        self._spawn = spawn
        self._metrics = metrics
        self._addresses = addresses
        self._login_state = login_state
        self._timing = timing
        self._limit = limit
        self._public_view = public_view
        self._all: dict[int, Connection] = {}
        self._by_visitor: defaultdict[str, set[Connection]] = defaultdict(set)
        self._by_session: defaultdict[UUID, set[Connection]] = defaultdict(set)
        self._revoked: dict[UUID, float] = {}
        """When sessions were revoked, for handshakes in flight."""
        self._leaving: set[Connection] = set()
        self._farewell: tuple[CloseCode, str, tuple[int, int]] | None = None
        self.keepalive = Keepalive(self._all, self._expire, spawn, metrics, timing)

    def __len__(self) -> int:
        return len(self._all)

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
            logger.info(
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
        connection.socket.budget = self._addresses.opened(client.address)
        self._metrics.connections = len(self._all)
        self._by_visitor[client.visitor].add(connection)
        if client.session is not None:
            self._by_session[client.session.id].add(connection)
            if client.session.id in self._revoked:
                self._end_session(connection, self._timing.revoked_wait_s)
        self.keepalive.schedule(connection, self._timing.ping_after_s)
        if self._farewell is not None:
            self._spawn(connection.close, *self._farewell)

    def _remove(self, connection: Connection) -> None:
        client = connection.client
        del self._all[connection.id]
        self._addresses.closed(client.address)
        self._leaving.discard(connection)
        self._metrics.connections = len(self._all)
        _drop(self._by_visitor, client.visitor, connection)
        if client.session is not None:
            _drop(self._by_session, client.session.id, connection)

    # Login state

    @property
    def session_ids(self) -> list[UUID]:
        """The sessions of the open connections."""
        return list(self._by_session)

    def visitor_changed(self, visitor: str, data: Json) -> None:
        """A visitor logged in or out over HTTP: send its connections the new state, then close them to reconnect."""
        for connection in list(self._by_visitor.get(visitor, ())):
            self._leave(connection, data, 0.0)

    def session_revoked(self, session_id: UUID) -> None:
        """End the rights of a session's connections at once, and close them within two seconds."""
        now = trio.current_time()
        while self._revoked and next(iter(self._revoked.values())) < now - self._timing.handshake_s:
            del self._revoked[next(iter(self._revoked))]
        self._revoked[session_id] = now
        for connection in list(self._by_session.get(session_id, ())):
            self._end_session(connection, self._timing.revoked_wait_s)

    def _expire(self, connection: Connection) -> None:
        self._end_session(connection, 0.0)

    def _end_session(self, connection: Connection, wait_s: float) -> None:
        if connection.client.session is not None:
            connection.client.session.ended = True
        self._leave(connection, self._login_state.guest, wait_s)

    def _leave(self, connection: Connection, data: Json, wait_s: float) -> None:
        if connection not in self._leaving:
            self._spawn(self._announce_and_close, connection, data, wait_s)

    async def _announce_and_close(self, connection: Connection, data: Json, wait_s: float) -> None:
        await trio.sleep(wait_s)
        if connection in self._leaving or connection.id not in self._all:
            return
        self._leaving.add(connection)
        for subscription in connection.subscriptions(self._login_state.subscribe):
            subscription.send(b"update", data)
        if self._public_view:
            await trio.sleep(self._timing.login_close_s)
        await connection.close(CloseCode.LOGIN_CHANGED, "login changed", (0, 0))

    # The end

    def close_all(self, code: CloseCode, reason: str) -> None:
        """Begin to close every connection, and those that open later, with one range of reconnect delays."""
        self._farewell = (code, reason, (0, spread_ms(len(self._all))))
        for connection in self._all.values():
            self._spawn(connection.close, *self._farewell)


def spread_ms(connections: int) -> int:
    """The time over which that many clients spread their reconnects: 2,000 a second, one second at least."""
    return max(1000, connections // 2)


def _drop(index: dict, key: object, connection: Connection) -> None:  # type: ignore[type-arg]  # of either kind of key
    members = index.get(key)
    if members is not None:
        members.discard(connection)
        if not members:
            del index[key]
