"""Any text decodes to a request or an answerable error; any data is accepted by a method or refused by field."""

import json
from contextlib import suppress

from hypothesis import strategies as st

from seatsync import errors
from seatsync.core.http.api import parse_object
from seatsync.core.protocol import envelope as protocol
from seatsync.core.protocol.params import structure
from tests.fuzz.inputs import each
from tests.fuzz.strategies import REGISTRY, messages, variants


def check_message(text: str) -> None:
    """Every error has an answer, and every answer is valid."""
    request = protocol.decode(text)
    if request.fault is not None:
        check_answer(request.type, request.eid, request.fault)
        return
    assert len(request.eid.encode()) <= protocol.MAX_EID_BYTES
    json.loads(protocol.envelope(request.type, b"success", request.eid, b"{}"))
    try:
        structure(request.data, REGISTRY.find(request.type).params)
    except errors.SeatSyncError as error:
        check_answer(request.type, request.eid, error)


def check_answer(type_: str, eid: str, error: errors.SeatSyncError) -> None:
    """The client's fault, in an envelope that JSON can encode."""
    assert isinstance(error, errors.ClientFault)
    answer = json.loads(protocol.error_envelope(type_, eid, error))
    assert (answer["type"], answer["eid"], answer["error"]) == (type_, eid, error.code)


def check_body(body: bytes) -> None:
    """A body is an object or the client's fault."""
    with suppress(errors.BadRequest):
        assert type(parse_object(body)) is dict


def test_messages() -> None:
    """Text messages."""
    each(variants(messages().map(str.encode)), lambda data: check_message(data.decode(errors="replace")), 0.5)


def test_bodies() -> None:
    """Bodies of HTTP requests."""
    each(variants(st.one_of(messages().map(str.encode), st.binary())), check_body, 0.1)
