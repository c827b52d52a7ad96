"""Sockets: an own trio stream with synchronous writes.

A write goes to the kernel at once; only what the kernel refuses is kept, whole frames in order, and one flusher waits
for room. So a broadcast is a loop of plain ``send`` calls that never waits for anybody.
"""

import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

logger = structlog.get_logger(__name__)

#: Beyond this many unsent bytes a connection counts as slow: it gets no more updates until it has drained.
SLOW_BYTES = 64 * 1024

#: How long a close may take to flush, to be answered and to be read out, each.
CLOSE_S = 2.0

_RECEIVE_BYTES = 16 * 1024


class Stream(trio.abc.Stream):
    """A connected, non-blocking TCP socket.

    One task may receive at a time; `push` may be called by anybody. ``spawn`` starts the flusher when the kernel's
    buffer is full and has to outlive the stream.
    """

    def __init__(self, sock: socket.socket, peer: str, spawn: Callable[..., object]) -> None:
        self.peer = peer
        """The other side's IP address, as text."""
        self.on_drained: Callable[[], None] | None = None
        """Called, synchronously, when everything unsent has gone to the kernel after `push` refused."""
        self._socket = sock
        self._spawn = spawn
        self._unread = b""
        self._waiting_since: float | None = None
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_bytes = 0
        self._drained: trio.Event | None = None
        self._sealed = False
        self._lost = False
        self._closed = False

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._unsent_bytes

    @property
    def silent_s(self) -> float:
        """How long a byte of the peer has been waited for; 0 while this side does not read."""
        return 0.0 if self._waiting_since is None else trio.current_time() - self._waiting_since

    def unread(self, data: bytes) -> None:
        """Put bytes back: the next `receive_some` returns them first."""
        self._unread = data + self._unread

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, ``b""`` at the end of the stream.

        Raises `trio.BrokenResourceError` when the peer is gone, `trio.ClosedResourceError` when this side closed. A
        cancellation loses nothing.
        """
        if self._unread:
            await trio.lowlevel.checkpoint()
            data, self._unread = self._unread, b""
            return data
        self._waiting_since = trio.current_time()
        try:
            while True:  # until bytes, the end or an error come
                if self._closed:
                    raise trio.ClosedResourceError
                await trio.lowlevel.wait_readable(self._socket)
                with suppress(BlockingIOError):
                    return self._socket.recv(max_bytes or _RECEIVE_BYTES)
        except OSError as error:
            raise trio.BrokenResourceError from error
        finally:
            self._waiting_since = None

    def push(self, frame: bytes) -> bool:
        """Send one whole frame now, or keep what the kernel refuses; never waits, never raises.

        ``False`` when more than `SLOW_BYTES` are unsent afterwards: the caller should hold back until `on_drained`.
        After `seal` frames vanish.
        """
        if not self._sealed:
            self._write(frame)
        return self._unsent_bytes <= SLOW_BYTES

    def _write(self, data: bytes) -> None:
        if self._lost:
            return
        if self._unsent:
            self._keep(data)
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lost = True
            return
        if sent < len(data):
            self._keep(memoryview(data)[sent:])
            self._drained = trio.Event()
            self._spawn(self._flush)

    def _keep(self, data: bytes | memoryview) -> None:
        self._unsent.append(data)
        self._unsent_bytes += len(data)

    def seal(self) -> None:
        """Take no more pushes: a close frame goes out now, and nothing may follow it."""
        self._sealed = True

    async def _flush(self) -> None:
        """Write what is kept as the kernel makes room; ends when all has gone or the stream is lost or closed."""
        try:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                self._write_kept()
        except (OSError, trio.ClosedResourceError):
            self._lose()
        finally:
            if self._drained is not None:
                self._drained.set()
                self._drained = None
        if self.on_drained is not None and not self._lost:
            self.on_drained()

    def _lose(self) -> None:
        """Nothing can be sent any more."""
        self._lost = True
        self._unsent.clear()
        self._unsent_bytes = 0

    def _write_kept(self) -> None:
        while self._unsent:
            head = self._unsent[0]
            try:
                sent = self._socket.send(head)
            except BlockingIOError:
                return
            self._unsent_bytes -= sent
            if sent < len(head):
                self._unsent[0] = memoryview(head)[sent:]
                return
            self._unsent.popleft()

    async def drained(self) -> None:
        """Wait until nothing is unsent (at once if so, or if the peer is gone)."""
        if self._drained is not None:
            await self._drained.wait()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes after everything pushed before, and wait until the kernel has all of them.

        Raises `trio.BrokenResourceError` when the peer is gone. A cancellation may leave a part unsent: close then.
        """
        if self._closed:
            raise trio.ClosedResourceError
        self._write(bytes(data))
        await trio.lowlevel.checkpoint()
        await self.drained()
        if self._lost:
            raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until nothing is unsent."""
        await trio.lowlevel.checkpoint()
        await self.drained()

    async def aclose(self) -> None:
        """Flush, shut down writing, read until the peer closes too, each within `CLOSE_S`; then close.

        Closing with unread input would reset the connection, and a reset eats the close frame. A cancellation skips
        the courtesy; the socket is closed in any case.
        """
        if self._closed:
            return
        self._closed = True
        self.seal()
        try:
            with trio.move_on_after(CLOSE_S):
                await self.drained()
                self._socket.shutdown(socket.SHUT_WR)
            trio.lowlevel.notify_closing(self._socket)  # whoever reads gives way
            with trio.move_on_after(CLOSE_S):
                await self._read_out()
        except OSError:
            pass
        finally:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._lose()  # also for a flusher that has not had its first turn yet

    async def _read_out(self) -> None:
        while True:  # until the peer's end of the stream
            await trio.lowlevel.wait_readable(self._socket)
            with suppress(BlockingIOError):
                if not self._socket.recv(_RECEIVE_BYTES):
                    return
