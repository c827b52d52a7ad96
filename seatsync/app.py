"""The composition root: builds every part, starts them in order, and stops them in order."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from socket import socket
from typing import Any

import structlog
import trio
from attrs import evolve

from seatsync import errors
from seatsync.cinema.feed import CinemaFeed
from seatsync.cinema.methods import CinemaMethods
from seatsync.cinema.store import CinemaStore
from seatsync.config import Settings
from seatsync.core.channels.channels import Channels
from seatsync.core.connections.connection import Connection
from seatsync.core.connections.table import Connections
from seatsync.core.http.admission import Admission
from seatsync.core.http.api import Api
from seatsync.core.http.origin import OriginPolicy
from seatsync.core.http.pages import Pages
from seatsync.core.http.server import HttpServer
from seatsync.core.http.upgrade import Handshake
from seatsync.core.net.accept import BURST, SHARED_BURST, accept_forever
from seatsync.core.net.limits import ClientLimits, SocketLimits
from seatsync.core.net.listen import make_room
from seatsync.core.net.stream import SLOW_BYTES, Stream
from seatsync.core.postgres.listener import Listener
from seatsync.core.postgres.pool import Database, open_loop
from seatsync.core.postgres.prune import Prune, prune_forever
from seatsync.core.postgres.queries import load
from seatsync.core.protocol.registry import Registry
from seatsync.core.telemetry.metrics import Exposition, Metrics
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.timing import Timing
from seatsync.core.tokens import Tokens
from seatsync.core.websocket.frames import CloseCode
from seatsync.core.websocket.handshake import accept_head
from seatsync.core.websocket.socket import WebSocket, turn_away
from seatsync.hall.feed import HallFeed
from seatsync.hall.methods import SUBSCRIBE, HallMethods
from seatsync.hall.store import HallStore
from seatsync.hall.writer import group_commit
from seatsync.user.feed import UserFeed
from seatsync.user.methods import UserMethods
from seatsync.user.sessions import Authenticator
from seatsync.user.store import UserStore

#: How long the feed may take to become live at the start, in seconds.
FEED_START_S = 10.0

#: How often idle channels are dropped, in seconds.
EVICT_S = 10.0

#: Rows that one pruning statement removes at most.
PRUNE_ROWS = 1000

logger = structlog.get_logger(__name__)


class StartError(errors.Failure):
    """The server cannot start."""


async def serve(
    settings: Settings,
    listening: Sequence[socket],
    stop: trio.Event,
    *,
    started: Callable[[], Awaitable[None]],
    metrics: Metrics | None = None,
    metrics_text: Callable[[], Awaitable[bytes]] | None = None,
    timing: Timing = Timing(),
    slow_bytes: int = SLOW_BYTES,
) -> None:
    """Start everything, call ``started`` once connections are accepted, and stop everything when ``stop`` is set.

    ``settings`` names a migrated database; ``listening`` is closed once nothing more is accepted. ``metrics_text`` is
    what ``/metrics`` shows, this server's own unless given. The end is the start in reverse: no new connections, a
    clean close of the open ones, then what they needed. A cancellation drops the connections where they are; nothing
    that was answered is lost by it. Raises `StartError`.
    """
    settings = evolve(settings, max_connections=make_room(settings.max_connections))
    async with (
        open_loop(),
        Database.open(settings.database_url or "", settings.db_pool_size, timing=timing) as database,
        trio.open_nursery() as background,
    ):
        server = _Server(settings, database, background, metrics or Metrics(), metrics_text, timing=timing)
        async with unless(stop):
            await server.start(background)
        if not stop.is_set():
            accept = partial(
                accept_forever,
                burst=BURST if settings.workers == 1 else SHARED_BURST,
                timing=timing,
                slow_bytes=slow_bytes,
            )
            await _serve_until(stop, server, listening, started, accept)
        background.cancel_scope.cancel()


@asynccontextmanager
async def unless(stop: trio.Event) -> AsyncIterator[None]:
    """Cancel the block when ``stop`` is set; its errors come in a group, as a nursery's do."""

    async def wait() -> None:
        await stop.wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        yield
        nursery.cancel_scope.cancel()


async def _serve_until(
    stop: trio.Event,
    server: "_Server",
    listening: Sequence[socket],
    started: Callable[[], Awaitable[None]],
    accept: Callable[..., Awaitable[None]],
) -> None:
    """Accept connections until ``stop`` is set, then give all of them `DRAIN_TIMEOUT` to close."""
    async with trio.open_nursery() as served:
        async with trio.open_nursery() as accepting:
            for one in listening:
                accepting.start_soon(accept, one, server.socket_limits, server.http.serve, served)
            await started()
            await stop.wait()
            server.stopping = True
            accepting.cancel_scope.cancel()
        for one in listening:
            one.close()
        server.finish()
        served.cancel_scope.deadline = trio.current_time() + server.settings.drain_timeout_s


class _Server:
    """Every part of one running server, wired up."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        background: trio.Nursery,
        metrics: Metrics,
        metrics_text: Callable[[], Awaitable[bytes]] | None,
        *,
        timing: Timing,
    ) -> None:

        def spawn(function: Callable[..., Awaitable[object]], *args: object) -> None:
            background.start_soon(_guarded, function, args)

        self.settings = settings
        self._database = database
        self._timing = timing
        self.stopping = False
        """The end has begun: `health` says so."""
        self.metrics = metrics
        self._exposition = Exposition(metrics)
        metrics.pool_size = database.size
        metrics.read_from("pool_in_use", lambda: database.in_use)
        tokens = Tokens(settings.jwt_secret or "", settings.cookie_secure)

        halls = HallStore(database)
        self._channels = Channels(SUBSCRIBE, halls, spawn, metrics)
        hall_feed = HallFeed(self._channels, halls)
        self._writer = group_commit(hall_feed, halls, metrics, timing)
        self._cinemas = CinemaFeed(CinemaStore(database), spawn, metrics)
        self.socket_limits = SocketLimits(
            connections=settings.max_connections,
            connections_per_address=settings.max_connections_per_address,
            requests_per_s=settings.requests_per_s,
            trusted_proxies=settings.trusted_proxies,
        )
        self._failures = FailureLog()
        addresses = ClientLimits(
            requests_per_s=settings.requests_per_s,
            messages_per_s=settings.messages_per_s,
            connections=settings.max_connections_per_address,
        )
        self._connections = Connections(
            spawn, metrics, addresses, limit=settings.max_connections, public_view=settings.public_view
        )
        user_store = UserStore(database)
        users = UserFeed(user_store, self._connections)

        self.listener = Listener(
            settings.listen_url or database.dsn,
            {
                "hall": [hall_feed.notified, self._cinemas.hall_changed],
                "cinema": [self._cinemas.cinema_changed],
                "cinemas": [self._cinemas.list_changed],
                "visitor": [users.visitor_changed],
                "session": [users.session_revoked],
            },
            [self._channels, self._cinemas, users],
            metrics,
            timing=timing,
        )
        self._registry = Registry(
            [
                *CinemaMethods(self._cinemas).table(),
                *HallMethods(self._channels, self._writer).table(),
                *UserMethods(database, tokens, settings).table(),
            ],
            public_view=settings.public_view,
        )
        self.http = HttpServer(
            Api(self._registry, tokens, Authenticator(user_store, tokens, spawn).client),
            Pages(
                self._registry,
                health=self.health,
                metrics=metrics_text or self._metrics_text,
                metrics_token=settings.metrics_token,
            ),
            Admission(
                OriginPolicy(settings.allowed_origins, loopback_only=settings.loopback_only),
                addresses,
                settings.trusted_proxies,
                lambda: self._connections.has_room,
            ),
            upgrade=self._upgrade,
            announce=users.announce,
            nursery=background,
            failures=self._failures,
            observe=metrics.answered,
            max_body_bytes=settings.max_message_bytes,
            timing=timing,
        )

    async def start(self, background: trio.Nursery) -> None:
        """Start what runs beside the connections, and wait until the feed is live. Raises `StartError`."""
        background.start_soon(self._database.recheck)
        background.start_soon(self.listener.run)
        background.start_soon(self._writer.run)
        background.start_soon(self._cinemas.run)
        background.start_soon(self._connections.watch)
        background.start_soon(self._evict)
        background.start_soon(prune_forever, self._database, _prunes(self.settings), self._timing)
        with trio.move_on_after(FEED_START_S) as scope:
            await self.listener.wait_live()
        if scope.cancelled_caught:
            raise StartError(
                "The database's notifications do not arrive; behind a pooler, LISTEN_URL has to name PostgreSQL itself."
            )

    def finish(self) -> None:
        """Have every connection close, WebSockets with 1001; what is under way is answered first."""
        self._connections.close_all(CloseCode.GOING_AWAY, "drain")
        self.http.finish()

    async def _upgrade(self, stream: Stream, handshake: Handshake) -> None:
        """Make an accepted handshake a WebSocket and serve it to its end."""
        stream.push(accept_head(handshake.key, handshake.headers))
        socket = WebSocket(stream, max_message_bytes=self.settings.max_message_bytes, timing=self._timing)
        if not self._connections.has_room:
            self._note_refusal(handshake)
            await turn_away(socket)
            return
        connection = Connection(socket, handshake.client, self._registry, self.metrics, self._failures)
        await self._connections.serve(connection)

    def _note_refusal(self, handshake: Handshake) -> None:
        code = errors.TooManyConnections.code
        self.metrics.answered(handshake.path, code, 0.0)
        self._failures.write(code, type=handshake.path, address=handshake.client.address)

    def health(self) -> Mapping[str, Any]:
        """Whether the server can serve, and which part cannot."""
        parts = {
            "database": "ok" if self._database.reachable else "unreachable",
            "feed": "live" if self.listener.live else "lost",
            "server": "stopping" if self.stopping else "ok",
        }
        return {"ready": all(state in {"ok", "live"} for state in parts.values()), **parts}

    async def _metrics_text(self) -> bytes:
        return self._exposition.text()

    async def _evict(self) -> None:
        while True:
            await trio.sleep(EVICT_S)
            self._channels.evict_idle()


def _prunes(settings: Settings) -> list[Prune]:
    hall = load("hall")
    return [
        Prune(load("user")["prune"], (PRUNE_ROWS,)),
        Prune(hall["prune_keys"], (PRUNE_ROWS,)),
        Prune(hall["prune_events"], (settings.event_retention_days, PRUNE_ROWS)),
    ]


async def _guarded(function: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
    """Run a background task whose fault must not end the server."""
    try:
        await function(*args)
    except Exception:
        logger.exception("background_fault", task=getattr(function, "__qualname__", repr(function)))
