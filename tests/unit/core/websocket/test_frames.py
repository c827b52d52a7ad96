"""Frames, without a stream: built, read, joined, limited. `tests.fuzz.test_frames` reads damaged ones.

The last tests hold the behaviour of wsproto that the reader relies on: they break first when a new release differs.
"""

import time

import pytest
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import CloseConnection, TextMessage
from wsproto.frame_protocol import CloseReason

from seatsync.core.websocket.frames import (
    TOO_BIG,
    Closed,
    FrameReader,
    close_frame,
    fault,
    read_plain_text,
    text_frame,
)
from tests.support.raw_socket import CLOSE, CONTINUATION, TEXT, frame

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]


@pytest.mark.parametrize("size", SIZES)
def test_text_frame_is_what_a_client_reads(size: int) -> None:
    """All three encodings of its length (RFC 6455, section 5.2)."""
    client = Protocol(ConnectionType.CLIENT)
    client.receive_data(text_frame(b"x" * size))
    events = list(client.events())
    assert "".join(event.data for event in events if isinstance(event, TextMessage)) == "x" * size
    assert getattr(events[-1], "message_finished", False)


@pytest.mark.parametrize("size", SIZES)
def test_text_is_read_when_it_is_complete(size: int) -> None:
    """A text frame is read at its last byte; the rest is the next frame."""
    reader, sent = FrameReader(max_message_bytes=70000), frame(TEXT, b"x" * size)
    for part in (sent[:1], sent[1:2], sent[2:-1]):
        reader.feed(part)
        assert reader.next() is None
    reader.feed(sent[-1:] + frame(TEXT, b"next"))
    assert [reader.next() for _ in range(3)] == ["x" * size, "next", None]


def test_fragments_are_one_message() -> None:
    """The last fragment completes a message; the size limit holds for the fragments together."""
    reader = FrameReader(max_message_bytes=4)
    for _ in range(2):
        reader.feed(frame(TEXT, b"ab", last=False) + frame(CONTINUATION, b"cd"))
        assert [reader.next(), reader.next()] == [b"", "abcd"]
    reader.feed(frame(TEXT, b"ab", last=False) + frame(CONTINUATION, b"cde"))
    assert [reader.next(), reader.next()] == [b"", TOO_BIG]


def test_a_message_in_small_pieces_takes_time_in_proportion_to_its_size() -> None:
    """16 MiB, 128 bytes at a time; in quadratic time they take minutes."""
    size, piece_bytes = 1 << 24, 128
    reader, sent, started = FrameReader(max_message_bytes=size), frame(TEXT, b"x" * size), time.process_time()
    for start in range(0, len(sent), piece_bytes):
        assert reader.next() is None
        reader.feed(sent[start : start + piece_bytes])
    assert reader.next() == "x" * size
    assert time.process_time() - started < 10


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1012, 1014, 3000, 4999])
def test_every_registered_code_is_a_clean_close(code: int) -> None:
    """It is echoed with its reason (RFC 6455, 5.5.1), also where it was registered after the RFC."""
    reader = FrameReader(max_message_bytes=4)
    reader.feed(frame(CLOSE, code.to_bytes(2) + b"bye"))
    assert reader.next() == Closed(code, close_frame(code, "bye"))


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(CLOSE, (1014).to_bytes(2) + b"\xff"), 1007),
        (frame(CLOSE, (1014).to_bytes(2), masked=False), 1002),
        (frame(CLOSE, (1014).to_bytes(2), last=False), 1002),
        (frame(CLOSE, (1014).to_bytes(2), reserved=4), 1002),
        (frame(CLOSE, (1014).to_bytes(2) + b"x" * 124), 1002),
        *((frame(CLOSE, code.to_bytes(2)), 1002) for code in (999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)),
    ],
)
def test_a_malformed_close_is_a_fault(sent: bytes, code: int) -> None:
    """A code that is not for the wire, a reason that is not UTF-8, and a frame that breaks a rule."""
    reader = FrameReader(max_message_bytes=1000)
    reader.feed(sent)
    assert reader.next() == fault(code, "protocol fault")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x81\x02hi....", id="unmasked"),
        pytest.param(b"\x01\x82\0\0\0\0hi", id="fragment"),
        pytest.param(b"\xc1\x82\0\0\0\0hi", id="reserved bit"),
        pytest.param(b"\x82\x82\0\0\0\0hi", id="binary"),
        pytest.param(b"\x81\xfe\x00\x02\0\0\0\0hi", id="length not in its shortest form"),
        pytest.param(b"\x81\xff\0\0\0\0\0\0\0\x02\0\0\0\0hi", id="longest"),
        pytest.param(b"\x81\x81\0\0\0\0\xff", id="not UTF-8"),
    ],
)
def test_every_other_frame_is_left_to_wsproto(data: bytes) -> None:
    """Only a masked, unfragmented text frame that keeps every rule is read without wsproto."""
    assert read_plain_text(data) is None


# Behaviour of wsproto that the reader relies on


def test_wsproto_starts_open_after_our_handshake() -> None:
    """wsproto after our handshake is open, without extensions or bytes to send."""
    server = Protocol(ConnectionType.SERVER)
    assert server.state is ConnectionState.OPEN
    assert list(server.events()) == []
    server.receive_data(frame(TEXT, b"x"))
    assert list(server.events()) == [TextMessage(data="x")]


@pytest.mark.parametrize("size", [0, 200, 70_000])
def test_wsproto_reports_a_whole_frame_once(size: int) -> None:
    """A whole frame is one event, so it counts once in the budget."""
    server = Protocol(ConnectionType.SERVER)
    for last in (False, True):
        server.receive_data(frame(CONTINUATION if last else TEXT, b"x" * size, last=last))
        (event,) = server.events()
        assert isinstance(event, TextMessage)
        assert (event.data, event.frame_finished, event.message_finished) == ("x" * size, True, last)


def test_wsproto_reports_a_broken_rule_as_a_close_while_open() -> None:
    """A broken rule is a close event in state OPEN, after the messages before it."""
    server = Protocol(ConnectionType.SERVER)
    server.receive_data(frame(TEXT, b"x") + frame(TEXT, b"\xff"))
    text, close = server.events()
    assert isinstance(text, TextMessage)
    assert isinstance(close, CloseConnection)
    assert (close.code, server.state) == (CloseReason.INVALID_FRAME_PAYLOAD_DATA, ConnectionState.OPEN)
    assert server.send(CloseConnection(code=1007)) == b"\x88\x02\x03\xef"
    server.receive_data(b"more")
    assert list(server.events()) == []


def test_wsproto_reports_the_peer_s_close_by_its_state() -> None:
    """A close of the peer changes the state, and its answer is ready."""
    server = Protocol(ConnectionType.SERVER)
    server.receive_data(frame(0x8, (4999).to_bytes(2) + b"bye"))
    (close,) = server.events()
    assert isinstance(close, CloseConnection)
    assert (close.code, close.reason, server.state) == (4999, "bye", ConnectionState.REMOTE_CLOSING)
    assert server.send(close.response()) == b"\x88\x05\x13\x87bye"
