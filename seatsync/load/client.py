"""A simulated client: a connection, and a new one whenever that is lost."""

import time
from collections.abc import Mapping
from time import monotonic
from typing import Any

from attrs import define, field, frozen

from seatsync import client, jsontext
from seatsync.client.closing import FATAL, Backoff, Closing
from seatsync.load.address import Address
from seatsync.load.connection import Connection
from seatsync.load.frames import HEARTBEAT
from seatsync.load.loop import Loop
from seatsync.load.plan import Plan
from seatsync.load.schedule import SendTimes
from seatsync.load.stats import Count, Kind, Stats, Timing
from seatsync.load.view import Acknowledged, Views

#: How long a handshake may take, in seconds.
HANDSHAKE_S = 15.0

#: Heartbeats that may go unanswered, and the shortest silence that ends a connection, in seconds.
MISSED_HEARTBEATS, SILENCE_S = 3, 10.0

#: Errors after which a request is sent again: it had no outcome, or an unknown one.
RETRYABLE = frozenset({"ServiceUnavailable", "TooManyRequests", "RateLimitExceeded", "TooManyConnections"})

#: How long to wait before that where the server does not advise it, in seconds.
RETRY_S = 0.5

#: Reconnect backoff: shorter than that of a program, for a test that lasts seconds.
RECONNECT = client.Timing(first_backoff_s=0.1, last_backoff_s=2.0)


def request(type_: str, data: Mapping[str, Any], eid: str) -> bytes:
    """One message to the server."""
    return jsontext.dumps({"type": type_, "data": data, "eid": eid, "ts": int(time.time() * 1000)})


@frozen
class Hall:
    """One of the halls of the test."""

    number: int
    """Its index among them."""
    id: int
    views: Views = field(factory=Views)
    acknowledged: Acknowledged = field(factory=Acknowledged)


@define(eq=False)
class Context:
    """Shared by all clients of a process."""

    loop: Loop
    address: Address
    send_times: SendTimes
    stats: Stats
    halls: list[Hall]
    plan: Plan


@define(eq=False, slots=False)
class Client:
    """Subclasses send requests in `opened` and receive replies in `received`."""

    context: Context
    name: str
    """Its name in faults."""
    _token: str | None
    is_started: bool = field(default=False, init=False)
    """`start` was called, and `stop` was not."""
    is_open: bool = field(default=False, init=False)
    """The handshake is done, and the connection stands."""
    gave_up: bool = field(default=False, init=False)
    """The server refused it in a way that makes another attempt useless."""
    _connection: Connection | None = field(default=None, init=False)
    _backoff: Backoff = field(factory=lambda: Backoff(RECONNECT), init=False)
    _has_worked: bool = field(default=False, init=False)
    _due_at: float = field(default=0.0, init=False)
    _lost_at: float | None = field(default=None, init=False)

    def start(self, due_at: float) -> None:
        """Connect now; times count from ``due_at``, which may be earlier."""
        self._due_at = due_at
        self.is_started = True
        self._connect()

    def stop(self) -> None:
        """Close the connection, if there is one, and make no more."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self.is_started = self.is_open = False

    def send(self, payload: bytes) -> None:
        """Send a message; without a connection it is dropped."""
        if self._connection is not None:
            self._connection.send(payload)

    def fault(self, kind: Kind, text: str, count: int = 1) -> None:
        """Report a fault of the server towards this client."""
        self.context.stats.fault(kind, f"{self.name} {text}.", count)

    def keep_alive(self, now: float) -> None:
        """Send a heartbeat, or drop a connection that has been silent for too long. Called at intervals."""
        connection, heartbeat_s = self._connection, self.context.plan.heartbeat_s
        if connection is None:
            return
        silence_s = max(SILENCE_S, MISSED_HEARTBEATS * heartbeat_s) if self.is_open else HANDSHAKE_S
        if (heartbeat_s or not self.is_open) and now - connection.last_received > silence_s:
            connection.close()
            self.lost(Closing(1006, f"{'heartbeats were' if self.is_open else 'the handshake was'} not answered"))
        elif heartbeat_s and self.is_open:
            connection.send(HEARTBEAT)

    def _connect(self) -> None:
        """Connect, unless it has been stopped meanwhile."""
        context = self.context
        if not self.is_started:
            return
        try:
            self._connection = Connection(context.loop, context.address, self._token, self)
        except OSError as error:
            self.lost(Closing(1006, f"no socket: {error.strerror}"))

    # Called by the connection

    def opened(self, _now: float) -> None:
        """The handshake is done."""
        self.is_open = True
        self._backoff.reset()
        self.context.stats.counts[Count.OPENED] += 1

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A text frame."""
        text = data[start:end]
        if text == HEARTBEAT:
            return
        try:
            self.received(jsontext.loads(text), now)
        except (ValueError, KeyError, TypeError) as error:
            self.fault(Kind.PROTOCOL, f"received a frame that cannot be read ({error!r}): {text[:100]!r}")

    def received(self, message: Mapping[str, Any], now: float) -> None:
        """A message; one that raises `KeyError` or `TypeError` is a fault of the server."""
        self.fault(Kind.PROTOCOL, f"received a message without a request: {message}")

    def lost(self, closing: Closing) -> None:
        """The connection has ended: make another after the backoff."""
        stats, was_open = self.context.stats, self.is_open
        self._connection = None
        self.is_open = False
        if self._has_worked and self._lost_at is None:
            self._lost_at = monotonic()
        stats.counts[Count.LOST] += was_open
        reason = f"{closing.code} {closing.reason}".strip()
        if closing.code in FATAL:
            self.gave_up = True
            self.fault(Kind.PROTOCOL, f"was closed with {reason}")
            return
        if not self.context.plan.survive:
            verb = "lost its connection" if was_open else "got no connection"
            self.fault(Kind.CONNECTION, f"{verb}: {reason}")
        self.context.loop.after(self._backoff.wait_s(closing), self._connect)

    def working(self, now: float) -> bool:
        """Note that the client works from now on; ``True`` if it did before and had lost its connection."""
        lost_at, self._lost_at = self._lost_at, None
        self._has_worked = True
        if lost_at is not None:
            self.context.stats.record(Timing.AWAY, now - lost_at)
        return lost_at is not None
