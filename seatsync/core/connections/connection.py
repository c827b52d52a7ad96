"""One WebSocket connection: reads messages in order, runs their methods, and owns its subscriptions.

Messages start in the order of their arrival. Each is finished before the next starts, with two exceptions. A
subscription that the database does not answer in a moment waits, and the next message is started. A write is queued at
once and answered after its commit, with at most `MAX_WRITES` in flight. At that limit up to `READ_AHEAD` messages
are read ahead, since receiving is what answers heartbeats. Beyond that, and while its send buffer is full, the
connection is not read: TCP applies backpressure to the peer.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import count
from time import perf_counter
from typing import Annotated, Any

import structlog
import trio
from attrs import define, evolve, field, frozen

from seatsync import errors
from seatsync.core.channels.broadcast import Subscribed, Subscription
from seatsync.core.net.stream import Stream
from seatsync.core.protocol import envelope as protocol
from seatsync.core.protocol.call import Call, Client, Reply
from seatsync.core.protocol.params import structure
from seatsync.core.protocol.registry import Json, Kind, Method, Pending, Registry, encode
from seatsync.core.protocol.wire import REQUIRED, Done, Keywords
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode, text_frame
from seatsync.core.websocket.socket import WebSocket

#: Writes of one connection in flight.
MAX_WRITES = 64

#: Messages read ahead meanwhile.
READ_AHEAD = 16

MAX_SUBSCRIPTIONS = 128

logger = structlog.get_logger(__name__)


@frozen(eq=False)
class SocketCall(Call):
    """A call over a WebSocket."""

    connection: "Connection"
    asked_as: str
    """The request's ``type``: the method's name or an alias."""
    started: float
    """When the request was received, by `time.perf_counter`."""
    admission: Callable[[], Awaitable[object]] | None = None
    """See `Subscription.admission`."""


@define(eq=False)
class Connection:
    """One open WebSocket and everything that belongs to it."""

    socket: WebSocket
    client: Client
    _registry: Registry
    _metrics: Metrics
    _failures: FailureLog
    _timing: Timing = field(default=Timing(), kw_only=True)
    id: int = field(factory=count(1).__next__, init=False)
    outlet: Stream = field(init=False)
    behind_since: float | None = field(default=None, init=False)
    """Since when its send buffer has been full, on trio's clock; ``None`` while it has room."""
    missed: tuple[str, Json] | None = field(default=None, init=False)
    """A method and the data of an update, sent to its subscriptions right after their first state."""
    _at_end: Callable[[], Awaitable[object]] | None = field(default=None, init=False)
    _subscriptions: dict[tuple[str, str], Subscription] = field(factory=dict, init=False)
    _writes: int = field(default=0, init=False)
    _ahead: list[str] = field(factory=list, init=False)
    _next_written: trio.CancelScope | None = field(default=None, init=False)
    _first_frame: trio.Event | None = field(default=None, init=False)
    """Set when the subscription that later messages are held for is answered, or gone."""
    _waiting: bool = field(default=False, init=False)
    _interruptible: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _ending: trio.Event | None = field(default=None, init=False)
    _farewell: tuple[CloseCode, str] = field(default=(CloseCode.NORMAL, ""), init=False)

    def __attrs_post_init__(self) -> None:
        self.outlet = self.socket.stream
        self.socket.stream.on_full = self._fell_behind
        self.socket.stream.on_drained = self._drained

    async def run(self) -> None:
        """Serve the connection until either side closes it; a cancellation drops it.

        A bug is logged and closes the connection with 1011; it raises nothing.
        """
        try:
            try:
                with self._interruptible:
                    await self._serve()
            except Exception:
                logger.exception("connection_fault", connection=self.id)
                self._farewell = (CloseCode.SERVER_FAULT, protocol.close_reason("fault"))
            with trio.move_on_after(self._timing.last_writes_s):
                while self._writes:
                    with self._until_written():
                        await trio.sleep_forever()
            self._leave_topics()
            await self.socket.close(*self._farewell)
        finally:
            self._leave_topics()
            if self._ending is None:
                self._ending = trio.Event()
            self._ending.set()
            await self._clean_up()

    async def _clean_up(self) -> None:
        """Run what was left for the end, within a query's time; also when a cancellation drops the connection."""
        if self._at_end is not None:
            with trio.move_on_after(self._timing.query_s, shield=True):
                try:
                    await self._at_end()
                except Exception as error:
                    if not errors.is_for_clients(error):
                        logger.exception("connection_fault", connection=self.id)

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
        """Wait until the send buffer has drained and fewer than `MAX_WRITES` are in flight; read ahead meanwhile."""
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

    def _leave_topics(self) -> None:
        for subscription in list(self._subscriptions.values()):
            subscription.topic.leave(subscription)
        self._metrics.subscriptions -= len(self._subscriptions)
        self._subscriptions.clear()
        if self.behind_since is not None:
            self.behind_since = None
            self._metrics.clients_behind -= 1

    async def close(self, code: CloseCode, reason: str, retry_ms: tuple[int, int] | None = None) -> None:
        """Begin to close, and wait for the end.

        The request and the writes in flight are answered first, within `Timing.last_writes_s`. A second call only
        waits. A cancellation does not stop the close.
        """
        await self._end(code, reason, retry_ms).wait()

    def _end(self, code: CloseCode, reason: str, retry_ms: tuple[int, int] | None = None) -> trio.Event:
        """Begin to close, unless that has begun; returns the event of its end."""
        if self._ending is None:
            self._ending = trio.Event()
            self._farewell = (code, protocol.close_reason(reason, retry_ms))
            if self._waiting:
                self._interruptible.cancel()
        return self._ending

    # Requests

    async def _handle(self, text: str) -> None:
        started = perf_counter()
        wait_s = self.socket.over_budget_s
        request = protocol.decode(text)
        fault = errors.RateLimitExceeded(retry_after=round(wait_s + 1.0, 1)) if wait_s else request.fault
        if fault is not None:
            self._refuse(request.type, request.eid, fault, started)
            return
        name = ""
        try:
            method = self._registry.find(request.type)
            name = method.name
            await self._run(
                method, SocketCall(self.client, name, request.eid, "ws", self, request.type, started), request.data
            )
        except Exception as error:  # noqa: BLE001 - one message's error ends neither the connection nor the server
            self._refuse(request.type, request.eid, error, started, name)

    async def _run(self, method: Method, call: SocketCall, data: Any) -> None:
        if method.kind is Kind.SUBSCRIBE:
            self._begin(method, call, data)
            await self._hold_for_first_frame()
            return
        params = await self._registry.admit(method, self.client, data)
        if method.kind is Kind.WRITE:
            pending: Pending = method.run(call, params)
            self._writes += 1
            pending.on_done(partial(self._written, call))
            return
        outcome = await method.run(call, params)
        self._answer(call, encode(outcome.data if isinstance(outcome, Reply) else outcome))

    def _begin(self, method: Method, call: SocketCall, data: Any) -> None:
        """Begin a subscription; where the session has to be checked first, the subscription waits for that."""
        if self._registry.has_to_identify(method, self.client):
            call = evolve(call, admission=partial(self._registry.authorise, method, self.client))
        else:
            self._registry.check_rights(method, self.client)
        method.run(call, structure(data, method.params))

    async def _hold_for_first_frame(self) -> None:
        """Give a subscription a moment to be answered before later messages are; none if one waits already."""
        if sum(subscription.asked_at is not None for subscription in self._subscriptions.values()) == 1:
            self._first_frame = trio.Event()
            with trio.move_on_after(self._timing.first_frame_s):
                await self._first_frame.wait()
            self._first_frame = None

    def _hold_no_more(self) -> None:
        if self._first_frame is not None:
            self._first_frame.set()

    def _written(self, call: SocketCall, pending: Pending) -> None:
        self._writes -= 1
        if self._next_written is not None:
            self._next_written.cancel()
        try:
            self._answer(call, pending.result())
        except Exception as error:  # noqa: BLE001 - it would reach the writer
            self._refuse(call.asked_as, call.eid, error, call.started, call.method)

    def _answer(self, call: SocketCall, data: Json) -> None:
        self.outlet.push(text_frame(protocol.envelope(call.asked_as, b"success", call.eid, data)))
        self._metrics.answered(call.method, "success", perf_counter() - call.started)

    def _refuse(self, type_: str, eid: str, error: Exception, started: float, method: str = "") -> None:
        """Reply with an error; a bug is logged, and the client receives `InternalServerError`."""
        if not errors.is_for_clients(error):
            self._failures.write_fault(error, method, connection=self.id, eid=eid)
            error = errors.InternalServerError()
        self.outlet.push(text_frame(protocol.error_envelope(type_, eid, error)))
        seconds = perf_counter() - started
        self._metrics.answered(method, error.code, seconds)
        self._failures.write(
            error.code,
            connection=self.id,
            address=self.client.address,
            user=self.client.username,
            type=type_[:64],
            eid=eid,
            ms=round(seconds * 1000, 2),
        )

    # Subscriptions

    @contextmanager
    def subscribe(self, call: SocketCall, topic: Subscribed) -> Iterator[Subscription]:
        """A new subscription, for the block to put into its topic; it is dropped if the block raises.

        Raises `SubscriptionAlreadyExists` for an eid in use with the same method, and `TooManySubscriptions`.
        """
        method, eid = call.method, call.eid
        if (method, eid) in self._subscriptions:
            raise errors.SubscriptionAlreadyExists
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise errors.TooManySubscriptions(f"A connection may have {MAX_SUBSCRIPTIONS} subscriptions.")
        subscription = Subscription(
            self, method, eid, topic, self._topic_ended, asked_at=call.started, admission=call.admission
        )
        self._subscriptions[method, eid] = subscription
        self._metrics.subscriptions += 1
        try:
            yield subscription
        except BaseException:
            self._forget(subscription)
            raise

    def unsubscribe(self, method: str, eid: str | None) -> None:
        """End a subscription; raises `SubscriptionNotFound`."""
        subscription = self._subscriptions.get((method, eid or ""))
        if subscription is None or eid is None:
            raise errors.SubscriptionNotFound
        self._forget(subscription)
        subscription.topic.leave(subscription)

    def _forget(self, subscription: Subscription) -> None:
        """Drop a subscription that is not, or no longer, in its topic."""
        if self._subscriptions.pop((subscription.method, subscription.eid), None) is not None:
            self._metrics.subscriptions -= 1
            self._hold_no_more()

    def subscriptions(self, method: str) -> list[Subscription]:
        """The connection's subscriptions made with that method."""
        return [subscription for subscription in self._subscriptions.values() if subscription.method == method]

    def subscribed(self, subscription: Subscription) -> None:
        """The subscription has been sent its first state, which answers its request."""
        assert subscription.asked_at is not None  # noqa: S101 - the caller's
        self._metrics.answered(subscription.method, "success", perf_counter() - subscription.asked_at)
        subscription.asked_at = None
        self._hold_no_more()
        if self.missed is not None and self.missed[0] == subscription.method:
            subscription.send(b"update", self.missed[1])

    def _topic_ended(self, subscription: Subscription, error: Exception) -> None:
        self._forget(subscription)
        if subscription.asked_at is not None:
            self._refuse(subscription.method, subscription.eid, error, subscription.asked_at, subscription.method)
        elif isinstance(error, errors.SeatSyncError):
            self.outlet.push(text_frame(protocol.error_envelope(subscription.method, subscription.eid, error)))

    # Backpressure

    @property
    def has_room(self) -> bool:
        """Its send buffer is not full; after it was, `Subscribed.caught_up` is called once it has drained."""
        return self.behind_since is None

    def _fell_behind(self) -> None:
        if self.behind_since is None:
            self.behind_since = trio.current_time()
            self._metrics.slow_clients += 1
            self._metrics.clients_behind += 1

    def _drained(self) -> None:
        """Notify the topics while there is room; those left out come first the next time."""
        if self.behind_since is None:
            return
        self.behind_since = None
        self._metrics.clients_behind -= 1
        for key, subscription in list(self._subscriptions.items()):
            if self.has_room and self._subscriptions.pop(key, None) is not None:
                self._subscriptions[key] = subscription
                try:
                    subscription.topic.caught_up(subscription)
                except Exception:
                    logger.exception("topic_fault", connection=self.id)
                    self._end(CloseCode.SERVER_FAULT, "fault")


@frozen
class SubEid:
    """The eid that the subscription was made with."""

    sub_eid: Annotated[Any, Keywords(type=["string", "integer"])] = field(default=None, metadata=REQUIRED)


def unsubscribing(name: str, subscribe: str) -> Method:
    """The method ``name``, which ends subscriptions of the method ``subscribe``. It needs no rights."""

    async def unsubscribe(call: Call, params: SubEid) -> dict[str, bool]:
        """End a subscription; raises `SubscriptionNotFound`."""
        _socket_call(call).connection.unsubscribe(subscribe, protocol.normalise_eid(params.sub_eid))
        return {"success": True}

    return Method(name, SubEid, unsubscribe, kind=Kind.UNSUBSCRIBE, result=Done)


def subscribing(call: Call, topic: Subscribed) -> AbstractContextManager[Subscription]:
    """`Connection.subscribe` on the connection of a call; raises `BadRequest` over HTTP."""
    return _socket_call(call).connection.subscribe(_socket_call(call), topic)


def at_end(call: Call, action: Callable[[], Awaitable[object]]) -> None:
    """Run ``action`` when the connection of a call has ended, in place of one given before; nothing over HTTP.

    It has `Timing.query_s`. Errors that are for clients are dropped.
    """
    if isinstance(call, SocketCall):
        call.connection._at_end = action  # noqa: SLF001 - of this module


def _socket_call(call: Call) -> SocketCall:
    if not isinstance(call, SocketCall):
        raise errors.BadRequest("Subscriptions need a WebSocket.")
    return call
