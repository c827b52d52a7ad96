"""What the WebSocket reads by itself, it reads as wsproto would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from seatsync.core.websocket.frames import frame_bytes, read_plain_text

TEXTS = st.one_of(st.text(max_size=200), st.text(alphabet="ab\u00e9\u20ac", min_size=100, max_size=3000))


def sent(text: str) -> bytes:
    """A text message as a client sends it."""
    return Connection(ConnectionType.CLIENT).send(TextMessage(text))


@given(TEXTS, st.binary(max_size=20))
def test_plain_text_is_read_to_its_end(text: str, rest: bytes) -> None:
    """The text comes out whole, and what follows the frame is left alone."""
    frame = sent(text)
    assert read_plain_text(frame + rest) == (text, len(frame))
    assert frame_bytes(frame + rest) == len(frame)


@given(TEXTS, st.data())
def test_part_of_a_frame_is_not_read(text: str, data: st.DataObject) -> None:
    """A frame that has not come as a whole is no text yet, and its length is never thought too long."""
    frame = sent(text)
    part = frame[: data.draw(st.integers(0, len(frame) - 1))]
    assert read_plain_text(part) is None
    assert len(part) < frame_bytes(part) <= len(frame) or len(part) < 2


@given(st.binary(min_size=6, max_size=400))
def test_any_bytes_are_read_as_wsproto_reads_them(data: bytes) -> None:
    """Where a text is read, wsproto reads the same one; what breaks a rule is left to wsproto."""
    plain = read_plain_text(b"\x81" + data)
    if plain is not None:
        text, end = plain
        server = Connection(ConnectionType.SERVER)
        server.receive_data((b"\x81" + data)[:end])
        assert list(server.events()) == [TextMessage(text)]


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x02hi....",
        b"\x01\x82\0\0\0\0hi",
        b"\xc1\x82\0\0\0\0hi",
        b"\x82\x82\0\0\0\0hi",
        b"\x81\xfe\x00\x02\0\0\0\0hi",
        b"\x81\xff\0\0\0\0\0\0\0\x02\0\0\0\0hi",
        b"\x81\x81\0\0\0\0\xff",
    ],
    ids=["unmasked", "fragment", "reserved bit", "binary", "length not in its shortest form", "longest", "not UTF-8"],
)
def test_everything_else_is_left_to_wsproto(frame: bytes) -> None:
    """Only a masked, unfragmented text frame that keeps every rule is read without wsproto."""
    assert read_plain_text(frame) is None
