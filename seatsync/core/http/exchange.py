"""h11 over a stream: one request in, one response out, and the next, with a limit and a deadline for everything.

h11 knows the grammar and the framing. Around it stand the rules it leaves to its user: how long and how large anything
may be, and that lines end in CRLF alone. Heads are cut out of the stream here, so that h11 sees exactly one of them
(and its expressions, quadratic on a long run of blanks before a control character, never see such a character).
"""

from http import HTTPStatus
from typing import Protocol, cast

import h11
import trio

from seatsync.core.http.faults import HeadTooLarge, MalformedRequest, RequestTimeout, TargetTooLong
from seatsync.core.http.request import Request, read_handshake, read_request
from seatsync.core.http.response import Response
from seatsync.errors import MessageTooLarge

#: How long a connection may stay silent between two requests.
IDLE_S = 75.0
#: How long the first request may take to begin, and any head from its first byte to its last.
HEAD_S = 10.0
#: How long a head may still take when the connection is to end.
LAST_HEAD_S = 1.0
#: How long a body may take after its head.
BODY_S = 30.0
#: How long the peer may take to read a response.
RESPONSE_S = 30.0

MAX_TARGET_BYTES = 8 * 1024
MAX_HEAD_BYTES = 16 * 1024

#: Bodies go to h11 in pieces of this size, and no line between two chunks may be longer than it.
_PIECE_BYTES = 512
_RECEIVE_BYTES = 16 * 1024

_END = b"\r\n\r\n"
#: Line ends before a request are ignored (RFC 9112, 2.2).
_BLANK = b"\r\n"


class ByteStream(Protocol):
    """The part of a connected stream that HTTP needs; the methods mean what `trio.abc.Stream` says."""

    peer: str

    def unread(self, data: bytes) -> None:
        """Put bytes back: the next `receive_some` returns them first."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes, ``b""`` at the end."""

    async def send_all(self, data: bytes) -> None:
        """Send all of the bytes."""

    async def aclose(self) -> None:
        """Let what was sent arrive, then close."""


class Exchange:
    """The requests and responses of one connection, one at a time.

    `receive`, `read_body` and `respond` are called in that order, again and again while `is_open`. What they raise as
    `SeatSyncError` is answered with `respond`, which then ends the connection, because the rest of the request has
    not been read.
    """

    def __init__(self, stream: ByteStream, max_body_bytes: int) -> None:
        self.is_open = True
        """Whether another request may come."""
        self._stream = stream
        self._max_body_bytes = max_body_bytes
        self.began_at = trio.current_time()
        """When the first byte of the request came, on trio's clock."""
        self._is_head = False
        self._was_read = False
        self._is_first = True
        self._is_last = False
        self._is_idle = False
        self._deadline: trio.CancelScope | None = None
        self._declared_bytes = 0
        self._rest = b""
        """Received and not used: the next request of a pipeline, or the first frames after a handshake."""
        self._unparsed = b""
        """The head of a handshake that h11 has not seen."""
        self._parser: h11.Connection | None = None

    def finish(self) -> None:
        """Have no request follow the one under way, or the first one if that is still to come."""
        self._is_last = True
        if self._deadline is not None:
            wait_s = 0.0 if self._is_idle else LAST_HEAD_S
            self._deadline.deadline = min(self._deadline.deadline, trio.current_time() + wait_s)

    async def receive(self) -> Request | None:
        """The next request's head; ``None`` when the peer is done, gone, or silent for too long.

        Raises a fault of the head. A cancellation loses what has come of it.
        """
        self._unparsed = b""
        self._parser = None
        self._is_head = False
        self._was_read = False
        head = await self._receive_head()
        if head is None:
            self.is_open = False
            return None
        _check_head(head)
        request = read_handshake(head)
        if request is not None:
            self._unparsed = head
        else:
            request = read_request(self._parse(head))
        self._declared_bytes = int(request.headers.get(b"content-length", b"0"))
        return request

    @property
    def _h11(self) -> h11.Connection:
        """h11's state of the present request, made when something needs it: an accepted handshake does not."""
        if self._parser is None:
            self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_PIECE_BYTES)
            if self._unparsed:
                self._parse(self._unparsed)
        return self._parser

    def _parse(self, head: bytes) -> h11.Request:
        self._h11.receive_data(head)
        request = cast("h11.Request", self._next_event())
        self._is_head = request.method == b"HEAD"
        return request

    async def _receive_head(self) -> bytes | None:
        data = self._rest.lstrip(_BLANK)
        self.began_at = trio.current_time()
        self._is_idle = not (data or self._is_first)
        head_s = LAST_HEAD_S if self._is_last else HEAD_S
        with trio.move_on_after(IDLE_S if self._is_idle else head_s) as deadline:
            self._deadline = deadline
            while (end := data.find(_END)) < 0:
                _check_beginning(data)
                more = await self._receive_some()
                if not more:
                    return None
                if not data and (more := more.lstrip(_BLANK)):
                    self.began_at = trio.current_time()
                    deadline.deadline = self.began_at + head_s
                    self._is_idle = False
                data += more
        if deadline.cancelled_caught:
            if data:
                raise RequestTimeout
            return None
        self._is_first = False
        end += len(_END)
        self._rest = data[end:]
        return data[:end]

    async def read_body(self) -> bytes:
        """The whole body of the request whose head came last.

        Raises `MessageTooLarge`, `RequestTimeout`, or a fault of its framing, to which an early end belongs. Invites
        the body first where the client waits for that.
        """
        if self._declared_bytes > self._max_body_bytes:
            raise MessageTooLarge
        with trio.move_on_after(BODY_S):
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))
            return await self._receive_body()
        raise RequestTimeout

    async def _receive_body(self) -> bytes:
        body = bytearray()
        while type(event := self._next_event()) is not h11.EndOfMessage:
            if type(event) is h11.Data:
                body += event.data
                if len(body) > self._max_body_bytes:
                    raise MessageTooLarge
            else:
                self._h11.receive_data(await self._piece())
        self._was_read = True
        self._rest = self._h11.trailing_data[0] + self._rest
        return bytes(body)

    async def _piece(self) -> bytes:
        if not self._rest:
            self._rest = await self._receive_some(_RECEIVE_BYTES)
        piece, self._rest = self._rest[:_PIECE_BYTES], self._rest[_PIECE_BYTES:]
        return piece

    async def _receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the stream's, but a lost connection is an end like any other."""
        try:
            return await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    def _next_event(self) -> object:
        try:
            return self._h11.next_event()
        except h11.RemoteProtocolError:
            raise MalformedRequest from None  # h11's own words repeat what the peer sent

    async def respond(self, response: Response) -> None:
        """Send the response, without its body to ``HEAD``.

        The connection stays open only if the whole request was read and both sides agree. A peer that is gone, or does
        not read, ends the connection and raises nothing.
        """
        fields = response.fields()
        if self._is_last or not self._was_read:
            fields.append((b"Connection", b"close"))
        data = self._h11.send(
            h11.Response(
                status_code=response.status,
                headers=fields,
                reason=HTTPStatus(response.status).phrase.encode(),
            )
        )
        if response.body and not self._is_head:
            data += self._h11.send(h11.Data(response.body))
        data += self._h11.send(h11.EndOfMessage())
        was_sent = await self._send(data)
        self.is_open = was_sent and self._h11.our_state is h11.DONE

    async def _send(self, data: bytes) -> bool:
        with trio.move_on_after(RESPONSE_S):
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False
            return True
        return False

    def hand_over(self) -> None:
        """Give the bytes after the head back to the stream: it speaks another protocol from here on."""
        self._stream.unread(self._rest)


def _check_beginning(data: bytes) -> None:
    """Refuse a head that can no longer become a good one, before the deadline does."""
    if data[:1] and (data[0] <= 0x20 or b"\n\n" in data):  # noqa: PLR2004 - a control character: TLS, most likely
        raise MalformedRequest
    if len(data) > MAX_HEAD_BYTES:
        _check_head(data)


def _check_head(head: bytes) -> None:
    """Hold a head to its limits and to CRLF: no control character, no lone CR or LF hides a line from one of two
    parsers (RFC 9112, 2.2)."""
    line_end = head.find(b"\r\n")
    if line_end > MAX_TARGET_BYTES or (line_end < 0 and len(head) > MAX_TARGET_BYTES):
        raise TargetTooLong
    if len(head) > MAX_HEAD_BYTES:
        raise HeadTooLarge
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise MalformedRequest
    if b"\0" in head or b"\v" in head or b"\f" in head:
        raise MalformedRequest
