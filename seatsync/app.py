"""The composition root: builds every part, starts them in order, and stops them in order."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import structlog
import trio
from attrs import define, evolve, field

from seatsync import errors
from seatsync.cinema.live_list import LiveList
from seatsync.cinema.methods import CinemaMethods
from seatsync.cinema.store import CinemaStore
from seatsync.config import Settings
from seatsync.core.channels.channels import Channels
from seatsync.core.connections.connection import Connection
from seatsync.core.connections.table import Connections
from seatsync.core.http.api import Api
from seatsync.core.http.cookies import Cookies
from seatsync.core.http.files import Files
from seatsync.core.http.origin import OriginPolicy
from seatsync.core.http.pages import Pages
from seatsync.core.http.server import HttpServer
from seatsync.core.http.source import Sources
from seatsync.core.http.upgrade import Handshake
from seatsync.core.net.accept import BURST, SHARED_BURST, accept_forever
from seatsync.core.net.limits import ClientLimits, SocketLimits
from seatsync.core.net.listen import make_room
from seatsync.core.net.stream import SLOW_BYTES, Stream
from seatsync.core.postgres.faults import DatabaseTooSlow
from seatsync.core.postgres.feed_key import FeedKey
from seatsync.core.postgres.health import OK, Health
from seatsync.core.postgres.listener import Listener
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.prune import prune_forever
from seatsync.core.postgres.queries import Query, load
from seatsync.core.protocol.envelope import close_reason
from seatsync.core.protocol.registry import Method, Registry, encode
from seatsync.core.stopping import unless
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode, FrameReader, close_label
from seatsync.core.websocket.socket import WebSocket
from seatsync.hall.history import HistoryMethods
from seatsync.hall.holds import Expiry
from seatsync.hall.methods import SUBSCRIBE, HallMethods
from seatsync.hall.report import ROLL_UP_EVENTS
from seatsync.hall.store import HallStore
from seatsync.hall.writes import group_commit
from seatsync.user.auth_events import AuthLog
from seatsync.user.feed import UserFeed
from seatsync.user.last_seen import LastSeen
from seatsync.user.login_topic import SUBSCRIBE as SUBSCRIBE_LOGIN
from seatsync.user.login_topic import LoginTopic
from seatsync.user.messages import GUEST
from seatsync.user.methods import UserMethods
from seatsync.user.phrases import Cost
from seatsync.user.session_list import SessionMethods
from seatsync.user.sessions import Authenticator
from seatsync.user.tokens import Tokens

#: The page and the JavaScript client; below ``/web/``, and the client at ``/`` as well.
WEB = Path(__file__).parent / "web"
AT_ROOT = ("client.js", "client/link.js", "client/stores.js", "client.d.ts", "protocol.d.ts")

#: Reconnect advice of a full server: from when to when clients spread their return, in milliseconds.
NO_ROOM_RETRY_MS = (5_000, 15_000)

#: Database connections of the writer (a batch, and the search for locks) with the expiry of holds, and of everything
#: about users: however many reads are under way, they are free.
WRITE_CONNECTIONS = 3
SIGN_IN_CONNECTIONS = 2

#: Rows that one pruning statement removes at most.
PRUNE_ROWS = 1000

#: Halls of which one statement makes checkpoints, at most.
PRUNE_HALLS = 50

logger = structlog.get_logger(__name__)


async def serve(
    settings: Settings,
    listening: Sequence[socket],
    stop: trio.Event,
    *,
    started: Callable[[], Awaitable[None]],
    skip_delay: trio.Event | None = None,
    metrics: Metrics | None = None,
    metrics_text: Callable[[], Awaitable[bytes]] | None = None,
    timing: Timing = Timing(),
    slow_bytes: int = SLOW_BYTES,
    phrase_cost: Cost = Cost(),
) -> None:
    """Start everything, call ``started`` once connections are accepted, and stop everything when ``stop`` is set.

    ``settings`` names a migrated database; ``listening`` is closed once nothing more is accepted. ``skip_delay`` ends
    `DRAIN_DELAY`, also beforehand. ``metrics_text`` is the text of ``/metrics``, this server's own unless given.
    The end is the start in reverse: accept nothing more, close the open connections cleanly, then stop the parts that
    they needed. A cancellation drops the connections; writes that were answered are committed all the same.
    Raises `StartError`.
    """
    settings = evolve(settings, max_connections=make_room(settings.max_connections))
    metrics = metrics or Metrics()
    health = Health(settings.database_url or "", metrics, timing=timing)
    connect = partial(Database.open, health.dsn, timing=timing, report=health.report)
    async with (
        connect(settings.db_pool_size) as reads,
        connect(WRITE_CONNECTIONS) as writes,
        connect(SIGN_IN_CONNECTIONS) as sign_ins,
        trio.open_nursery() as background,
    ):
        server = _Server(
            settings, reads, writes, sign_ins, health, background, metrics, metrics_text, timing, phrase_cost
        )
        async with unless(stop):
            await server.start()
        if not stop.is_set():
            skip_delay = trio.Event() if skip_delay is None else skip_delay
            await server.run(listening, started, stop, skip_delay, slow_bytes)
        background.cancel_scope.cancel()


@define(eq=False, slots=False)
class _Server:
    """The parts of one running server: the database's side, then the clients' side."""

    _settings: Settings
    _reads: Database
    _writes: Database
    _sign_ins: Database
    _database: Health
    _background: trio.Nursery
    _metrics: Metrics
    _metrics_text: Callable[[], Awaitable[bytes]] | None
    _timing: Timing
    _phrase_cost: Cost
    _stopping: bool = False
    _documents: dict[str, bytes] = field(factory=dict)
    _documenting: trio.Lock = field(factory=trio.Lock)

    def __attrs_post_init__(self) -> None:
        settings, metrics, timing = self._settings, self._metrics, self._timing
        self._failures = FailureLog()
        pools = (self._reads, self._writes, self._sign_ins)
        metrics.pool_size = sum(pool.size for pool in pools)
        metrics.pool_in_use = lambda: sum(pool.in_use for pool in pools)

        self._channels = Channels(SUBSCRIBE, HallStore(self._reads), self._spawn, metrics, timing=timing)
        self._writer = group_commit(HallStore(self._writes), self._channels, metrics, timing)
        self._cinemas = LiveList(CinemaStore(self._reads), self._spawn, metrics, timing=timing)

        limits = ClientLimits(settings)
        self._connections = Connections(
            self._spawn,
            metrics,
            limits,
            login_method=SUBSCRIBE_LOGIN,
            guest=encode(GUEST),
            limit=settings.max_connections,
            public_view=settings.public_view,
            timing=timing,
        )
        self._feed_key = FeedKey()
        self._users = UserFeed(self._sign_ins, self._connections, self._feed_key)
        self._seen = LastSeen(self._reads, settings.session_idle_hours, timing)
        self._listener = self._build_listener()
        self._socket_limits = SocketLimits(settings)
        self._http = self._build_http(limits)

    def _build_listener(self) -> Listener:
        cinemas, users = self._cinemas, self._users
        return Listener(
            self._settings.listen_url or self._reads.dsn,
            {
                "hall": [self._channels.notified, cinemas.hall_changed],
                "cinema": [cinemas.cinema_changed],
                "cinemas": [cinemas.list_changed],
                "visitor": [users.visitor_changed],
                "session": [users.session_revoked],
            },
            [self._channels, cinemas, users],
            self._metrics,
            key=self._feed_key,
            timing=self._timing,
        )

    def _build_http(self, limits: ClientLimits) -> HttpServer:
        settings, secrets, seen = self._settings, self._settings.jwt_secrets, self._seen
        tokens = Tokens(*secrets)
        idle_hours, logins = settings.session_idle_hours, LoginTopic(self._spawn, self._timing)
        metrics_text = self._metrics_text or self._own_metrics
        cookies = Cookies(*secrets, secure=settings.cookie_secure)
        self._registry = Registry(
            [
                *CinemaMethods(self._cinemas).table(),
                *HallMethods(self._channels, self._writer).table(),
                *HistoryMethods(self._reads).table(),
                *UserMethods(
                    self._sign_ins, tokens, settings, logins, seen=seen, phrase_cost=self._phrase_cost
                ).table(),
                *SessionMethods(self._sign_ins, seen, idle_hours).table(),
            ],
            public_view=settings.public_view,
        )
        authenticator = Authenticator(self._sign_ins, tokens, cookies, self._spawn, seen=seen, idle_hours=idle_hours)
        return HttpServer(
            Api(self._registry, cookies, authenticator.client),
            Pages(
                self._registry,
                Files(WEB, at_root=AT_ROOT),
                health=self._health,
                metrics=metrics_text,
                metrics_token=settings.metrics_token,
                document=self._document,
            ),
            OriginPolicy(settings.allowed_origins, loopback_only=settings.loopback_only, hosts=settings.allowed_hosts),
            limits,
            sources=Sources(settings.trusted_proxies, always_tls=settings.cookie_secure),
            has_room=lambda: self._connections.has_room,
            upgrade=self._upgrade,
            announce=self._users.announce,
            nursery=self._background,
            failures=self._failures,
            observe=self._metrics.answered,
            max_body_bytes=settings.max_message_bytes,
            timing=self._timing,
        )

    async def start(self) -> None:
        """Start the background tasks, and wait until the feed is live, also for a database that is slow.

        Raises `StartError`.
        """
        for task in (
            self._database.run,
            self._listener.run,
            self._writer.run,
            self._cinemas.run,
            self._connections.keep_alive,
            self._channels.evict_forever,
            self._channels.compare_forever,
            partial(self._seen.run, lambda: self._connections.sessions_in_use),
            AuthLog(self._sign_ins, self._metrics, self._timing).run,
            Expiry(self._writes, self._metrics, self._timing).run,
        ):
            self._background.start_soon(task)
        self._background.start_soon(prune_forever, self._reads, _prunes(self._settings), self._timing)
        while True:
            with trio.move_on_after(self._timing.feed_start_s):
                await self._listener.wait_live()
                return
            fault = self._listener.fault
            if not (fault is None or isinstance(fault, DatabaseTooSlow)):
                raise errors.StartError(f"The database's notifications do not arrive: {fault}.")

    async def run(
        self,
        listening: Sequence[socket],
        started: Callable[[], Awaitable[None]],
        stop: trio.Event,
        skip_delay: trio.Event,
        slow_bytes: int,
    ) -> None:
        """Accept connections until ``stop`` is set and for `DRAIN_DELAY` more, then drain: all have `DRAIN_TIMEOUT`.

        During the delay ``/readyz`` fails and all else is as before. In the drain WebSockets are closed with 1001;
        requests under way are answered first.
        """
        async with trio.open_nursery() as served:
            accept = partial(
                accept_forever,
                limits=self._socket_limits,
                serve=self._http.serve,
                nursery=served,
                burst=BURST if self._settings.workers == 1 else SHARED_BURST,
                timing=self._timing,
                slow_bytes=slow_bytes,
            )
            async with trio.open_nursery() as accepting:
                for one in listening:
                    accepting.start_soon(accept, one)
                await started()
                await stop.wait()
                self._stopping = True
                with trio.move_on_after(self._settings.drain_delay_s):
                    await skip_delay.wait()
                accepting.cancel_scope.cancel()
            for one in listening:
                one.close()
            self._connections.close_all(CloseCode.GOING_AWAY, "drain")
            self._http.finish()
            served.cancel_scope.deadline = trio.current_time() + self._settings.drain_timeout_s

    def _spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self._background.start_soon(_guarded, function, args)

    async def _upgrade(self, stream: Stream, handshake: Handshake) -> None:
        """Serve an accepted handshake as a WebSocket, to its end."""
        stream.push(handshake.accept())
        socket = WebSocket(stream, FrameReader(self._settings.max_message_bytes), self._timing)
        if not self._connections.has_room:
            code = errors.TooManyConnections.code
            self._metrics.answered(handshake.path, code, 0.0)
            self._metrics.closes[(close_label(CloseCode.TRY_LATER),)] += 1
            self._failures.write(code, type=handshake.path, address=handshake.client.address)
            # A browser shows its page neither the status of a refused handshake nor its advice on when to reconnect.
            await socket.close(CloseCode.TRY_LATER, close_reason("full", NO_ROOM_RETRY_MS))
            return
        connection = Connection(
            socket, handshake.client, self._registry, self._metrics, self._failures, timing=self._timing
        )
        await self._connections.serve(connection)

    async def _own_metrics(self) -> bytes:
        return self._metrics.text()

    async def _document(self, name: str) -> bytes:
        """A document of the protocol. It is made in a thread, once."""
        async with self._documenting:
            if name not in self._documents:
                self._documents[name] = await trio.to_thread.run_sync(_make_document, name, list(self._registry))
        return self._documents[name]

    def _health(self) -> Mapping[str, Any]:
        parts = {
            "database": self._database.state,
            "feed": "live" if self._listener.live else "lost",
            "server": "stopping" if self._stopping else OK,
        }
        return {"ready": all(state in {OK, "live"} for state in parts.values()), **parts}


def _make_document(name: str, methods: Sequence[Method]) -> bytes:
    from seatsync.schema.documents import DOCUMENTS  # noqa: PLC0415 - few servers are asked for one

    return DOCUMENTS[name](methods).encode()


def _prunes(settings: Settings) -> list[tuple[Query, tuple[int, ...]]]:
    hall, history, user = load("hall"), load("history"), load("user")
    return [
        (user["prune"], (PRUNE_ROWS,)),
        (user["prune_idle"], (PRUNE_ROWS, settings.session_idle_hours)),
        (user["keep_auth_events"], (settings.auth_event_days, PRUNE_ROWS)),
        (hall["prune_keys"], (PRUNE_ROWS,)),
        (history["roll_up_occupancy"], (ROLL_UP_EVENTS,)),
        (hall["keep_history"], (settings.event_retention_days,)),
        (history["keep_checkpoints"], (PRUNE_HALLS,)),
        (history["index_history"], ()),
    ]


async def _guarded(function: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
    """Run a background task; its fault is logged and does not end the server."""
    try:
        await function(*args)
    except Exception:
        logger.exception("background_fault", task=getattr(function, "__qualname__", repr(function)))
