"""One open WebSocket on the server's side: text messages in, text frames out.

No task or queue stands between the stream and the connection's own loop: a connection is one task.
"""

from typing import TYPE_CHECKING

import trio

from seatsync.core.net.stream import Stream
from seatsync.core.protocol.envelope import HEARTBEAT, close_reason
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import (
    ABNORMAL,
    PING_FRAME,
    CloseCode,
    Closed,
    Fault,
    FrameReader,
    Reply,
    close_frame,
    text_frame,
)

if TYPE_CHECKING:
    from seatsync.core.net.limits import Budget

#: Reconnect advice of a full server: from when to when clients spread their return, in milliseconds.
NO_ROOM_RETRY_MS = (5_000, 15_000)

_HEARTBEAT = Reply(text_frame(HEARTBEAT.encode()))
_RATE_LIMIT = Fault(CloseCode.POLICY, "rate limit")


class WebSocket:
    """One upgraded connection. One task receives and closes; any may push."""

    __slots__ = ("_close_s", "_frames", "budget", "close_code", "over_budget_s", "stream")

    def __init__(self, stream: Stream, *, max_message_bytes: int, timing: Timing = Timing()) -> None:
        self.stream = stream
        self.budget: Budget | None = None
        """The peer's budget of frames; ``None`` for any amount."""
        self.over_budget_s = 0.0
        """0 while the last frame was within ``budget``, which every frame takes from; else the seconds to wait."""
        self.close_code: int | None = None
        """The code the connection was closed with, by either side; ``None`` while it is open."""
        self._frames = FrameReader(max_message_bytes)
        self._close_s = timing.close_s

    def ping(self) -> None:
        """Send an empty ping (RFC 6455, section 5.5.2); any byte that comes counts as its answer."""
        self.stream.push(PING_FRAME)

    async def receive(self) -> str:
        """Return the next text message, after answering the pings and heartbeats before it.

        Raises `trio.EndOfChannel` once the connection is over: the peer closed or vanished, or broke the protocol and
        was sent a close frame. A cancellation loses nothing.
        """
        while self.close_code is None:
            event = self._frames.next()
            if event is None:
                if self.stream.is_full:
                    await self.stream.drained()  # the answers to a flood of heartbeats would pile up
                if not await self._read():
                    self.close_code = ABNORMAL
                    self.stream.seal()
                continue
            if self.budget is not None:
                self.over_budget_s = self.budget.take()
                if self.budget.is_ignored:
                    event = _RATE_LIMIT
            if isinstance(event, str):
                if event != HEARTBEAT:
                    return event
                event = _HEARTBEAT
            self._handle(event)
        raise trio.EndOfChannel

    def _handle(self, event: Reply | Closed | Fault) -> None:
        match event:
            case Reply(frame):
                if frame and not self.over_budget_s:
                    self.stream.push(frame)
            case Fault(code, reason):
                self._send_close(code, close_frame(code, close_reason(reason)))
            case Closed(code, frame):
                self._send_close(code, frame)

    async def _read(self) -> bool:
        """Feed the reader the next bytes; ``False`` at the end."""
        try:
            data = await self.stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        self._frames.feed(data)
        return bool(data)

    def _send_close(self, code: int, frame: bytes) -> None:
        """Send a close frame, after which nothing is sent and no message is read."""
        self.stream.push(frame)
        self.stream.seal()
        self.close_code = int(code)

    async def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame, wait `Timing.close_s` for the peer's, and close the stream within its own bounds.

        Sends none if one was sent or the peer is gone. A cancellation drops the connection at once.
        """
        if self.close_code is None:
            self._send_close(code, close_frame(code, reason))
            with trio.move_on_after(self._close_s):
                while not self._frames.skip_to_close() and await self._read():
                    pass
        await self.stream.aclose()


async def turn_away(socket: WebSocket) -> None:
    """Close a connection that has just been opened, for there is no room.

    A browser shows its page neither the status of a refused handshake nor its advice on when to reconnect.
    """
    await socket.close(CloseCode.TRY_LATER, close_reason("full", NO_ROOM_RETRY_MS))
