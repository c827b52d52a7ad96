"""Frames: a client's handshake and frames follow RFC 6455, and close frames are parsed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, TextMessage

from seatsync.client.closing import Closing
from seatsync.load.frames import Opcode, frame, handshake, read_close, refusal


@given(st.text(max_size=200_000) | st.just("x" * 125) | st.just("x" * 126) | st.just("x" * 65_536))
def test_a_server_reads_what_was_framed(text: str) -> None:
    """A client's text is one masked frame of any length."""
    server = Connection(ConnectionType.SERVER)
    server.receive_data(frame(text.encode()))
    events = list(server.events())
    assert all(isinstance(event, TextMessage) for event in events)
    assert "".join(event.data for event in events if isinstance(event, TextMessage)) == text


def test_a_close_frame_has_its_code() -> None:
    """A close frame has the code 1000, which a server does not count as a lost connection."""
    server = Connection(ConnectionType.SERVER)
    server.receive_data(frame((1000).to_bytes(2), Opcode.CLOSE))
    (event,) = server.events()
    assert isinstance(event, CloseConnection)
    assert event.code == 1000


def test_the_handshake_requests_an_upgrade_and_signs_in() -> None:
    """The key is 16 bytes in base64, the token a bearer's."""
    request, _ = handshake("localhost:3001", "/ws", "a.b.c")
    head = request.decode()
    assert head.startswith("GET /ws HTTP/1.1\r\nHost: localhost:3001\r\n")
    assert head.endswith("\r\nAuthorization: Bearer a.b.c\r\n\r\n")
    assert re.search(r"\r\nSec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r\n", head)


def test_only_the_answer_to_this_handshake_is_accepted() -> None:
    """The accept value has to be this handshake's; field names are case-insensitive."""
    _, accept = handshake("localhost", "/ws", None)
    head = b"HTTP/1.1 101 Switching Protocols\r\nSEC-websocket-Accept: "
    assert refusal(head + accept, accept) is None
    assert refusal(head + b"somethingelse", accept) is not None
    assert "503" in str(refusal(b"HTTP/1.1 503 Service Unavailable", accept))


@pytest.mark.parametrize(
    ("payload", "closing"),
    [
        (b"", Closing(1005)),
        (b"\x03\xe9", Closing(1001)),
        (b"\x03\xe9bye", Closing(1001, "bye")),
        (b'\x03\xe9{"reason":"drain","retry_ms":[0,5000]}', Closing(1001, "drain", (0, 5000))),
        (b'\x0f\xa1{"reason":"login changed"}', Closing(4001, '{"reason":"login changed"}')),
        (b'\x03\xe9{"reason":"drain","retry_ms":7}', Closing(1001, '{"reason":"drain","retry_ms":7}')),
        (b"\x03\xe9[1]", Closing(1001, "[1]")),
        (b"\x03\xe9\xff", Closing(1001, "\N{REPLACEMENT CHARACTER}")),
    ],
)
def test_the_advice_of_a_close_frame_is_read(payload: bytes, closing: Closing) -> None:
    """Advice in JSON is parsed; any other text is the reason."""
    assert read_close(payload) == closing
