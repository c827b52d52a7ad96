"""One WebSocket connection of a client on a non-blocking socket, with the hot loop that every received frame passes."""

import errno
import select
import socket
import ssl
from time import monotonic
from typing import Protocol

from seatsync.client.closing import Closing
from seatsync.load.address import Address, tls_fault
from seatsync.load.frames import Opcode, frame, handshake, read_close, refusal
from seatsync.load.loop import Loop

#: Bytes of one `recv`: enough for a burst of frames, and below the size that malloc maps anew each time.
_RECEIVE_BYTES = 1 << 16

_SHORT, _EXTENDED = 126, 127
_MAX_HEAD_BYTES = 16 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_TEXT = int(Opcode.TEXT)
_NORMAL = (1000).to_bytes(2)
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_PENDING = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK})


class Owner(Protocol):
    """The client of a connection."""

    def opened(self, now: float) -> None:
        """The handshake is done."""

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A text frame: its payload is ``data[start:end]``, read at ``now``."""

    def lost(self, closing: Closing) -> None:
        """The connection has ended, or was never made, and not by `Connection.close`. Nothing else follows."""


class Connection:
    """Connects at once; calls its owner from the loop only."""

    def __init__(self, loop: Loop, address: Address, token: str | None, owner: Owner) -> None:
        """Raises `OSError` when the socket cannot be made: no descriptors left, or no such source address."""
        self.last_received = monotonic()
        """When bytes last came, on `time.monotonic`."""
        self._loop = loop
        self._address = address
        self._owner = owner
        self._request, self._accept = handshake(address.host, address.path, token)
        self._upgraded = False
        self._parts: list[bytes] = []
        self._part_bytes = self._needed_bytes = 0
        self._fragments: list[bytes] | None = None
        self._unsent = b""
        self.is_open = True
        """Neither lost nor closed."""
        self._socket = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            address.bind(self._socket)
        except OSError:
            self._socket.close()
            raise
        self._descriptor = self._socket.fileno()
        self._recv = self._socket.recv
        loop.watch(self._descriptor, self._connecting, writable=True)
        self._connecting(select.EPOLLOUT)

    # Sending

    def send(self, payload: bytes) -> None:
        """Send a text frame, now or when there is room."""
        self._write(frame(payload))

    def _write(self, data: bytes) -> None:
        if not self.is_open:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except _LATER:
            sent = 0
        except OSError:
            return  # the next receive finds out, and reports it
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.watch(self._descriptor, self._readable, writable=True)

    def _flush(self) -> None:
        data, self._unsent = self._unsent, b""
        self._write(data)
        if not self._unsent and self.is_open:
            self._loop.watch(self._descriptor, self._readable)

    def close(self) -> None:
        """Send a close frame and close, without waiting for the answer; the owner is not called any more."""
        if self.is_open:
            self._write(frame(_NORMAL, Opcode.CLOSE))
            self._end()

    def _end(self) -> None:
        self.is_open = False
        self._loop.forget(self._descriptor)
        self._socket.close()

    def _lose(self, closing: Closing) -> None:
        if self.is_open:
            self._end()
            self._owner.lost(closing)

    # Opening

    def _connecting(self, events: int) -> None:
        if not events & select.EPOLLOUT:
            return
        # Unlike SO_ERROR, a second connect recognises a wake-up that was meant for an earlier socket of this number.
        error = self._socket.connect_ex(self._address.sockaddr)
        if error in _PENDING:
            return
        if error not in {0, errno.EISCONN}:
            self._fail(errno.errorcode.get(error, str(error)))
            return
        if self._address.tls is not None:
            self._socket = self._address.tls.wrap_socket(
                self._socket, server_hostname=self._address.name, do_handshake_on_connect=False
            )
            self._recv = self._socket.recv
        self._securing()

    def _securing(self, _events: int = 0) -> None:
        """The handshake of TLS, where there is one, as far as it goes; then the request."""
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.watch(self._descriptor, self._securing)
        except ssl.SSLWantWriteError:
            self._loop.watch(self._descriptor, self._securing, writable=True)
        except OSError as error:
            self._fail(tls_fault(error))
        else:
            self._loop.watch(self._descriptor, self._readable)
            self._write(self._request)

    def _fail(self, reason: str) -> None:
        """End an attempt from the loop: this may still be the constructor."""
        self._loop.watch(self._descriptor, lambda _: None)
        self._loop.at(0.0, lambda: self._lose(Closing(1006, f"cannot connect: {reason}")))

    def _opened(self, data: bytes, now: float) -> None:
        """The answer to the handshake, which frames may follow at once."""
        head, end, rest = data.partition(_END_OF_HEAD)
        if end:
            reason = refusal(head, self._accept)
            if reason is not None:
                self._lose(Closing(1006, reason))
                return
            self._upgraded = True
            self._owner.opened(now)
            if rest:
                self._scan(rest, now)
        elif len(data) > _MAX_HEAD_BYTES:
            self._lose(Closing(1006, "the answer to the handshake does not end"))
        else:
            self._keep(data, len(data) + 1)

    # Receiving

    def _readable(self, events: int) -> None:
        if events & select.EPOLLOUT and self._unsent:
            self._flush()
        try:
            data = self._recv(_RECEIVE_BYTES)
        except _LATER:
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
        if self._upgraded:
            self._scan(data, now)
        else:
            self._opened(data, now)

    def _keep(self, data: bytes, needed: int) -> None:
        """Keep what cannot be parsed before that many bytes are there."""
        self._parts.append(data)
        self._part_bytes, self._needed_bytes = len(data), needed

    def _scan(self, data: bytes, now: float) -> None:
        """Pass on every whole frame in ``data``, and keep what follows the last."""
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
                # With an incomplete head the length is too small; the next receive completes it.
                needed = max(end if body <= size else body, start + 2) - start
                break
            if data[start] == _TEXT:
                text(data, body, end, now)
            else:
                self._other(data[start], data[body:end], now)
            if not self.is_open:
                return
            start = end
        if start < size:
            self._keep(data[start:] if start else data, needed)

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
