"""h11 over a stream: one request in, one response out, and the next, each part with a limit and a deadline.

h11 implements the grammar and the framing. Heads are cut out of the stream and checked first: h11's expressions are
quadratic on a long run of blanks before a control character. Chunked bodies are decoded here, for h11 takes more than
the RFC allows for the end of a line and the end of a body.
"""

from contextlib import suppress
from http import HTTPStatus
from typing import cast

import h11
import trio
from attrs import define, field

from seatsync.core.http.chunks import ChunkedBody
from seatsync.core.http.request import Request, read_handshake, read_request
from seatsync.core.http.response import Response
from seatsync.core.net.stream import Stream
from seatsync.core.timing import Timing
from seatsync.errors import HeadTooLarge, MalformedRequest, MessageTooLarge, RequestTimeout, TargetTooLong

MAX_TARGET_BYTES = 8 * 1024
MAX_HEAD_BYTES = 16 * 1024

_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"

#: Of all control characters a head has its line ends and tabs alone (RFC 9110, 5.5).
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\r\n"))


@define(eq=False)
class Exchange:
    """The requests and responses of one connection, one at a time.

    Call `receive`, `read_body` and `respond` in that order, again and again while `is_open`. A `SeatSyncError` from
    the first two is answered with `respond`, which then ends the connection, for the request was not read to its end.
    """

    _stream: Stream
    _max_body_bytes: int
    _timing: Timing
    is_open: bool = True
    """Another request may come."""
    began_at: float = field(factory=trio.current_time)
    """When the first byte of the request came, on trio's clock."""
    _is_head: bool = False
    _is_last: bool = False
    _is_idle: bool = False
    _deadline: trio.CancelScope | None = None
    _declared_bytes: int = 0
    _is_chunked: bool = False
    rest: bytes = b""
    """Received and not used: the next request of a pipeline, or the first frames after a handshake."""
    _unparsed: bytes = b""
    """The head of a handshake that h11 has not seen."""
    _parser: h11.Connection | None = None

    def finish(self) -> None:
        """Let no request follow the one in flight, or the first one if that is still to come."""
        self._is_last = True
        if self._deadline is not None:
            wait_s = 0.0 if self._is_idle else self._timing.last_head_s
            self._deadline.deadline = min(self._deadline.deadline, trio.current_time() + wait_s)

    async def receive(self) -> Request | None:
        """Return the next request's head; ``None`` when the peer is done, gone, or silent for too long.

        Raises a fault of the head. A cancellation loses the part of it that has come.
        """
        self._unparsed = b""
        self._parser = None
        self._is_head = False
        if (head := await self._receive_head()) is None:
            self.is_open = False
            return None
        _check_head(head)
        request = read_handshake(head)
        if request is None:
            request = read_request(self._parse(head))
        else:
            self._unparsed = head
        self._declared_bytes = int(request.headers.get(b"content-length", b"0"))
        self._is_chunked = b"transfer-encoding" in request.headers
        return request

    @property
    def _h11(self) -> h11.Connection:
        """h11's state of the current request, made on demand: an accepted handshake does not need it."""
        if self._parser is None:
            self._parser = h11.Connection(h11.SERVER)
            if self._unparsed:
                self._parse(self._unparsed)
        return self._parser

    def _parse(self, head: bytes) -> h11.Request:
        self._h11.receive_data(head)
        request = cast("h11.Request", self._next_event())
        self._is_head = request.method == b"HEAD"
        return request

    async def _receive_head(self) -> bytes | None:
        data = self.rest.lstrip(b"\r\n")  # before a request they are ignored (RFC 9112, 2.2)
        self.began_at = trio.current_time()
        self._is_idle = not data and self._deadline is not None
        head_s = self._timing.last_head_s if self._is_last else self._timing.head_s
        with trio.move_on_after(self._timing.keep_alive_s if self._is_idle else head_s) as deadline:
            self._deadline = deadline
            while (end := data.find(_END)) < 0:
                _check_beginning(data)
                more = await self._receive_some()
                if not more:
                    return None
                if not data and (more := more.lstrip(b"\r\n")):
                    self.began_at = trio.current_time()
                    deadline.deadline = self.began_at + head_s
                    self._is_idle = False
                data += more
        if deadline.cancelled_caught:
            if data:
                raise RequestTimeout
            return None
        end += len(_END)
        self.rest = data[end:]
        return data[:end]

    async def read_body(self, *, is_wanted: bool = True) -> bytes:
        """Return the body of the request whose head came last, after the 100 that the client may wait for.

        One that waits and ``is_wanted`` no more is not asked for: `respond` ends the connection. Raises
        `MessageTooLarge`, `RequestTimeout`, or a fault of its framing, an early end included.
        """
        if self._declared_bytes > self._max_body_bytes:
            raise MessageTooLarge
        with trio.move_on_after(self._timing.body_s):
            if self._h11.they_are_waiting_for_100_continue:
                if not is_wanted:
                    return b""
                await self._send(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))
            return await (self._receive_chunks() if self._is_chunked else self._receive_body())
        raise RequestTimeout

    async def _receive_body(self) -> bytes:
        body = bytearray()
        while type(event := self._next_event()) is not h11.EndOfMessage:
            if type(event) is h11.Data:
                body += event.data
            else:
                self._h11.receive_data(self.rest or await self._receive_some())
                self.rest = b""
        self.rest = self._h11.trailing_data[0] + self.rest
        return bytes(body)

    async def _receive_chunks(self) -> bytes:
        chunks = ChunkedBody(self._max_body_bytes)
        while (rest := chunks.feed(self.rest)) is None:
            self.rest = await self._receive_some()
            if not self.rest:
                raise MalformedRequest
        self.rest = rest
        self._h11.receive_data(_LAST_CHUNK)
        self._next_event()  # the end of the message, for h11's state
        return bytes(chunks.body)

    async def _receive_some(self) -> bytes:
        """Return the next bytes, ``b""`` also when the connection is lost."""
        try:
            return await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    def _next_event(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError:
            raise MalformedRequest from None  # h11's message repeats what the peer sent

    async def respond(self, response: Response) -> None:
        """Send the response, without its body to ``HEAD``.

        The connection stays open only if the whole request was read and both sides agree. A peer that is gone or does
        not read ends the connection; nothing is raised.
        """
        fields = response.fields()
        if self._is_last or self._h11.their_state in {h11.IDLE, h11.SEND_BODY, h11.ERROR}:
            fields.append((b"Connection", b"close"))
        reason = HTTPStatus(response.status).phrase.encode()
        data = self._h11.send(h11.Response(status_code=response.status, headers=fields, reason=reason))
        if response.body and not self._is_head:
            data += self._h11.send(h11.Data(response.body))
        data += self._h11.send(h11.EndOfMessage())
        was_sent = await self._send(data)
        self.is_open = was_sent and self._h11.our_state is h11.DONE

    async def _send(self, data: bytes) -> bool:
        with trio.move_on_after(self._timing.response_s):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_all(data)
                return True
        return False


def _check_beginning(data: bytes) -> None:
    """Refuse a head that can no longer become valid, before its deadline does."""
    if data[:1] and (data[0] <= 0x20 or b"\n\n" in data):  # noqa: PLR2004 - a control character: TLS, most likely
        raise MalformedRequest
    if len(data) > MAX_HEAD_BYTES:
        _check_head(data)


def _check_head(head: bytes) -> None:
    """Check a head's limits, line ends and characters.

    At a lone CR or LF, or a folded line, parsers see different lines (RFC 9112, 2.2 and 5.2).
    """
    line_end = head.find(b"\r\n")
    if line_end > MAX_TARGET_BYTES or (line_end < 0 and len(head) > MAX_TARGET_BYTES):
        raise TargetTooLong
    if len(head) > MAX_HEAD_BYTES:
        raise HeadTooLarge
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise MalformedRequest
    if b"\r\n " in head or b"\r\n\t" in head or len(head.translate(None, _CONTROLS)) != len(head):
        raise MalformedRequest
