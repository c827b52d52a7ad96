"""Whatever frames come, a connection goes by RFC 6455 to its end, and leaves nothing behind."""

import json
import socket
from typing import Any
from uuid import UUID

import trio
from attrs import define, field, frozen

from seatsync.core.channels.broadcast import Subscription
from seatsync.core.connections.connection import Connection
from seatsync.core.net.stream import Stream
from seatsync.core.protocol.call import Call, Client, Identity
from seatsync.core.protocol.registry import Access, Json, Kind, Method, NoParams, Registry
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.websocket.frames import CloseCode
from seatsync.core.websocket.socket import WebSocket
from tests.fuzz.faults import no_faults
from tests.fuzz.inputs import each
from tests.fuzz.strategies import METHODS, cut, frames, variants
from tests.support.raw_socket import CLOSE, PING, PONG, TEXT, Frame

MAX_MESSAGE_BYTES = 4096
KEYS = {"type", "status", "data", "error", "eid", "ts"}
CLOSES = {CloseCode.NORMAL, CloseCode.PROTOCOL_ERROR, CloseCode.UNSUPPORTED, CloseCode.INVALID_UTF8, CloseCode.TOO_BIG}


@frozen
class Unsubscribed:
    """Which subscription is to end."""

    sub_eid: str | None = None


@define(eq=False)
class Write:
    """A write that is done when its turn comes."""

    done: Any = None

    def on_done(self, callback: Any) -> None:
        """Call back in a moment."""
        self.done = callback

    def result(self) -> Json:
        """It has worked."""
        return Json(b"{}")

    async def wait(self) -> Json:
        """Not needed here."""
        return self.result()


@define(eq=False)
class Hall:
    """A feed that sends its subscribers a snapshot and an update, and does the writes."""

    writes: list[Write] = field(factory=list)
    subscribers: set[Subscription] = field(factory=set)

    def leave(self, subscriber: Subscription) -> None:
        """Forget the subscriber."""
        self.subscribers.discard(subscriber)

    def caught_up(self, subscriber: Subscription) -> None:
        """It has missed nothing that matters."""

    def write(self, _: Call, __: Any) -> Write:
        """Queue a write."""
        self.writes.append(Write())
        return self.writes[-1]

    async def work(self) -> None:
        """Do the writes, until cancelled."""
        while True:
            await trio.lowlevel.checkpoint()
            while self.writes:
                write = self.writes.pop(0)
                write.done(write)

    async def read(self, _: Call, __: Any) -> Json:
        """Answer at once."""
        return Json(b"{}")

    async def subscribe(self, call: Call, _: Any) -> None:
        """Send a snapshot and an update."""
        assert call.connection is not None
        subscriber = call.connection.subscribe(call.method.name, call.eid, self)
        self.subscribers.add(subscriber)
        await trio.lowlevel.checkpoint()
        subscriber.send(b"snapshot", b"{}")
        subscriber.send(b"update", b"{}")

    async def unsubscribe(self, call: Call, params: Unsubscribed) -> Json:
        """End a subscription."""
        assert call.connection is not None
        call.connection.unsubscribe(call.method.name.replace("unsubscribe", "subscribe"), params.sub_eid)
        return Json(b"{}")


def registry(hall: Hall) -> Registry:
    """The real methods' names and parameters, done by the hall."""
    runs = {Kind.CALL: hall.read, Kind.WRITE: hall.write, Kind.SUBSCRIBE: hall.subscribe}
    methods = [
        Method(method.name, method.params, runs[method.kind], Access.ANYONE, method.kind)
        for method in METHODS
        if method.kind in runs
    ]
    ends = [
        Method(method.name, Unsubscribed, hall.unsubscribe, kind=Kind.UNSUBSCRIBE)
        for method in METHODS
        if method.kind is Kind.UNSUBSCRIBE
    ]
    return Registry([*methods, *ends, Method("nothing", NoParams, hall.read)], public_view=True)


async def converse(sent: list[bytes]) -> bytes:
    """What a connection answers to these pieces and the end of the stream."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    hall, metrics = Hall(), Metrics()
    client = Client("192.0.2.1", "v", identity=Identity(1, "anna", "admin", UUID(int=1), 2e9))
    received = bytearray()
    with no_faults(), ours, trio.fail_after(10):
        async with trio.open_nursery() as nursery, trio.open_nursery() as background:
            background.start_soon(hall.work)
            stream = Stream(theirs, "192.0.2.1", background.start_soon)
            connection = Connection(
                WebSocket(stream, max_message_bytes=MAX_MESSAGE_BYTES), client, registry(hall), metrics, FailureLog()
            )
            nursery.start_soon(connection.run)
            peer = trio.socket.from_stdlib_socket(ours)
            nursery.start_soon(_send, peer, sent)
            while data := await peer.recv(65536):
                received += data
            background.cancel_scope.cancel()
    assert not hall.subscribers
    assert (metrics.subscriptions, metrics.clients_behind) == (0, 0)
    return bytes(received)


async def _send(peer: trio.socket.SocketType, sent: list[bytes]) -> None:
    try:
        for piece in sent:
            sent_bytes = 0
            while sent_bytes < len(piece):
                sent_bytes += await peer.send(piece[sent_bytes:])
            for _ in range(3):
                await trio.lowlevel.checkpoint()
        peer.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has closed


def read_frames(data: bytes) -> list[Frame]:
    """The frames that a server sent; fails where they are not as RFC 6455 and our own protocol have them."""
    found = []
    while data:
        opcode, size = data[0] & 0x0F, data[1]
        assert data[0] & 0xF0 == 0x80
        assert opcode in {TEXT, CLOSE, PING, PONG}
        head = 2
        if size == 126:
            head, size = 4, int.from_bytes(data[2:4])
            assert size >= 126
        elif size == 127:
            head, size = 10, int.from_bytes(data[2:10])
            assert size >= 1 << 16
        assert len(data) >= head + size, "a frame was cut off"
        found.append(Frame(opcode, data[head : head + size]))
        data = data[head + size :]
    return found


def check_frames(received: list[Frame]) -> None:
    """Messages are envelopes, no fault is the server's, and nothing follows a close."""
    for number, one in enumerate(received):
        if one.opcode == TEXT and one.payload != b"1":
            message = json.loads(one.payload)
            assert set(message) >= KEYS
            assert message["error"] != "InternalServerError", message
        if one.opcode == CLOSE:
            assert number == len(received) - 1
            assert len(one.payload) <= 125


def check(sent: bytes) -> None:
    """The connection ends, cleanly, and says nothing that it should not."""
    received = read_frames(trio.run(converse, cut(sent, len(sent))))
    check_frames(received)
    if received and received[-1].opcode == CLOSE and received[-1].close_reason.startswith('{"reason"'):
        assert received[-1].close_code in CLOSES


def test_frames() -> None:
    """Good, odd and damaged frames, however the network cuts them."""
    each(variants(frames()), check, 0.15)
