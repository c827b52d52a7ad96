"""The chunked transfer coding (RFC 9112, 7.1), sans-I/O.

The lines between the chunks, and the trailers, are held to the rules of a head: they end in CRLF and have no control
characters, and no trailer is folded. Where another parser could see another end of the body, there is none.
"""

import re

from attrs import define, field

from seatsync.errors import HeadTooLarge, MalformedRequest, MessageTooLarge

#: The longest line, without its end.
MAX_LINE_BYTES = 512

#: Extensions and trailers of one body, together.
MAX_EXTRA_BYTES = 16 * 1024

#: The trailers and extensions are not used, so only their characters matter.
_SIZE = re.compile(rb"([0-9a-fA-F]{1,20})(?:;[\t -~\x80-\xff]*|[ \t]*)")
_TRAILER = re.compile(rb"[a-zA-Z0-9!#$%&'*+.^_`|~-]+:[\t -~\x80-\xff]*")
_BEGINNING = re.compile(rb"[\t -~\x80-\xff]*\r?")
_END = b"\r\n"


@define(eq=False)
class ChunkedBody:
    """Decodes one body out of the bytes it is fed, in time linear in their number."""

    _max_bytes: int
    body: bytearray = field(factory=bytearray)
    """The part that was decoded so far."""
    _buffer: bytearray = field(factory=bytearray)
    _left: int = 0
    """Bytes of the current chunk that are still to come, its line end included."""
    _extra: int = 0
    _is_in_trailers: bool = False

    def feed(self, data: bytes) -> bytes | None:
        """Add bytes that were received; returns those after the body once it is complete.

        Raises, as soon as it is certain, `MalformedRequest`, `MessageTooLarge` for a body and `HeadTooLarge` for
        extensions and trailers beyond their limits. To be called no more after that.
        """
        self._buffer += data
        while True:  # until a part is incomplete, or the last one complete
            if self._left:
                if not self._take_chunk():
                    return None
            elif (line := self._next_line()) is None:
                return None
            elif not self._is_in_trailers:
                self._begin_chunk(line)
            elif line:
                self._check_trailer(line)
            else:
                return bytes(self._buffer)

    def _next_line(self) -> bytes | None:
        """Take the next line off the buffer; ``None`` while it is incomplete. Raises `MalformedRequest`."""
        end = self._buffer.find(_END, 0, MAX_LINE_BYTES + len(_END))
        if end < 0:
            if len(self._buffer) > MAX_LINE_BYTES + 1 or not _BEGINNING.fullmatch(self._buffer):
                raise MalformedRequest
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(_END)]
        return line

    def _begin_chunk(self, line: bytes) -> None:
        if (match := _SIZE.fullmatch(line)) is None:
            raise MalformedRequest
        self._count_extra(len(line) - len(match[1]))
        size = int(match[1], 16)
        if size > self._max_bytes - len(self.body):
            raise MessageTooLarge
        if size:
            self._left = size + len(_END)
        else:
            self._is_in_trailers = True

    def _take_chunk(self) -> bool:
        """Take what is there of the current chunk; ``True`` at its end. Raises `MalformedRequest`."""
        size = max(0, self._left - len(_END))
        part = self._buffer[:size]
        self.body += part
        del self._buffer[: len(part)]
        self._left -= len(part)
        if len(part) < size:
            return False
        if not _END.startswith(self._buffer[: len(_END)]):
            raise MalformedRequest
        if len(self._buffer) < len(_END):
            return False
        del self._buffer[: len(_END)]
        self._left = 0
        return True

    def _check_trailer(self, line: bytes) -> None:
        if _TRAILER.fullmatch(line) is None:
            raise MalformedRequest
        self._count_extra(len(line))

    def _count_extra(self, size: int) -> None:
        self._extra += size
        if self._extra > MAX_EXTRA_BYTES:
            raise HeadTooLarge
