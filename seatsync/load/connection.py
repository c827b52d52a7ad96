"""One WebSocket connection of a client on a non-blocking socket, with the hot loop that every received frame passes."""

import errno
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from seatsync.load.address import Address, Sources
from seatsync.load.frames import Closing, Opcode, close_frame, frame, handshake, read_close, refusal
from seatsync.load.loop import Loop

#: What one `recv` may return: the frames of a burst, and little enough not to be mapped anew each time by malloc.
_RECEIVE_BYTES = 1 << 16

_SHORT, _EXTENDED = 126, 127
_MAX_HEAD_BYTES = 16 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_PENDING = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK})


class Owner(Protocol):
    """Whose connection it is."""

    def opened(self, now: float) -> None:
        """The handshake is done."""

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A text frame: its payload is ``data[start:end]``, read at ``now``."""

    def lost(self, closing: Closing) -> None:
        """The connection has ended, or was never made, and not by `Connection.close`. Nothing else follows."""


class Connection:
    """Connects at once; calls its owner, and nobody else, from the loop."""

    def __init__(self, loop: Loop, address: Address, sources: Sources, token: str | None, owner: Owner) -> None:
        """Raises `OSError` when the socket cannot be made: no descriptors left, or no such source address."""
        self.last_received = monotonic()
        """When the last byte came, on `time.monotonic`."""
        self._loop = loop
        self._address = address
        self._owner = owner
        self._request, self._accept = handshake(address.host, address.path, token)
        self._parts: list[bytes] = []
        self._part_bytes = self._needed_bytes = 0
        self._fragments: list[bytes] | None = None
        self._unsent = b""
        self._open = True
        self._socket = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sources.bind(self._socket)
        except OSError:
            self._socket.close()
            raise
        self._descriptor = self._socket.fileno()
        self._recv = self._socket.recv
        loop.watch(self._descriptor, self._connecting, writable=True)
        self._connecting(select.EPOLLOUT)

    @property
    def is_open(self) -> bool:
        """Neither lost nor closed."""
        return self._open

    # Sending

    def send(self, payload: bytes) -> None:
        """Send a text frame, now or when there is room."""
        self._write(frame(payload))

    def _write(self, data: bytes) -> None:
        if not self._open:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reading side finds out, and says so to the owner
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.watch(self._descriptor, self._readable, writable=True)

    def _flush(self) -> None:
        data, self._unsent = self._unsent, b""
        self._write(data)
        if not self._unsent and self._open:
            self._loop.watch(self._descriptor, self._readable)

    def close(self, code: int = 1000) -> None:
        """Say goodbye and close, without waiting for the answer; the owner hears nothing more."""
        if self._open:
            self._write(close_frame(code))
            self._end()

    def _end(self) -> None:
        self._open = False
        self._loop.forget(self._descriptor)
        self._socket.close()

    def _lose(self, closing: Closing) -> None:
        if self._open:
            self._end()
            self._owner.lost(closing)

    # Opening

    def _connecting(self, events: int) -> None:
        if not events & select.EPOLLOUT:
            return
        # Asking again, and not SO_ERROR, also tells a wake-up that was meant for an earlier socket of this number.
        error = self._socket.connect_ex(self._address.sockaddr)
        if error in _PENDING:
            return
        if error not in {0, errno.EISCONN}:
            self._lose_later(Closing(1006, f"cannot connect: {errno.errorcode.get(error, error)}"))
            return
        self._loop.watch(self._descriptor, self._answered)
        self._write(self._request)

    def _lose_later(self, closing: Closing) -> None:
        """Tell the owner from the loop: the constructor may be what has failed."""
        self._loop.watch(self._descriptor, lambda _: None)
        self._loop.at(0.0, lambda: self._lose(closing))

    def _answered(self, _: int) -> None:
        """The answer to the handshake, which frames may follow at once."""
        data = self._receive()
        if data is None:
            return
        self._parts.append(data)
        head, end, rest = b"".join(self._parts).partition(_END_OF_HEAD)
        if not end:
            if len(head) > _MAX_HEAD_BYTES:
                self._lose(Closing(1006, "the answer to the handshake does not end"))
            return
        self._parts.clear()
        reason = refusal(head, self._accept)
        if reason is not None:
            self._lose(Closing(1006, reason))
            return
        self._loop.watch(self._descriptor, self._readable, writable=bool(self._unsent))
        self._owner.opened(self.last_received)
        if rest:
            self._scan(rest, self.last_received)

    # Receiving

    def _receive(self) -> bytes | None:
        try:
            data = self._recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            self._lose(Closing(1006, f"reset ({error.strerror})"))
            return None
        self.last_received = monotonic()
        if not data:
            self._lose(Closing(1006, "ended without a close frame"))
            return None
        return data

    def _readable(self, events: int) -> None:
        if events & select.EPOLLOUT and self._unsent:
            self._flush()
        # `_receive`, written out: this runs for every frame.
        try:
            data = self._recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(Closing(1006, f"reset ({error.strerror})"))
            return
        now = self.last_received = monotonic()
        if not data:
            self._lose(Closing(1006, "ended without a close frame"))
            return
        if self._parts:
            self._parts.append(data)
            self._part_bytes += len(data)
            if self._part_bytes < self._needed_bytes:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        self._scan(data, now)

    def _scan(self, data: bytes, now: float) -> None:
        """Hand on every whole frame in ``data``, and keep what follows the last."""
        start, size, needed = 0, len(data), 2
        text = self._owner.text
        while size - start >= 2:  # noqa: PLR2004 - the shortest head
            length = data[start + 1]
            if length < _SHORT:
                body = start + 2
            elif length == _SHORT:
                body = start + 4
                length = int.from_bytes(data[start + 2 : body])
            elif length == _EXTENDED:
                body = start + 10
                length = int.from_bytes(data[start + 2 : body])
            else:
                self._lose(Closing(1006, "the server masked a frame"))
                return
            end = body + length
            if end > size:
                # With an incomplete head the length is too small; the next round will know.
                needed = max(end if body <= size else body, start + 2) - start
                break
            if data[start] == Opcode.TEXT:
                text(data, body, end, now)
            else:
                self._other(data[start], data[body:end], now)
            if not self._open:
                return
            start = end
        if start < size:
            self._parts.append(data[start:] if start else data)
            self._part_bytes, self._needed_bytes = size - start, needed

    def _other(self, first_byte: int, payload: bytes, now: float) -> None:
        """Control frames, and messages in fragments (RFC 6455, sections 5.4 and 5.5)."""
        match first_byte:
            case Opcode.PING:
                self._write(frame(payload, Opcode.PONG))
            case Opcode.PONG:
                pass
            case Opcode.CLOSE:
                self._write(frame(payload[:2], Opcode.CLOSE))
                self._lose(read_close(payload))
            case 0x01 if self._fragments is None:
                self._fragments = [payload]
            case 0x00 if self._fragments is not None:
                self._fragments.append(payload)
            case 0x80 if self._fragments is not None:
                message = b"".join([*self._fragments, payload])
                self._fragments = None
                self._owner.text(message, 0, len(message), now)
            case _:
                self._lose(Closing(1006, f"the server sent a frame of type {first_byte:#04x}"))


Connect = Callable[[str | None, Owner], Connection]
"""Makes a connection with a token, for an owner."""
