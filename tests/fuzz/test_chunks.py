"""A chunked body that is accepted is what h11 reads, with the same end; all else is a fault of the client."""

import h11

from seatsync import errors
from seatsync.core.http.chunks import ChunkedBody
from tests.fuzz.inputs import each
from tests.fuzz.strategies import chunked_bodies, cut, variants

MAX_BODY_BYTES = 50

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"

Outcome = tuple[bytes, bytes] | str | None
"""The body and what follows it, the name of a fault, or ``None`` for an incomplete body."""


def outcome(pieces: list[bytes]) -> Outcome:
    """What comes of these pieces."""
    chunks, rest = ChunkedBody(MAX_BODY_BYTES), None
    for number, piece in enumerate(pieces):
        try:
            rest = chunks.feed(piece)
        except errors.BadInput as fault:
            return type(fault).__name__
        if rest is not None:
            return bytes(chunks.body), rest + b"".join(pieces[number + 1 :])
    return None


def outcome_of_h11(sent: bytes) -> Outcome:
    """The same by h11, whose limits are wider."""
    server, body = h11.Connection(h11.SERVER), b""
    server.receive_data(HEAD + sent)
    try:
        while type(event := server.next_event()) is not h11.EndOfMessage:
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Data):
                body += event.data
    except h11.RemoteProtocolError:
        return "fault"
    return body, server.trailing_data[0]


def check(sent: bytes) -> None:
    """The network may cut it anywhere; what h11 would wait for may be refused at once."""
    found = outcome([sent])
    assert outcome(cut(sent, len(sent))) == found
    if isinstance(found, tuple):
        assert outcome_of_h11(sent) == found
    elif found is None:
        assert outcome_of_h11(sent) is None


def test_chunked_bodies() -> None:
    """Chunks, extensions and trailers, good and damaged."""
    each(variants(chunked_bodies()), check, 0.15)
