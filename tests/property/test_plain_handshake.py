"""The plain reader parses a handshake exactly as h11 does."""

import h11
from hypothesis import given
from hypothesis import strategies as st

from seatsync.core.http.request import Request, read_handshake, read_request
from seatsync.errors import MalformedRequest

NAMES = st.sampled_from(
    [b"Origin", b"Cookie", b"User-Agent", b"x-y", b"Sec-WebSocket-Key", b"Accept", b"bad name", b""]
)
VALUES = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.encode), st.binary(max_size=6)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)


def parsed(head: bytes) -> Request | None:
    """The request as h11 reads it; none for what it refuses."""
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(head)
        event = connection.next_event()
        return read_request(event) if isinstance(event, h11.Request) else None
    except (h11.RemoteProtocolError, MalformedRequest):
        return None


def facts(request: Request) -> tuple[object, ...]:
    """Everything in a request."""
    return request.method, request.path, request.host, request.version, request.headers


@given(st.sampled_from([b"/", b"/ws", b"//ws?a=b", b"*", b"http://x/ws"]), FIELDS, st.sampled_from([b" ", b"", b" \t"]))
def test_plain_handshake_is_read_as_h11_reads_it(
    target: bytes, fields: list[tuple[bytes, bytes]], space: bytes
) -> None:
    """A parsed handshake equals h11's; a handshake that h11 refuses is not parsed."""
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: localhost:3001", b"Upgrade: websocket"]
    lines += [name + b":" + space + value for name, value in fields]
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    request = read_handshake(head)
    if request is not None:
        expected = parsed(head)
        assert expected is not None
        assert facts(request) == facts(expected)


def test_usual_handshake_is_read() -> None:
    """Handshakes of browsers and programs do not need h11."""
    head = (
        b"GET /ws HTTP/1.1\r\nHost: localhost:3001\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: a=b; c=d\r\n\r\n"
    )
    request = read_handshake(head)
    assert request is not None
    assert (request.path, request.host) == ("/ws", "localhost")
    assert request.headers[b"cookie"] == b"a=b; c=d"


def test_repeated_fields_and_bodies_are_left_to_h11() -> None:
    """Requests with repeated fields or a body are parsed by h11."""
    start = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    for fields in (b"A: b\r\na: c\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b" folded\r\n"):
        assert read_handshake(start + fields + b"\r\n") is None
