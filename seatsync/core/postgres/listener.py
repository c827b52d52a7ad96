"""The notification feed: one connection that LISTENs, proves that it works, and finds its way back when lost.

The feed is *live* from the moment a probe that it sent to itself has come back and every open channel has been brought
up to date. It is *lost* when PostgreSQL ends the connection, or when the beat (a bounded query every second) gets no
answer: a frozen server and a dead network close nothing. Through a pooler in transaction mode LISTEN is accepted and
never delivers: the probe finds that out.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from secrets import token_hex
from typing import Protocol

import structlog
import trio

from seatsync import errors
from seatsync.core.postgres.notifications import Disconnected, Notifications
from seatsync.core.telemetry.metrics import Metrics

CHANNEL = "seatsync"

BEAT_S = 1.0
"""Seconds between two beats, and how long each may take."""

CONNECT_S = 2.0
PROBE_S = 2.0

#: How long a loss lasts before clients are told.
STALE_AFTER_S = 1.0

#: Before another attempt to connect: so long that nobody is bothered, so short that a database that is back is noticed.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 0.5

_BEAT = "select pg_notification_queue_usage()"

logger = structlog.get_logger(__name__)


class FeedLost(Exception):
    """The feed has to be built up anew."""


class Follower(Protocol):
    """What depends on the feed."""

    def lost(self) -> None:
        """Notifications have stopped."""

    async def resync(self) -> None:
        """Notifications come in again: catch up with what was missed. Raises `ServiceUnavailable`."""

    def set_stale(self, *, stale: bool) -> None:
        """The loss has lasted `STALE_AFTER_S`, or is over."""


class Listener:
    """Delivers each payload ``<kind> <rest>`` to the handler of its kind, as ``handler(rest)``, in commit order."""

    def __init__(
        self, dsn: str, handlers: Mapping[str, Callable[[str], None]], follower: Follower, metrics: Metrics
    ) -> None:
        self._dsn = dsn
        self._handlers = handlers
        self._follower = follower
        self._metrics = metrics
        self._live = trio.Event()
        self._told_stale = False

    @property
    def live(self) -> bool:
        """Notifications come in."""
        return self._live.is_set()

    async def wait_live(self) -> None:
        """Wait until the feed is live."""
        await self._live.wait()

    async def run(self) -> None:
        """Keep the feed alive until cancelled; a cancellation closes its connection."""
        wait = _FIRST_WAIT_S
        async with trio.open_nursery() as nursery:
            while True:
                was_live = await self._serve_once()
                if was_live:
                    self._lose(nursery)
                    wait = _FIRST_WAIT_S
                await trio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _serve_once(self) -> bool:
        """One connection from its first byte to its loss; returns whether it had become live."""
        try:
            with trio.fail_after(CONNECT_S):
                connection = await Notifications.connect(self._dsn, application_name="seatsync feed")
        except (trio.TooSlowError, Disconnected) as error:
            logger.info("feed_unreachable", error=str(error))
            return False
        try:
            await self._serve(connection)
        except* (FeedLost, Disconnected, errors.SeatSyncError) as group:
            logger.warning("feed_lost", error=str(group.exceptions[0]))
        except* Exception:
            logger.exception("feed_fault")
        finally:
            connection.close()
        return self.live

    async def _serve(self, connection: Notifications) -> None:
        probe = _Probe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run, partial(self._take, probe))
            with _limit(PROBE_S, "LISTEN was not answered"):
                await connection.value(f"listen {CHANNEL}")
            with _limit(
                PROBE_S, "the probe did not come back; behind a pooler, LISTEN_URL has to name PostgreSQL itself"
            ):
                await connection.value("select pg_notify($1, $2)", CHANNEL, f"probe {probe.nonce}")
                await probe.seen.wait()
            await self._follower.resync()
            self._found()
            await self._beat(connection)

    def _take(self, probe: "_Probe", payload: str) -> None:
        kind, _, rest = payload.partition(" ")
        if kind == "probe":
            probe.check(rest)
            return
        handler = self._handlers.get(kind)
        try:
            if handler is not None:
                handler(rest)
        except Exception:
            logger.exception("notification_fault", payload=payload[:200])

    async def _beat(self, connection: Notifications) -> None:
        while True:  # until the connection fails to answer
            await trio.sleep(BEAT_S)
            with _limit(BEAT_S, "the database does not answer"):
                usage = await connection.value(_BEAT)
            self._metrics.notification_queue_usage = float(usage)

    def _found(self) -> None:
        self._live.set()
        self._metrics.feed_live = 1
        logger.info("feed_live")
        if self._told_stale:
            self._told_stale = False
            self._follower.set_stale(stale=False)

    def _lose(self, nursery: trio.Nursery) -> None:
        self._live = trio.Event()
        self._metrics.feed_live = 0
        self._metrics.feed_losses += 1
        self._follower.lost()
        nursery.start_soon(self._tell_stale, self._live)

    async def _tell_stale(self, live: trio.Event) -> None:
        with trio.move_on_after(STALE_AFTER_S):
            await live.wait()
            return
        self._told_stale = True
        try:
            self._follower.set_stale(stale=True)
        except Exception:
            logger.exception("feed_fault")


class _Probe:
    """A notification that the feed sends to itself."""

    def __init__(self) -> None:
        self.nonce = token_hex(8)
        self.seen = trio.Event()

    def check(self, nonce: str) -> None:
        if nonce == self.nonce:
            self.seen.set()


@contextmanager
def _limit(seconds: float, sentence: str) -> Iterator[None]:
    """Give up on the block after so many seconds: raises `FeedLost` with that sentence."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise FeedLost(sentence)
