"""The deadlines of all connections: a ping after silence, the end of the silent and the slow, and token expiry.

They stand in one heap, by time: a connection is checked when a deadline may have passed, not at every tick.
"""

import heapq
import time
from collections.abc import Callable, Mapping

import trio

from seatsync.core.connections.connection import Connection
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode

#: How long a client that was too slow waits before it reconnects, in milliseconds.
SLOW_RETRY_MS = (0, 5000)


class Keepalive:
    """Checks the connections in ``opened``, by id; ``expire`` is called with one whose token has expired."""

    def __init__(
        self,
        opened: Mapping[int, Connection],
        expire: Callable[[Connection], None],
        spawn: Callable[..., object],
        metrics: Metrics,
        timing: Timing,
    ) -> None:
        self._opened = opened
        self._expire = expire
        self._spawn = spawn
        self._metrics = metrics
        self._timing = timing
        self._due: list[tuple[float, int]] = []

    async def run(self) -> None:
        """Check the connections that are due, at every tick, until cancelled."""
        while True:
            await trio.sleep(self._timing.tick_s)
            now = trio.current_time()
            while self._due and self._due[0][0] <= now:
                connection = self._opened.get(heapq.heappop(self._due)[1])
                if connection is not None:
                    self._check(connection, now)

    def schedule(self, connection: Connection, after_s: float) -> None:
        """Check the connection after so many seconds, or when its token expires if that is sooner."""
        session = connection.client.session
        if session is not None and not session.ended:
            after_s = min(after_s, max(0.0, session.expires_at - time.time()))
        heapq.heappush(self._due, (trio.current_time() + after_s, connection.id))

    def _check(self, connection: Connection, now: float) -> None:
        session = connection.client.session
        if session is not None and not session.ended and session.expires_at <= time.time():
            self._expire(connection)
        timing, silent_s = self._timing, connection.socket.stream.silent_s
        if connection.behind_since is not None and now - connection.behind_since > timing.slow_for_s:
            self._metrics.slow_closes += 1
            self._spawn(connection.close, CloseCode.TOO_SLOW, "too slow", SLOW_RETRY_MS)
        elif silent_s >= timing.drop_after_s:
            self._spawn(connection.close, CloseCode.GOING_AWAY, "silent")
        elif silent_s >= timing.ping_after_s:
            connection.socket.ping()
            self.schedule(connection, max(timing.tick_s, min(timing.ping_after_s, timing.drop_after_s - silent_s)))
        else:
            self.schedule(connection, timing.ping_after_s - silent_s)
