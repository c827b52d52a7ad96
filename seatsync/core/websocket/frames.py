"""WebSocket frames (RFC 6455, chapter 5), sans-I/O.

Text messages in one frame, which is what clients send, are read here; wsproto reads all other frames.
"""

from enum import IntEnum

from attrs import define, field, frozen
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from seatsync.core.protocol.envelope import close_reason

#: Close codes that were registered after RFC 6455 and that wsproto does not know (IANA, WebSocket Close Code Registry).
_LATER_CODES = frozenset({1014})

#: The close code of a connection that ended without a close frame (RFC 6455, section 7.1.5).
ABNORMAL = 1006

#: The close code for a close frame without one.
NO_CODE = 1005

_SHORT, _MEDIUM = 126, 1 << 16
_TEXT, _MASKED = 0x81, 0x80
_OPCODE, _CLOSE, _WHOLE_CLOSE = 0x0F, 0x08, 0x88
_SHORTEST_HEAD, _MASKED_HEAD, _LONGEST_HEAD = 2, 6, 14


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


_LABELS = {*CloseCode, NO_CODE, ABNORMAL}


def close_label(code: int | None) -> str:
    """The close code of a connection as a label: ``other`` for all that only a client may choose."""
    return str(code) if code in _LABELS else "other"


def frame_head(size: int) -> bytes:
    """The head of one unfragmented, unmasked text frame with a payload of that many bytes."""
    if size < _SHORT:
        return b"\x81%c" % size
    if size < _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2)
    return b"\x81\x7f" + size.to_bytes(8)


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked text frame."""
    return frame_head(len(payload)) + payload


def close_frame(code: int, reason: str) -> bytes:
    """A close frame (RFC 6455, section 5.5.1); the reason takes 123 bytes at most."""
    payload = code.to_bytes(2) + reason.encode()
    return b"\x88%c%b" % (len(payload), payload)


def _unmasked(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """A client's payload without its mask (RFC 6455, section 5.3)."""
    mask *= len(payload) // 4 + 1
    return (int.from_bytes(payload) ^ int.from_bytes(mask[: len(payload)])).to_bytes(len(payload))


def read_plain_text(data: bytes | bytearray) -> tuple[str, int] | None:
    """The text of a masked, unfragmented text frame at the start of ``data``, and the length of the frame.

    ``None`` for any other frame, and for one that is 64 KiB or longer, breaks a rule, or is incomplete.
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
    try:
        return _unmasked(data[body:end], data[body - 4 : body]).decode(), end
    except UnicodeDecodeError:
        return None


def frame_bytes(data: bytes | bytearray) -> int:
    """The length of the first frame in ``data``, or the least it can have as far as its head is there."""
    if len(data) < _SHORTEST_HEAD:
        return _SHORTEST_HEAD
    length = data[1] & ~_MASKED
    head = {_SHORT: 4, _SHORT + 1: 10}.get(length, _SHORTEST_HEAD)
    if length >= _SHORT:
        length = int.from_bytes(data[_SHORTEST_HEAD:head]) if len(data) >= head else 0
    return head + (4 if data[1] & _MASKED else 0) + length


@frozen
class Closed:
    """The peer has closed, or broke a rule: the code, and the close frame to send."""

    code: int
    frame: bytes


def fault(code: int, reason: str) -> Closed:
    """The close of a connection whose peer broke a rule."""
    return Closed(int(code), close_frame(code, close_reason(reason)))


TOO_BIG = fault(CloseCode.TOO_BIG, "message too big")


def read_later_close(frame: bytes) -> Closed | None:
    """The peer's close with a code that wsproto would refuse; ``None`` for every other frame."""
    if frame[0] != _WHOLE_CLOSE or not _MASKED < frame[1] < _MASKED + _SHORT:
        return None
    payload = _unmasked(frame[_MASKED_HEAD:], frame[_SHORTEST_HEAD:_MASKED_HEAD])
    code = int.from_bytes(payload[:2])
    if code not in _LATER_CODES:
        return None
    try:
        return Closed(code, close_frame(code, payload[2:].decode()))
    except UnicodeDecodeError:
        return fault(CloseCode.INVALID_UTF8, "protocol fault")


Event = str | bytes | Closed
"""The outcome of one frame: the text message that it completes, or the frame to answer it with, ``b""`` for none."""


@define(eq=False, weakref_slot=False)
class FrameReader:
    """Reads the frames of one client out of the bytes it is fed, joins fragments, and limits the size of messages.

    However small the pieces and the fragments, the time is linear in the size of the message.
    """

    _max_message_bytes: int
    _buffer: bytes | bytearray = b""
    """Bytes as a rule; a bytearray, which grows in place, while an incomplete frame has come in several pieces."""
    _wsproto: Protocol | None = None
    _is_within_message: bool = False
    _message: bytearray = field(factory=bytearray)
    """The fragments so far, in UTF-8."""
    _skipped: int = 0

    def feed(self, data: bytes) -> None:
        """Add bytes that were received."""
        if not self._buffer:
            self._buffer = data
            return
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def next(self) -> Event | None:
        """Read the next frame; ``None`` while it is incomplete. To be called no more after `Closed`.

        A frame goes to wsproto whole, so wsproto is never within a frame when another one bypasses it. A frame whose
        head announces too much is not waited for.
        """
        buffer = self._buffer
        if not buffer:
            return None
        if not self._is_within_message and (plain := read_plain_text(buffer)) is not None:
            text, end = plain
            self._buffer = bytes(buffer[end:])
            if end > self._max_message_bytes and len(text.encode()) > self._max_message_bytes:
                return TOO_BIG
            return text
        end = frame_bytes(buffer)
        if end > self._max_message_bytes + _LONGEST_HEAD:
            return TOO_BIG
        if end > len(buffer):
            return None
        self._buffer, frame = bytes(buffer[end:]), bytes(buffer[:end])
        return read_later_close(frame) or self._outcome(frame)

    def _outcome(self, frame: bytes) -> Event:
        """The outcome of a whole frame by wsproto."""
        if self._wsproto is None:  # for most connections no frame needs it
            self._wsproto = Protocol(ConnectionType.SERVER)
        wsproto = self._wsproto
        wsproto.receive_data(frame)
        (event,) = wsproto.events()
        match event:
            case TextMessage():
                return self._add_part(event.data, is_last=event.message_finished)
            case Ping():
                return wsproto.send(event.response())
            case BytesMessage():
                return fault(CloseCode.UNSUPPORTED, "binary frame")
            case CloseConnection() if wsproto.state is ConnectionState.REMOTE_CLOSING:
                return Closed(int(event.code), wsproto.send(event.response()))
            case CloseConnection():  # not the peer's: wsproto reports a broken rule
                return fault(event.code, "protocol fault")
        return b""

    def _add_part(self, text: str, *, is_last: bool) -> Event:
        """Add a fragment to its message; the last one completes it."""
        self._is_within_message = not is_last
        self._message += text.encode()
        if len(self._message) > self._max_message_bytes:
            return TOO_BIG
        if not is_last:
            return b""
        message, self._message = self._message, bytearray()
        return message.decode()

    def skip_to_close(self) -> bool:
        """Drop what was fed, frame by frame and whatever the frames hold; ``True`` at the peer's close frame."""
        data, left = self._buffer, self._skipped
        while True:  # with ``left`` bytes of a frame to drop
            data, left = data[left:], max(0, left - len(data))
            if data and data[0] & _OPCODE == _CLOSE:
                return True
            size = frame_bytes(data)
            if left or size > len(data) < _LONGEST_HEAD:
                self._buffer, self._skipped = data, left
                return False
            left = size
