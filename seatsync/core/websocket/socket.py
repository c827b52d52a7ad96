"""The server's side of one WebSocket (RFC 6455): the answer to the handshake, text messages in, text frames out.

Text messages in one frame, which is what clients send, are read here; wsproto reads every other frame and holds the
peer to the rules. Its protocol object starts after a handshake that `seatsync.core.http.upgrade` has checked, so
nothing is parsed twice and no task or queue stands between the socket and the connection's own loop: a connection is
one task.
"""

import base64
import hashlib
from enum import IntEnum
from typing import TYPE_CHECKING

import trio
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from seatsync.core.net.stream import SLOW_BYTES, Stream
from seatsync.core.protocol.envelope import HEARTBEAT, close_reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatsync.core.net.limits import Budget

#: How long the peer may take to answer a close frame, in seconds.
CLOSE_S = 2.0

#: Over how long those that found no room should spread their return, in milliseconds.
NO_ROOM_RETRY_MS = (5_000, 15_000)

#: Parts of a message that are kept apart until it is complete.
MAX_PARTS = 256

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEARTBEAT_FRAME = b"\x81\x011"
_PING_FRAME = b"\x89\x00"
_SHORT, _MEDIUM = 126, 1 << 16
_TEXT, _MASKED = 0x81, 0x80
_OPCODE, _CLOSE = 0x0F, 0x08
_SHORTEST_HEAD, _MASKED_HEAD, _LONGEST_HEAD = 2, 6, 14

#: What a connection that ended without a close frame counts as (RFC 6455, section 7.1.5).
ABNORMAL = 1006


class CloseCode(IntEnum):
    """Close codes of RFC 6455, section 7.4.1, and this protocol's own from 4000 up."""

    NORMAL = 1000
    """The client asked for nothing more."""
    GOING_AWAY = 1001
    """The server is shutting down, or nothing has come from the client for a minute: reconnect after a random wait."""
    PROTOCOL_ERROR = 1002
    """A frame broke the WebSocket protocol: do not send the same again."""
    UNSUPPORTED = 1003
    """A binary frame came: do not send the same again."""
    INVALID_UTF8 = 1007
    """A text frame was not UTF-8: do not send the same again."""
    POLICY = 1008
    """A rate limit was ignored: back off."""
    TOO_BIG = 1009
    """A message was larger than MAX_MESSAGE_BYTES: do not send the same again."""
    SERVER_FAULT = 1011
    """The server met a fault: reconnect with a growing wait."""
    TRY_LATER = 1013
    """The server is full: reconnect with a growing wait."""
    LOGIN_CHANGED = 4001
    """Your login state changed: reconnect at once."""
    TOO_SLOW = 4008
    """Too slow even for merged updates: reconnect and resume."""


def frame_head(size: int) -> bytes:
    """The head of one unfragmented, unmasked text frame with a payload of that many bytes (RFC 6455, section 5.2)."""
    if size < _SHORT:
        return b"\x81%c" % size
    if size < _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2)
    return b"\x81\x7f" + size.to_bytes(8)


def text_frame(payload: bytes) -> bytes:
    """One such frame."""
    return frame_head(len(payload)) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A close frame (RFC 6455, section 5.5.1); the reason takes 123 bytes at most."""
    payload = code.to_bytes(2) + reason.encode()
    return b"\x88%c%b" % (len(payload), payload)


def read_plain_text(data: bytes) -> tuple[str, int] | None:
    """The text of a masked, unfragmented text frame at the start of ``data``, and the length of the frame.

    ``None`` for anything else, and for a frame that is 64 KiB or longer, breaks a rule, or is not there as a whole.
    """
    if len(data) < _MASKED_HEAD or data[0] != _TEXT:
        return None
    length, body = data[1] - _MASKED, _MASKED_HEAD
    if length == _SHORT:
        length, body = int.from_bytes(data[2:4]), _MASKED_HEAD + 2
        if length < _SHORT:
            return None
    elif not 0 <= length < _SHORT:
        return None
    end = body + length
    if len(data) < end:
        return None
    mask = data[body - 4 : body] * (length // 4 + 1)
    text = int.from_bytes(data[body:end]) ^ int.from_bytes(mask[:length])
    try:
        return text.to_bytes(length).decode(), end
    except UnicodeDecodeError:
        return None


def frame_bytes(data: bytes) -> int:
    """The length that the first frame in ``data`` has in all, or the least it can have as far as that is known."""
    head = _length_bytes(data)
    if len(data) < _SHORTEST_HEAD:
        return head
    length = data[1] & ~_MASKED
    if length >= _SHORT:
        length = int.from_bytes(data[_SHORTEST_HEAD:head]) if len(data) >= head else 0
    return head + (4 if data[1] & _MASKED else 0) + length


def _length_bytes(data: bytes) -> int:
    """How many bytes of a frame it takes to know its length, or to know how many that takes."""
    if len(data) < _SHORTEST_HEAD:
        return _SHORTEST_HEAD
    return {_SHORT: 4, _SHORT + 1: 10}.get(data[1] & ~_MASKED, _SHORTEST_HEAD)


def accept_head(key: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The 101 answer to an upgrade request with that ``Sec-WebSocket-Key`` (RFC 6455, section 4.2.2)."""
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())  # noqa: S324 - what the RFC prescribes
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class WebSocket:
    """One upgraded connection. One task receives and closes; anybody may push."""

    def __init__(self, stream: Stream, *, max_message_bytes: int) -> None:
        self.stream = stream
        self.budget: Budget | None = None
        """What the peer may send; ``None`` for any amount."""
        self.over_budget_s = 0.0
        """0 while the last frame was within ``budget``, which every frame takes from; else the seconds to wait."""
        self.close_code: int | None = None
        """The code the connection was closed with, by either side; ``None`` while it is open."""
        self._max_message_bytes = max_message_bytes
        self._received = b""
        self._wsproto: Protocol | None = None
        self._events: Iterator[Event] = iter(())
        self._is_within_message = False
        self._parts: list[str] = []
        self._size = 0

    def push(self, payload: bytes) -> bool:
        """Send JSON text as one frame: see `Stream.push`."""
        return self.stream.push(text_frame(payload))

    def ping(self) -> None:
        """Send an empty ping (RFC 6455, section 5.5.2); any byte that comes counts as its answer."""
        self.stream.push(_PING_FRAME)

    async def receive(self) -> str:
        """The next text message; pings and heartbeats before it have been answered.

        Raises `trio.EndOfChannel` once the connection is over: the peer closed or vanished, or broke the protocol and
        was told so in a close frame. A cancellation loses nothing.
        """
        while self.close_code is None:
            event = self._next_event()
            if event is not None:
                message = self._take(event)
                if message is not None:
                    return message
            elif self.close_code is None:
                if self.stream.unsent_bytes > SLOW_BYTES:
                    await self.stream.drained()  # the answers to a flood of heartbeats would pile up
                await self._read()
        raise trio.EndOfChannel

    @property
    def _protocol(self) -> Protocol:
        """wsproto's state of the connection, made when a frame needs it: for most connections none does."""
        if self._wsproto is None:
            self._wsproto = Protocol(ConnectionType.SERVER)
        return self._wsproto

    def _next_event(self) -> Event | None:
        """What the bytes received so far hold next; ``None`` when more are needed.

        A text message in one frame, which nearly every one is, is read here. Every other frame goes to wsproto, and
        goes there whole: so wsproto is never in the middle of one when a frame passes it by. A frame that is too big
        is not waited for; then the connection is closed.
        """
        while (event := next(self._events, None)) is None and self._received:
            if not self._is_within_message and (plain := read_plain_text(self._received)) is not None:
                text, end = plain
                self._received = self._received[end:]
                return TextMessage(text)
            end = frame_bytes(self._received)
            if end > self._max_message_bytes + _LONGEST_HEAD:
                self._send_close(CloseCode.TOO_BIG, close_reason("message too big"))
                return None
            if end > len(self._received):
                return None
            self._protocol.receive_data(self._received[:end])
            self._received = self._received[end:]
            self._events = self._protocol.events()
        return event

    async def _read(self) -> None:
        """Hand the next bytes to the protocol, or note the end."""
        try:
            data = await self.stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if data:
            self._received += data
        else:
            self.close_code = ABNORMAL
            self.stream.seal()

    def _take(self, event: Event) -> str | None:
        """Deal with one event; returns the message it completes, if any."""
        if self.budget is not None:
            self.over_budget_s = self.budget.take()
            if self.budget.is_ignored:
                self._send_close(CloseCode.POLICY, close_reason("rate limit"))
                return None
        match event:
            case TextMessage():
                return self._take_text(event)
            case Ping():
                if not self.over_budget_s:
                    self.stream.push(self._protocol.send(event.response()))
            case BytesMessage():
                self._send_close(CloseCode.UNSUPPORTED, close_reason("binary frame"))
            case CloseConnection() if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                self.stream.push(self._protocol.send(event.response()))
                self.stream.seal()
                self.close_code = int(event.code)
            case CloseConnection():  # not the peer's: how wsproto says that a frame broke the protocol
                self._send_close(CloseCode(event.code), close_reason("protocol fault"))
        return None

    def _take_text(self, event: TextMessage) -> str | None:
        """One frame, or a part of one, of a text message. The size limit counts bytes of UTF-8."""
        text = event.data
        self._is_within_message = not event.message_finished
        self._size += len(text) if text.isascii() else len(text.encode())
        if self._size > self._max_message_bytes:
            self._send_close(CloseCode.TOO_BIG, close_reason("message too big"))
            return None
        if self._parts or not event.message_finished:
            self._keep_part(text)
            if not event.message_finished:
                return None
            text = "".join(self._parts)
            self._parts.clear()
        self._size = 0
        if text == HEARTBEAT:
            if not self.over_budget_s:
                self.stream.push(_HEARTBEAT_FRAME)
            return None
        return text

    def _keep_part(self, text: str) -> None:
        """Keep a part of a message, in few strings: a string for each character takes fifty times the memory."""
        if text:
            self._parts.append(text)
        if len(self._parts) > MAX_PARTS:
            self._parts[:] = ["".join(self._parts)]

    def _send_close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame, after which nothing goes out any more, and what comes is not read."""
        self.stream.push(close_frame(code, reason))
        self.stream.seal()
        self.close_code = int(code)

    async def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame, wait `CLOSE_S` for the peer's, and close the stream within its own bounds.

        Does not send one where one has been sent or the peer is gone. A cancellation drops the connection at once.
        """
        if self.close_code is None:
            self._send_close(code, reason)
            with trio.move_on_after(CLOSE_S):
                await self._read_until_closed()
        await self.stream.aclose()

    async def _read_until_closed(self) -> None:
        """Skip the frames that still come, whatever they hold, until the peer's close frame or the end."""
        data, left = self._received, 0
        while True:  # with ``left`` bytes of a frame still to come
            data, left = data[left:], max(0, left - len(data))
            while not left and len(data) >= _length_bytes(data):
                if data[0] & _OPCODE == _CLOSE:
                    return
                size = frame_bytes(data)
                data, left = data[size:], max(0, size - len(data))
            try:
                more = await self.stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not more:
                return
            data += more


async def turn_away(socket: WebSocket) -> None:
    """Close a connection that has just been opened: there is no room for it.

    A browser would not see the status of a refused handshake, and its page not when to try again.
    """
    await socket.close(CloseCode.TRY_LATER, close_reason("full", NO_ROOM_RETRY_MS))
