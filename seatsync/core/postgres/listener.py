"""The notification feed: one connection that LISTENs, verifies that it works, and reconnects when lost.

The feed is *live* once a probe that it sent to itself has come back and every follower has caught up. It is *lost* when
PostgreSQL ends the connection, or when the beat (a query once a second) gets no answer in time: a frozen server and a
dead network close nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from secrets import token_hex
from typing import Protocol

import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseGone, DatabaseTooSlow, DatabaseUnavailable
from seatsync.core.postgres.feed_key import FeedKey
from seatsync.core.postgres.queries import Query
from seatsync.core.postgres.session import Session
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import Reminders
from seatsync.core.timing import Timing

Handlers = Mapping[str, Sequence[Callable[[str], None]]]

_NOTIFY = Query("notify", "select pg_notify($1, $2)")
_BEAT = Query("beat", "select key, former, pg_notification_queue_usage() as queue_usage from feed_key")

#: Payloads without a valid tag that are kept until the key is read again.
MAX_DOUBTED = 4000

logger = structlog.get_logger(__name__)


class Follower(Protocol):
    """A part of the server whose state depends on the feed."""

    def lost(self) -> None:
        """Notifications have stopped."""

    async def resync(self) -> None:
        """Notifications arrive again: fetch the changes missed meanwhile. Raises `ServiceUnavailable`."""

    def set_stale(self, *, stale: bool) -> None:
        """The loss has lasted `Timing.stale_after_s`, or is over."""


@define(eq=False)
class Listener:
    """Delivers each body ``<kind> <rest>`` to the handlers of its kind, as ``handler(rest)``, in commit order.

    A payload whose tag was not made with the key of the feed is counted and ignored. The key is read with each beat, so
    that what was tagged with a renewed one is delivered at most one beat late.
    """

    dsn: str
    handlers: Handlers
    followers: Sequence[Follower]
    metrics: Metrics
    channel: str = field(default="seatsync", kw_only=True)
    timing: Timing = field(factory=Timing, kw_only=True)
    key: FeedKey = field(factory=FeedKey, kw_only=True)
    _doubted: deque[str] = field(factory=partial(deque, maxlen=MAX_DOUBTED), init=False)
    fault: Exception | None = field(default=None, init=False)
    """Why the feed was lost, or did not become live, the last time."""
    _reminders: Reminders = field(factory=Reminders, init=False)
    _live: trio.Event = field(factory=trio.Event, init=False)
    _stale: bool = field(default=False, init=False)

    @property
    def live(self) -> bool:
        """Notifications arrive."""
        return self._live.is_set()

    async def wait_live(self) -> None:
        """Wait until the feed is live."""
        await self._live.wait()

    async def run(self) -> None:
        """Keep the feed alive until cancelled; a cancellation closes its connection."""
        backoff_s = self.timing.first_backoff_s
        async with trio.open_nursery() as nursery:
            while True:
                await self._serve_once()
                if self.live:
                    self._lose(nursery)
                    backoff_s = self.timing.first_backoff_s
                await trio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, self.timing.last_backoff_s)

    async def _serve_once(self) -> None:
        """Use one connection until it is lost."""
        is_connected = False
        try:
            with closing(await Session.connect(self.dsn, application_name="seatsync feed")) as session:
                is_connected = True
                await self._serve(session)
        except* errors.SeatSyncError as group:
            self.fault = group.exceptions[0]
            if is_connected:
                self._reminders.write("lost", logger.warning, "feed_lost", error=str(self.fault))
            else:
                self._reminders.write("unreachable", logger.warning, "feed_unreachable", error=str(self.fault))
        except* Exception:
            logger.exception("feed_fault")

    async def _serve(self, session: Session) -> None:
        """Dispatch notifications until the session is gone or does not answer a beat in time."""
        probe, returned = token_hex(8), trio.Event()
        handlers = {**self.handlers, "probe": [lambda nonce: returned.set() if nonce == probe else None]}
        async with trio.open_nursery() as nursery:
            with _limit(self.timing.beat_s, "the database does not answer"):
                await session.script(f"listen {self.channel}")
                await self._beat(session, handlers)
                await session.execute(_NOTIFY, self.channel, self.key.sign(f"probe {probe}"))
            nursery.start_soon(self._go_live, returned)
            while True:
                with trio.move_on_after(self.timing.beat_s):
                    await session.notifications(partial(self._take, handlers))
                with _limit(self.timing.beat_s, "the database does not answer"):
                    await self._beat(session, handlers)

    def _take(self, handlers: Handlers, payload: str) -> None:
        body = self.key.verify(payload)
        if body is None:
            self.metrics.notifications_refused += 1
            self._doubted.append(payload)
        else:
            _dispatch(handlers, body)

    async def _beat(self, session: Session, handlers: Handlers) -> None:
        """Read the usage of the queue, and the key; with another key, look again at the payloads that were refused.

        Raises `DatabaseGone` where more were refused than are kept: the feed begins anew, with a resync.
        """
        row = await session.fetchrow(_BEAT)
        if row is None:
            raise DatabaseGone("the table feed_key has no row; insert into feed_key default values")
        self.metrics.notification_queue_usage = row["queue_usage"]
        keys = tuple(key for key in (row["key"], row["former"]) if key is not None)
        doubted = list(self._doubted)
        self._doubted.clear()
        if keys == self.key.keys:
            return
        self.key.keys = keys
        for payload in doubted:
            self.metrics.notifications_refused -= 1
            self._take(handlers, payload)
        if len(doubted) == MAX_DOUBTED:
            raise DatabaseGone("the key was renewed among more foreign notifications than are kept")

    async def _go_live(self, returned: trio.Event) -> None:
        """Resync the followers once the probe has returned."""
        with _limit(
            self.timing.probe_s,
            "the probe did not come back; behind a pooler, LISTEN_URL has to name PostgreSQL itself",
            DatabaseGone,
        ):
            await returned.wait()
        for follower in self.followers:
            await follower.resync()
        self._live.set()
        self.metrics.feed_live = 1
        log = logger.info if self._reminders.over() else logger.debug  # after a loss
        log("feed_live")
        if self._stale:
            self._set_stale(stale=False)

    def _lose(self, nursery: trio.Nursery) -> None:
        self._live = trio.Event()
        self.metrics.feed_live = 0
        self.metrics.feed_losses += 1
        for follower in self.followers:
            follower.lost()
        nursery.start_soon(self._become_stale, self._live)

    async def _become_stale(self, live: trio.Event) -> None:
        """Notify the followers of a loss that lasts."""
        with trio.move_on_after(self.timing.stale_after_s):
            await live.wait()
            return
        try:
            self._set_stale(stale=True)
        except Exception:
            logger.exception("feed_fault")

    def _set_stale(self, *, stale: bool) -> None:
        self._stale = stale
        for follower in self.followers:
            follower.set_stale(stale=stale)


def _dispatch(handlers: Handlers, payload: str) -> None:
    kind, _, rest = payload.partition(" ")
    for handler in handlers.get(kind, ()):
        try:
            handler(rest)
        except Exception:
            logger.exception("notification_fault", payload=payload[:200])


@contextmanager
def _limit(seconds: float, sentence: str, fault: type[DatabaseUnavailable] = DatabaseTooSlow) -> Iterator[None]:
    """Cancel the block after ``seconds`` and raise the fault with that sentence."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise fault(sentence)
