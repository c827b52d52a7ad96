"""One open WebSocket on the server's side: text messages in, text frames out, without a task or a queue of its own."""

import trio
from attrs import define

from seatsync.core.net.limits import Budget
from seatsync.core.net.stream import Stream
from seatsync.core.protocol.envelope import HEARTBEAT
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import ABNORMAL, CloseCode, FrameReader, close_frame, fault, text_frame

_HEARTBEAT_FRAME = text_frame(HEARTBEAT.encode())
_RATE_LIMIT = fault(CloseCode.POLICY, "rate limit")


@define(eq=False, weakref_slot=False)
class WebSocket:
    """One upgraded connection. One task receives and closes; any may push."""

    stream: Stream
    _frames: FrameReader
    _timing: Timing = Timing()
    budget: Budget | None = None
    """The peer's budget of frames; ``None`` for any amount."""
    over_budget_s: float = 0.0
    """0 while the last frame was within ``budget``, which every frame takes from; else the seconds to wait."""
    close_code: int | None = None
    """The code the connection was closed with, by either side; ``None`` while it is open."""

    def ping(self) -> None:
        """Send an empty ping (RFC 6455, section 5.5.2); any byte that comes counts as its answer."""
        self.stream.push(b"\x89\x00")

    async def receive(self) -> str:
        """Return the next text message, after answering the pings and heartbeats before it.

        Raises `trio.EndOfChannel` once the connection is over: the peer closed or vanished, or broke the protocol and
        was sent a close frame. A cancellation loses nothing.
        """
        while self.close_code is None:
            if (event := self._frames.next()) is None:
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
                event = _HEARTBEAT_FRAME
            if not isinstance(event, bytes):
                self._send_close(event.code, event.frame)
            elif event and not self.over_budget_s:
                self.stream.push(event)
        raise trio.EndOfChannel

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
        self.close_code = code

    async def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame, wait `Timing.close_s` for the peer's, and close the stream within its own bounds.

        Sends none if one was sent or the peer is gone. A cancellation drops the connection at once.
        """
        if self.close_code is None:
            self._send_close(int(code), close_frame(code, reason))
            with trio.move_on_after(self._timing.close_s):
                while not self._frames.skip_to_close() and await self._read():
                    pass
        await self.stream.aclose()
