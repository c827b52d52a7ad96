"""One WebSocket connection, from the TCP connect to its end, with heartbeat and watchdog.

A cancelled send would leave half a frame on the wire, so that only the connection's own task sends: requests wait in a
queue, and whoever waits for an answer may be cancelled at any time.
"""

import math
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream
from wsproto.utilities import ProtocolError

from seatsync import jsontext
from seatsync.client.address import Address
from seatsync.client.closing import Closing, NoConnection
from seatsync.client.timing import Timing

HEARTBEAT = "1"

_NO_FRAME = 1006
"""The code of an end without a close frame."""

_MAX_MESSAGE_BYTES = 1 << 28  # a hall of 100,000 seats is some 20 MB
_RECEIVE_BYTES = 1 << 16

#: Later than planned, in seconds: this program stood still, and what the server has sent may be unread.
_LATE_S = 0.5


class _HungUp(Exception):
    """The server ended the connection within the handshake."""


@define(eq=False)
class _Stream(trio.abc.Stream):
    """The bytes of a connection: notes when some came, and does not end the handshake in silence."""

    stream: trio.abc.Stream
    is_open: bool = False
    """The handshake is done."""
    received_at: float = -math.inf

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self.stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            data = b""
        if not (data or self.is_open):
            raise _HungUp
        self.received_at = trio.current_time()
        return data

    async def aclose(self) -> None:
        if not self.is_open:
            raise _HungUp
        await self.stream.aclose()


@define(eq=False)
class Link:
    """An open connection."""

    _ws: WebSocketConnection
    _stream: _Stream
    _timing: Timing
    _scope: trio.CancelScope
    closing: Closing | None = None
    """The end of it; ``None`` before."""
    _outbox: Any = field(factory=lambda: trio.open_memory_channel[str](math.inf), init=False)
    _answered_at: float = field(factory=trio.current_time, init=False)
    _message_at: float = field(factory=trio.current_time, init=False)

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message. Raises `TypeError` for what is not JSON."""
        self._outbox[0].send_nowait(jsontext.dumps(message).decode())

    def end(self, closing: Closing) -> None:
        """Drop it at once."""
        self.closing = self.closing or closing
        self._scope.cancel()

    async def aclose(self) -> None:
        """Close it cleanly; when that takes too long, it is dropped. Cancelled, it is left to `Connector.converse`."""
        self.closing = self.closing or Closing(1000)
        with trio.move_on_after(self._timing.close_s), suppress(ProtocolError):
            await self._ws.aclose()
        self._scope.cancel()

    async def write(self) -> None:
        """Send what is queued, until cancelled."""
        async for text in self._outbox[1]:
            try:
                await self._ws.send_message(text)
            except ConnectionClosed:
                return  # as `read` finds out

    async def beat(self) -> None:
        """Send heartbeats, until cancelled."""
        while True:
            await trio.sleep(self._timing.heartbeat_s)
            self._outbox[0].send_nowait(HEARTBEAT)

    async def watch(self) -> None:
        """End a connection on which nothing answers, whatever the socket says, or does not say."""
        while (deadline := self._alive_at() + self._timing.dead_s) > trio.current_time():
            await trio.sleep_until(deadline)
            if trio.current_time() - deadline > _LATE_S:
                await trio.sleep(self._timing.heartbeat_s)
        self.end(Closing(_NO_FRAME, f"no answer for {self._timing.dead_s:g} s"))

    def _alive_at(self) -> float:
        """When the last heartbeat was answered, or the latest part of an unfinished message came."""
        is_receiving = self._stream.received_at > self._message_at
        return max(self._answered_at, self._stream.received_at if is_receiving else -math.inf)

    async def read(self, take: Callable[[dict[str, Any]], None]) -> None:
        """Pass on every frame until the connection ends."""
        try:
            while True:
                text = await self._ws.get_message()
                self._message_at = trio.current_time()
                if text == HEARTBEAT:
                    self._answered_at = self._message_at
                else:
                    take(jsontext.loads(text))
        except ConnectionClosed as closed:
            found = closed.reason
            if self.closing is not None:
                return  # `aclose` waits for the server's close frame
            if found is None or found.code == _NO_FRAME:
                self.end(Closing(_NO_FRAME, "broken off"))
            else:
                self.end(Closing.read(found.code, found.reason or ""))
        except jsontext.JSONDecodeError:
            self.end(Closing(_NO_FRAME, "a frame that is not JSON"))


@frozen
class Connector:
    """Makes connections to one server."""

    address: Address
    tls: ssl.SSLContext | None
    timing: Timing

    async def converse(
        self, token: str | None, opened: Callable[[Link], None], take: Callable[[dict[str, Any]], None]
    ) -> Closing:
        """Connect, call ``opened``, pass every frame to ``take``, and return how the connection ended.

        Raises `NoConnection` with a sentence if it could not be made. Cancelled, it drops the connection.
        """
        headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        link, failure = None, ""
        try:
            with trio.fail_after(self.timing.handshake_s) as handshake:
                stream = _Stream(await self._dial())
                try:
                    async with trio.open_nursery() as nursery:
                        ws = await wrap_client_stream(
                            nursery,
                            stream,  # type: ignore[arg-type]  # any stream will do
                            self.address.netloc,
                            self.address.path,
                            extra_headers=headers,
                            max_message_size=_MAX_MESSAGE_BYTES,
                            receive_buffer_size=_RECEIVE_BYTES,
                        )
                        handshake.deadline, stream.is_open = math.inf, True
                        link = Link(ws, stream, self.timing, nursery.cancel_scope)
                        opened(link)
                        for task in (link.write, link.beat, link.watch):
                            nursery.start_soon(task)
                        await link.read(take)
                finally:
                    await trio.aclose_forcefully(stream.stream)
        except* ConnectionRejected as group:
            failure = _reason(group)
        except* (ProtocolError, _HungUp):
            failure = "what answers there does not speak WebSocket"
        except* trio.TooSlowError:
            failure = f"nothing answers within {self.timing.handshake_s:g} s"
        except* OSError as group:
            failure = _reason(group)
        if link is None:
            raise NoConnection(f"There is no server at {self.address}: {failure}.")
        return link.closing or Closing(_NO_FRAME, "broken off")

    async def _dial(self) -> trio.abc.Stream:
        """Connect, with TLS if the address says so. Raises `OSError` with a reason."""
        stream = await trio.open_tcp_stream(self.address.host, self.address.port)
        if not self.address.is_tls:
            return stream
        context = self.tls or ssl.create_default_context()
        secure = trio.SSLStream(stream, context, server_hostname=self.address.host, https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if not isinstance(error, trio.BrokenResourceError):
                raise
            distrust = getattr(error.__cause__, "verify_message", None)
            raise OSError(distrust or "what answers there does not speak TLS") from None
        return secure


def _reason(error: BaseException) -> str:
    """The fault in words: of the first error in a group."""
    if isinstance(error, BaseExceptionGroup):
        return _reason(error.exceptions[0])
    if not isinstance(error, ConnectionRejected):
        return str(getattr(error, "strerror", None) or error)
    try:
        message = str(jsontext.loads(error.body or b"")["message"])
    except (ValueError, TypeError, KeyError):
        message = next((value.decode("latin-1") for name, value in error.headers if name == b"location"), "")
    return f"it answers {error.status_code} {message}".rstrip(". ")
