"""A stream over a socket, with synchronous writes.

A write goes to the kernel at once. Only what the kernel refuses is kept, as whole frames in order, and one flusher
waits for room. So a broadcast is a loop of plain ``send`` calls that never waits.
"""

import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

import trio
from attrs import define, field

from seatsync.core.timing import Timing

#: High-water mark: with more unsent bytes than this a stream is full, and its connection gets no updates until it has
#: drained.
SLOW_BYTES = 64 * 1024

_RECEIVE_BYTES = 16 * 1024

_T = TypeVar("_T")


@define(eq=False, repr=False, weakref_slot=False)
class Stream:
    """A connected, non-blocking TCP socket.

    One task may receive at a time; any may `push`. ``spawn`` starts the flusher when the kernel's buffer is full, and
    has to outlive the stream.
    """

    _socket: socket.socket
    peer: str
    """The peer's IP address, as text."""
    _spawn: Callable[..., object]
    _timing: Timing = Timing()
    _slow_bytes: int = SLOW_BYTES
    on_full: Callable[[], None] | None = None
    """Called, synchronously, whenever a push leaves the stream full."""
    on_drained: Callable[[], None] | None = None
    """Called, synchronously, when everything unsent has gone to the kernel."""
    send_now: Callable[[bytes | memoryview], int] = field(init=False)
    """The socket's own ``send``."""
    is_clear: bool = True
    """A frame may go straight to the kernel: no earlier one waits, and the stream is neither sealed nor lost."""
    unsent_bytes: int = 0
    """Bytes that the kernel has not taken yet."""
    _is_new: bool = True
    _unread: bytes = b""
    _waiting_since: float | None = None
    _unsent: deque[bytes | memoryview] | None = None
    _drained: trio.Event | None = None
    _sealed: bool = False
    _lost: bool = False
    _closed: bool = False

    def __attrs_post_init__(self) -> None:
        self.send_now = self._socket.send

    @property
    def is_full(self) -> bool:
        """More than ``slow_bytes`` are unsent."""
        return self.unsent_bytes > self._slow_bytes

    @property
    def silent_s(self) -> float:
        """Seconds since this side began to wait for a byte; 0 while it does not read."""
        return 0.0 if self._waiting_since is None else trio.current_time() - self._waiting_since

    def unread(self, data: bytes) -> None:
        """Put bytes back: the next `receive_some` returns them first."""
        self._unread = data + self._unread

    async def receive_some(self) -> bytes:
        """Return the next bytes, ``b""`` at the end of the stream.

        Raises `trio.BrokenResourceError` when the peer is gone, `trio.ClosedResourceError` when this side closed. A
        cancellation loses nothing. The first bytes of a peer are usually there already, and are then returned without
        a checkpoint.
        """
        if self._unread:
            await trio.lowlevel.checkpoint()
            data, self._unread = self._unread, b""
            return data
        self._waiting_since = trio.current_time()
        try:
            while not self._closed:
                if not self._is_new:
                    await trio.lowlevel.wait_readable(self._socket)
                self._is_new = False
                try:
                    return self._socket.recv(_RECEIVE_BYTES)
                except BlockingIOError:
                    continue
            raise trio.ClosedResourceError
        except OSError as error:
            raise trio.BrokenResourceError from error
        finally:
            self._waiting_since = None

    def push(self, frame: bytes) -> bool:
        """Send one whole frame, as `push_each` does; ``False`` when this is full now."""
        return not push_each([(frame, {self: self})])

    def keep(self, frame: bytes, sent: int) -> bool:
        """Keep the rest of a frame of which the kernel took ``sent`` bytes; ``False`` when this is full now."""
        if not (self._sealed or self._lost):
            if self._unsent is None:
                self.is_clear = False
                self._unsent = deque()  # 760 bytes, which most streams never need
                self._drained = trio.Event()
                self._spawn(self._flush)
            self._unsent.append(memoryview(frame)[sent:] if sent else frame)
            self.unsent_bytes += len(frame) - sent
        if not self.is_full:
            return True
        if self.on_full is not None:
            self.on_full()
        return False

    def seal(self) -> None:
        """Drop all further pushes: nothing may follow a close frame."""
        self._sealed = True
        self.is_clear = False

    async def _flush(self) -> None:
        """Write what is kept as the kernel makes room, until all has gone or the stream is lost or closed."""
        try:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                with suppress(BlockingIOError):
                    while self._unsent:
                        head = self._unsent[0]
                        sent = self.send_now(head)
                        self.unsent_bytes -= sent
                        if sent < len(head):
                            self._unsent[0] = memoryview(head)[sent:]
                            break
                        self._unsent.popleft()
            self._unsent = None
            self.is_clear = not (self._sealed or self._lost)
        except (OSError, trio.ClosedResourceError):
            self.lose()
        finally:
            if self._drained is not None:
                self._drained.set()
                self._drained = None
        if self.on_drained is not None and not self._lost:
            self.on_drained()

    def lose(self) -> None:
        """Drop what is kept, and take no more: the peer is gone, or this side has closed."""
        self._lost = True
        self.is_clear = False
        self._unsent = None
        self.unsent_bytes = 0

    async def drained(self) -> None:
        """Wait until nothing is unsent, or the peer is gone."""
        if self._drained is not None:
            await self._drained.wait()

    async def send_all(self, data: bytes) -> None:
        """Send bytes after everything pushed before, and wait until the kernel has all of them.

        Raises `trio.BrokenResourceError` when the peer is gone, `trio.ClosedResourceError` after `seal`. A
        cancellation takes nothing back: the flusher goes on.
        """
        if self._sealed:
            raise trio.ClosedResourceError
        self.push(data)
        await trio.lowlevel.checkpoint()
        await self.drained()
        if self._lost:
            raise trio.BrokenResourceError

    async def aclose(self) -> None:
        """Flush and shut down writing, read until the peer closes, too, each within `Timing.close_s`; then close.

        Closing with unread input would reset the connection, and a reset discards the close frame. A cancellation
        closes the socket at once.
        """
        if self._closed:
            return
        self._closed = True
        self.seal()
        try:
            with trio.move_on_after(self._timing.close_s):
                await self.drained()
                self._socket.shutdown(socket.SHUT_WR)
            trio.lowlevel.notify_closing(self._socket)  # wakes a task that reads
            with trio.move_on_after(self._timing.close_s):
                data = b"?"
                while data:
                    await trio.lowlevel.wait_readable(self._socket)
                    with suppress(BlockingIOError):
                        data = self._socket.recv(_RECEIVE_BYTES)
        except OSError:
            pass
        finally:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self.lose()  # ends a flusher that has not started yet, too


def push_each(batches: Iterable[tuple[bytes, Mapping[Stream, _T]]]) -> list[_T]:
    """Send each frame whole to all of its streams now, or keep what the kernel refuses; never waits, never raises.

    Returns the values of the streams that are full now: the caller holds back until `Stream.on_drained`. A sealed or
    lost stream drops the frame.

    Everything that is sent goes through this loop. Of most streams it calls nothing but ``send``: a method call for
    each stream would add a sixth to the cost of a frame.
    """
    full: list[_T] = []
    for frame, streams in batches:
        size = len(frame)
        for stream in streams:
            sent = 0
            if stream.is_clear:
                try:
                    sent = stream.send_now(frame)
                    if sent == size:
                        continue
                except BlockingIOError:
                    pass
                except OSError:
                    stream.lose()
            if not stream.keep(frame, sent):
                full.append(streams[stream])
    return full
