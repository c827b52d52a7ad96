"""Chunked bodies: what is decoded, what is refused, and when."""

import time

import pytest

from seatsync.core.http.chunks import MAX_EXTRA_BYTES, MAX_LINE_BYTES, ChunkedBody
from seatsync.errors import HeadTooLarge, MalformedRequest, MessageTooLarge, SeatSyncError

MAX_BYTES = 1000


def decode(data: bytes, piece_bytes: int = 1 << 20) -> tuple[bytes, bytes]:
    """The body, and what comes after it; fails when it is incomplete."""
    chunks = ChunkedBody(MAX_BYTES)
    for start in range(0, len(data), piece_bytes):
        if (rest := chunks.feed(data[start : start + piece_bytes])) is not None:
            return bytes(chunks.body), rest + data[start + piece_bytes :]
    raise AssertionError("the body is incomplete")


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"2\r\n{}\r\n0\r\n\r\n", b"{}"),
        (b"1\r\n{\r\n0001\r\n}\r\n000\r\n\r\n", b"{}"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n", b"x" * 1000),
        (b'2;a;b=c; d="e f"\r\n{}\r\n0;last\r\n\r\n', b"{}"),
        (b"2 \r\n{}\r\n0\r\n\r\n", b"{}"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"0\r\nX-Sum: abc\r\nEmpty:\r\nTab:\ta\tb\r\n\r\n", b""),
        (b"0\r\nContent-Length: 5\r\n\r\n", b""),
    ],
)
def test_a_body_is_decoded(sent: bytes, body: bytes, piece_bytes: int) -> None:
    """However it is cut; extensions and trailers are dropped, and what follows is left for the next request."""
    assert decode(sent + b"GET /", piece_bytes) == (body, b"GET /")


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"\r\n", MalformedRequest),
        (b"zz\r\n", MalformedRequest),
        (b"-1\r\n", MalformedRequest),
        (b"+1\r\n", MalformedRequest),
        (b"0x1\r\n", MalformedRequest),
        (b"1_0\r\n", MalformedRequest),
        (b" 2\r\n", MalformedRequest),
        (b"\xb2\r\n", MalformedRequest),
        (b"2\n", MalformedRequest),
        (b"2\r{", MalformedRequest),
        (b"2;a\rb\r\n", MalformedRequest),
        (b"2;a\nb\r\n", MalformedRequest),
        (b"2;a\0", MalformedRequest),
        (b"2;a\x7f\r\n", MalformedRequest),
        (b"2;" + b"x" * MAX_LINE_BYTES, MalformedRequest),
        (b"2 a\r\n", MalformedRequest),
        (b"2\r\n{}\n0", MalformedRequest),
        (b"2\r\n{}\rx", MalformedRequest),
        (b"2\r\n{}0\r\n", MalformedRequest),
        (b"2\r\n{}\r\n0\n", MalformedRequest),
        (b"0\r\n\n", MalformedRequest),
        (b"0\r\nX: a\n", MalformedRequest),
        (b"0\r\nX: a\0b", MalformedRequest),
        (b"0\r\nX: a\r\n b\r\n", MalformedRequest),
        (b"0\r\n\tX: a\r\n", MalformedRequest),
        (b"0\r\nX : a\r\n", MalformedRequest),
        (b"0\r\nno colon\r\n", MalformedRequest),
        (b"0\r\n: a\r\n", MalformedRequest),
        (b"0\r\nX: " + b"x" * MAX_LINE_BYTES, MalformedRequest),
        (b"1" * 21 + b"\r\n", MalformedRequest),
        (b"ffffffffffffffff\r\n", MessageTooLarge),
        (b"3e9\r\n", MessageTooLarge),
        (b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\n", MessageTooLarge),
        (b"0\r\n" + b"X: %b\r\n" % (b"x" * 400) * (MAX_EXTRA_BYTES // 400 + 1), HeadTooLarge),
        (b"1;%b\r\nx\r\n" % (b"x" * 400) * (MAX_EXTRA_BYTES // 400 + 1), HeadTooLarge),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
def test_a_fault_is_raised_at_once(sent: bytes, fault: type[SeatSyncError], piece_bytes: int) -> None:
    """At the last of these bytes, without waiting for the end of the line or the chunk."""
    with pytest.raises(fault):
        decode(sent, piece_bytes)


def test_small_chunks_take_time_in_proportion_to_the_body() -> None:
    """Four megabytes in chunks of 16 bytes that come in pieces of 64."""
    count, piece_bytes = 1 << 18, 64
    sent, chunks, started = b"10\r\n0123456789abcdef\r\n" * count, ChunkedBody(1 << 24), time.process_time()
    for start in range(0, len(sent), piece_bytes):
        assert chunks.feed(sent[start : start + piece_bytes]) is None
    assert len(chunks.body) == 16 * count
    assert time.process_time() - started < 10
