"""One WebSocket connection: reads messages in order, runs their methods, and owns its subscriptions.

Messages start in the order they came. Everything but a write is finished before the next message is looked at; a
write is queued at once and answered when it has committed, with up to `MAX_WRITES` under way. Past that a few messages
are read ahead, for the heartbeats among them; past those, and while the peer does not take what it is sent, the
connection is not read: TCP then holds the peer back.
"""

from contextlib import suppress
from functools import partial
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
import trio

from seatsync import errors
from seatsync.core.channels.broadcast import Feed, Subscription
from seatsync.core.protocol import envelope as protocol
from seatsync.core.protocol.call import Call, Client
from seatsync.core.protocol.registry import Json, Kind, Pending, Registry, encode
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.websocket.frames import CloseCode, text_frame
from seatsync.core.websocket.socket import WebSocket

if TYPE_CHECKING:
    from seatsync.core.net.stream import Outlet

#: Writes of one connection that may be under way together.
MAX_WRITES = 64

#: Messages read ahead while those are under way.
READ_AHEAD = 16

MAX_SUBSCRIPTIONS = 128

#: How long a connection that is to close waits for the answers to its writes, in seconds.
LAST_WRITES_S = 2.5

logger = structlog.get_logger(__name__)
_ids = count(1)


class Connection:
    """One open WebSocket and everything that belongs to it."""

    def __init__(
        self, socket: WebSocket, client: Client, registry: Registry, metrics: Metrics, failures: FailureLog
    ) -> None:
        self.id = next(_ids)
        self.socket = socket
        self.outlet: Outlet = socket.stream
        """Where its frames go: answers, and those of the feeds."""
        self.client = client
        self.behind_since: float | None = None
        """Since when, on trio's clock, the peer has not taken what it was sent; ``None`` while it does."""
        self._registry = registry
        self._metrics = metrics
        self._failures = failures
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._writes = 0
        self._ahead: list[str] = []
        self._next_written: trio.CancelScope | None = None
        self._waiting = False
        self._interruptible = trio.CancelScope()
        self._ending: trio.Event | None = None
        self._farewell = (CloseCode.NORMAL, "")
        socket.stream.on_full = self._fell_behind
        socket.stream.on_drained = self._drained

    async def run(self) -> None:
        """Serve the connection until either side closes it; a cancellation drops it.

        A fault of ours is logged and closes the connection with 1011; it never reaches another connection.
        """
        try:
            try:
                with self._interruptible:
                    await self._serve()
            except Exception:
                logger.exception("connection_fault", connection=self.id)
                self._farewell = (CloseCode.SERVER_FAULT, protocol.close_reason("fault"))
            with trio.move_on_after(LAST_WRITES_S):
                await self._written_all()
            self._leave_feeds()
            await self.socket.close(*self._farewell)
        finally:
            self._leave_feeds()
            if self._ending is None:
                self._ending = trio.Event()
            self._ending.set()

    async def _serve(self) -> None:
        with suppress(trio.EndOfChannel):
            while self._ending is None:
                self._waiting = True
                if self.socket.stream.is_full or self._writes >= MAX_WRITES:
                    await self._hold_back()
                text = self._ahead.pop(0) if self._ahead else await self.socket.receive()
                self._waiting = False
                if self._ending is None:
                    await self._handle(text)

    async def _hold_back(self) -> None:
        """Start nothing more until the peer has taken what it was sent and a write has been answered.

        A few messages are read ahead while writes are slow: receiving is what answers heartbeats.
        """
        await self.socket.stream.drained()
        while self._writes >= MAX_WRITES:
            with self._until_written():
                while len(self._ahead) < READ_AHEAD:
                    self._ahead.append(await self.socket.receive())
                await trio.sleep_forever()

    def _until_written(self) -> trio.CancelScope:
        """A scope that ends when the next write is answered."""
        self._next_written = trio.CancelScope()
        return self._next_written

    async def _written_all(self) -> None:
        while self._writes:
            with self._until_written():
                await trio.sleep_forever()

    def _leave_feeds(self) -> None:
        for subscriber in list(self._subscriptions.values()):
            subscriber.feed.leave(subscriber)
        self._metrics.subscriptions -= len(self._subscriptions)
        self._subscriptions.clear()
        if self.behind_since is not None:
            self.behind_since = None
            self._metrics.clients_behind -= 1

    async def close(self, code: CloseCode, reason: str, retry_ms: tuple[int, int] | None = None) -> None:
        """Have the connection finish what it has begun and close, and wait until it has.

        The request under way and the writes are answered first, within `LAST_WRITES_S`. A second call only waits. A
        cancellation does not take the close back.
        """
        await self._end(code, reason, retry_ms).wait()

    def _end(self, code: CloseCode, reason: str, retry_ms: tuple[int, int] | None = None) -> trio.Event:
        """Begin to close, if that has not begun; the event is set when it is over."""
        if self._ending is None:
            self._ending = trio.Event()
            self._farewell = (code, protocol.close_reason(reason, retry_ms))
            if self._waiting:
                self._interruptible.cancel()
        return self._ending

    # Requests

    async def _handle(self, text: str) -> None:
        started = perf_counter()
        try:
            request = protocol.decode(text)
        except protocol.Undecodable as fault:
            self._refuse(fault.type, fault.eid, self._over_budget() or fault.error, started)
            return
        try:
            if (refusal := self._over_budget()) is not None:
                raise refusal
            method = self._registry.find(request.type)
        except errors.SeatSyncError as error:
            self._refuse(request.type, request.eid, error, started)
            return
        call = Call(self.client, method, request.eid, "ws", connection=self, started=started, asked_as=request.type)
        try:
            await self._run(call, request.data)
        except Exception as error:  # noqa: BLE001 - one message's fault ends neither the connection nor the server
            self._failed(call, error)

    def _over_budget(self) -> errors.RateLimitExceeded | None:
        """What to say to a message beyond the limit; ``None`` if this one is within it."""
        wait_s = self.socket.over_budget_s
        return errors.RateLimitExceeded(retry_after=round(wait_s + 1.0, 1)) if wait_s else None

    async def _run(self, call: Call, data: Any) -> None:
        params = await self._registry.admit(call, data)
        match call.method.kind:
            case Kind.WRITE:
                pending: Pending = call.method.run(call, params)
                self._writes += 1
                pending.on_done(partial(self._written, call))
            case Kind.SUBSCRIBE:
                await call.method.run(call, params)
                self._observe(call, "success")
            case _:
                self._answer(call, encode(await call.method.run(call, params)))

    def _written(self, call: Call, pending: Pending) -> None:
        self._writes -= 1
        if self._next_written is not None:
            self._next_written.cancel()
        try:
            self._answer(call, pending.result())
        except Exception as error:  # noqa: BLE001 - it would reach the writer
            self._failed(call, error)

    def _answer(self, call: Call, data: Json) -> None:
        self.outlet.push(text_frame(protocol.envelope(call.asked_as, b"success", call.eid, data)))
        self._observe(call, "success")

    def _failed(self, call: Call, error: Exception) -> None:
        if not isinstance(error, errors.SeatSyncError) or isinstance(error, errors.ServerFault):
            logger.error("method_fault", connection=self.id, type=call.method.name, eid=call.eid, exc_info=error)
            error = errors.InternalServerError()
        self._refuse(call.asked_as, call.eid, error, call.started, call.method.name)

    def _refuse(self, type_: str, eid: str, error: errors.SeatSyncError, started: float, method: str = "") -> None:
        self.outlet.push(text_frame(protocol.error_envelope(type_, eid, error)))
        seconds = perf_counter() - started
        self._metrics.answered(method, error.code, seconds)
        self._failures.write(
            error.code,
            connection=self.id,
            user=self.client.username,
            type=type_[:64],
            eid=eid,
            ms=round(seconds * 1000, 2),
        )

    def _observe(self, call: Call, outcome: str) -> None:
        self._metrics.answered(call.method.name, outcome, perf_counter() - call.started)

    # Subscriptions

    def subscribe(self, method: str, eid: str, feed: Feed) -> Subscription:
        """A new subscription, not yet in its feed.

        Raises `SubscriptionAlreadyExists` for an eid in use with the same method, and `TooManySubscriptions`.
        """
        if (method, eid) in self._subscriptions:
            raise errors.SubscriptionAlreadyExists
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise errors.TooManySubscriptions(f"A connection may have {MAX_SUBSCRIPTIONS} subscriptions.")
        subscriber = Subscription(self, method, eid, feed, self._feed_ended)
        self._subscriptions[method, eid] = subscriber
        self._metrics.subscriptions += 1
        return subscriber

    def unsubscribe(self, method: str, eid: str | None) -> None:
        """End a subscription; raises `SubscriptionNotFound`."""
        subscriber = self._subscriptions.get((method, eid or ""))
        if subscriber is None or eid is None:
            raise errors.SubscriptionNotFound
        self.forget(subscriber)
        subscriber.feed.leave(subscriber)

    def forget(self, subscriber: Subscription) -> None:
        """Drop a subscription whose feed has let it go already, or never had it."""
        if self._subscriptions.pop((subscriber.method, subscriber.eid), None) is not None:
            self._metrics.subscriptions -= 1

    def subscribers(self, method: str) -> list[Subscription]:
        """The connection's subscriptions made with that method."""
        return [subscriber for subscriber in self._subscriptions.values() if subscriber.method == method]

    def _feed_ended(self, subscriber: Subscription, error: errors.SeatSyncError) -> None:
        self.forget(subscriber)
        self.outlet.push(text_frame(protocol.error_envelope(subscriber.method, subscriber.eid, error)))

    # Frames out, to audiences too

    @property
    def has_room(self) -> bool:
        """The peer takes what it is sent; when it has fallen behind, `Feed.caught_up` tells that it does again."""
        return self.behind_since is None

    def _fell_behind(self) -> None:
        if self.behind_since is None:
            self.behind_since = trio.current_time()
            self._metrics.slow_clients += 1
            self._metrics.clients_behind += 1

    def _drained(self) -> None:
        """Tell the feeds, as long as there is room; those left out come first the next time."""
        if self.behind_since is None:
            return
        self.behind_since = None
        self._metrics.clients_behind -= 1
        for key, subscriber in list(self._subscriptions.items()):
            if self.has_room and self._subscriptions.pop(key, None) is not None:
                self._subscriptions[key] = subscriber
                try:
                    subscriber.feed.caught_up(subscriber)
                except Exception:
                    logger.exception("feed_fault", connection=self.id)
                    self._end(CloseCode.SERVER_FAULT, "fault")
