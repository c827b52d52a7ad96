"""A stand-in for connections, and a node that serves them on the mock clock."""

import math
from itertools import count
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from seatsync.config import load_settings
from seatsync.core.channels.broadcast import Subscription
from seatsync.core.connections.table import Connections
from seatsync.core.net.limits import ClientLimits
from seatsync.core.protocol.call import Client, Session
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.websocket.frames import CloseCode
from tests.support.outlets import FakeOutlet

EPOCH_S = 1_800_000_000.0
GUEST = Json(b'{"status":"guest"}')


@define(eq=False, slots=False)
class FakeConnection(FakeOutlet):
    """A connection that records its calls and their times."""

    client: Client
    id: int = field(factory=count().__next__)
    behind_since: float | None = None
    received_at: float = field(factory=trio.current_time)
    """Time of the last byte from the peer."""
    reading: bool = True
    log: list[tuple[str, float]] = field(factory=list)
    sent: list[bytes] = field(factory=list)
    advice: Any = None
    over: trio.Event = field(factory=trio.Event)
    opened_at: float = field(factory=trio.current_time)
    has_room: bool = True
    missed: Any = None
    is_busy: bool = False
    """Writes in flight keep it from closing."""
    socket: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.socket = SimpleNamespace(stream=self, ping=self.ping, close_code=None, budget=None)

    @property
    def silent_s(self) -> float:
        """See `Stream.silent_s`."""
        return trio.current_time() - self.received_at if self.reading else 0.0

    def ping(self) -> None:
        """Record a ping."""
        self._note("ping")

    async def run(self) -> None:
        """Served until closed."""
        await self.over.wait()

    async def close(self, code: CloseCode, reason: str, retry_ms: tuple[int, int] | None = None) -> None:
        """Closed."""
        if self.is_busy:
            await trio.sleep_forever()
        self._note(f"{int(code)} {reason}")
        self.advice = retry_ms
        self.over.set()

    def subscriptions(self, method: str) -> list[Subscription]:
        """One subscription to the login state."""
        assert method == "me.subscribe"
        return [Subscription(self, method, "e1", None, lambda *_: None)]  # type: ignore[arg-type]  # its feed is not called

    def push(self, frame: bytes) -> bool:
        """Record a frame."""
        self.sent.append(frame)
        self._note("update")
        return True

    def _note(self, what: str) -> None:
        self.log.append((what, round(trio.current_time() - self.opened_at, 1)))


@define
class Node:
    """The connections of a node, and the nursery that they are served in."""

    connections: Connections
    nursery: trio.Nursery
    metrics: Metrics

    async def open(self, session: UUID | None = None, expires_at: float = math.inf, visitor: str = "v") -> Any:
        """Serve a connection."""
        known = None if session is None else Session(session, expires_at, None)
        connection: Any = FakeConnection(Client("192.0.2.1", visitor, session=known))
        self.nursery.start_soon(self.connections.serve, connection)
        await wait_all_tasks_blocked()
        return connection


def node_in(nursery: trio.Nursery, *, limit: int = 100, public_view: bool = True) -> Node:
    """A node that keeps its connections alive, with the timing of production."""
    metrics = Metrics()
    addresses = ClientLimits(load_settings({}, None))
    connections = Connections(
        nursery.start_soon,
        metrics,
        addresses,
        login_method="me.subscribe",
        guest=GUEST,
        limit=limit,
        public_view=public_view,
    )
    nursery.start_soon(connections.keep_alive)
    return Node(connections, nursery, metrics)
