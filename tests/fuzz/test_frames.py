"""The server reads frames as wsproto does, however they are damaged and cut."""

from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from seatsync.core.websocket.frames import TOO_BIG, CloseCode, Closed, Event, FrameReader, fault, read_plain_text
from tests.fuzz.inputs import each
from tests.fuzz.strategies import cut, frames, variants

MAX_MESSAGE_BYTES = 1 << 20

TEXTS = st.one_of(st.text(max_size=200), st.text("ab\u00e9\u20ac", min_size=100, max_size=3000))


def outcomes(pieces: list[bytes]) -> list[Event]:
    """The outcomes of all frames in these pieces that require an action, up to a close or a fault."""
    reader, found = FrameReader(MAX_MESSAGE_BYTES), list[Event]()
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            if event != b"":
                found.append(event)
            if isinstance(event, Closed):
                return found
    return found


def outcomes_of_wsproto(data: bytes) -> list[Event]:
    """The same by wsproto alone, which detects some faults before the frame is complete."""
    server, text, found = Connection(ConnectionType.SERVER), "", list[Event]()
    server.receive_data(data)
    for event in server.events():
        match event:
            case TextMessage():
                text += event.data
                if event.message_finished:
                    found.append(text)
                    text = ""
            case Ping():
                found.append(server.send(event.response()))
            case BytesMessage():
                return [*found, fault(CloseCode.UNSUPPORTED, "binary frame")]
            case CloseConnection() if server.state is ConnectionState.REMOTE_CLOSING:
                return [*found, Closed(int(event.code), server.send(event.response()))]
            case CloseConnection():
                return [*found, fault(event.code, "protocol fault")]
    return found


def is_later_close(found: Event, expected: Event) -> bool:
    """A close with a code that wsproto does not know, 1014, which may still have a reason that is not UTF-8."""
    return (
        isinstance(found, Closed)
        and found.code in {1014, CloseCode.INVALID_UTF8}
        and expected == fault(CloseCode.PROTOCOL_ERROR, "protocol fault")
    )


def check(sent: bytes) -> None:
    """The same outcomes, but for a frame that announces too much, and for a fault in a frame that is incomplete."""
    found, expected = outcomes(cut(sent, len(sent))), outcomes_of_wsproto(sent)
    if found and len(found) == len(expected) and is_later_close(found[-1], expected[-1]):
        expected[-1] = found[-1]
    if found and found[-1] == TOO_BIG:
        found.pop()
        expected = expected[: len(found)]
    if len(expected) == len(found) + 1:
        match expected[-1]:
            case Closed(code, frame) if frame == fault(code, "protocol fault").frame or code == CloseCode.UNSUPPORTED:
                expected.pop()
    assert found == expected


def check_text(text: str) -> None:
    """A text message with any mask is read to its end, and not before it is complete."""
    frame = Connection(ConnectionType.CLIENT).send(TextMessage(text))
    assert read_plain_text(frame + b"rest") == (text, len(frame))
    for piece in cut(frame, len(text))[:-1]:
        assert read_plain_text(piece) is None


def test_frames() -> None:
    """Good, odd and damaged frames."""
    each(variants(frames()), check, 0.15)


def test_texts() -> None:
    """Text messages, without wsproto."""
    each(st.lists(TEXTS, min_size=1, max_size=8), check_text, 0.15)
