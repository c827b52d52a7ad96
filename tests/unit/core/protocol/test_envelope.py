"""The message envelope: text in, requests out, answers as JSON text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatsync import errors
from seatsync.core.protocol.envelope import (
    MAX_EID_BYTES,
    Request,
    close_reason,
    decode,
    envelope,
    error_envelope,
    normalise_eid,
)

TEXTS = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


def refused(text: str) -> tuple[Request, errors.SeatSyncError]:
    """What can be read of a text that is no request, and its fault."""
    request = decode(text)
    assert request.fault is not None
    return request, request.fault


# Requests


def test_request_is_read() -> None:
    """A request has type, data and eid; other fields are ignored."""
    text = '{"type": "hall.get", "data": {"id": 7}, "eid": "a", "ts": 1, "more": []}'
    assert decode(text) == Request("hall.get", {"id": 7}, "a")


@pytest.mark.parametrize("data", ["", ',"data":null'])
def test_data_may_be_absent(data: str) -> None:
    """Absent data are ``None``."""
    assert decode('{"type":"t","eid":"e"%s}' % data).data is None  # noqa: UP031 - braces


@given(TEXTS)
def test_any_text_is_a_request_or_has_a_fault(text: str) -> None:
    """Any text decodes, or has a fault that can be answered."""
    request = decode(text)
    fault = request.fault
    assert fault is None or json.loads(error_envelope(request.type, request.eid, fault))["eid"] == request.eid != ""


@given(JSON)
def test_any_json_is_a_request_or_has_a_fault(value: Any) -> None:
    """Any JSON decodes, or has a fault that can be answered."""
    for message in (value, {"type": value}, {"type": "t", "eid": value}, {"type": "t", "data": value}):
        fault = decode(json.dumps(message)).fault
        assert fault is None or isinstance(fault, errors.BadInput)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", errors.BadRequest),
        ("{", errors.BadRequest),
        ("nonsense", errors.BadRequest),
        ("[1]", errors.BadRequest),
        ('"text"', errors.BadRequest),
        ("2", errors.BadRequest),
        ('{"a": "\\ud800"}', errors.BadRequest),
        ("[" * 100_000, errors.BadRequest),
        ('{"a":' * 100_000, errors.BadRequest),
        ("{}", errors.MessageTypeRequired),
        ('{"type": null}', errors.MessageTypeRequired),
        ('{"type": ""}', errors.MessageTypeRequired),
        ('{"type": 7}', errors.MessageTypeRequired),
        ('{"type": "t", "eid": {}}', errors.ValidationError),
        ('{"type": "t", "eid": 1e400}', errors.BadRequest),
        ('{"type": "t", "eid": %s}' % ("1" * 5000), errors.BadRequest),
    ],
)
def test_what_is_no_request_is_refused(text: str, error: type[errors.SeatSyncError]) -> None:
    """Anything but a request is refused with its error code, and a message that quotes little of the text."""
    _, fault = refused(text)
    assert type(fault) is error
    assert len(fault.message) < 200


def test_refusal_keeps_what_could_be_read() -> None:
    """A refusal keeps the eid if the type is missing, and the type if the eid is invalid."""
    assert refused('{"eid": 7}')[0].eid == "7"
    request, _ = refused('{"type": "hall.get", "eid": null}')
    assert (request.type, len(request.eid)) == ("hall.get", 16)
    assert request.eid != refused('{"type": "hall.get", "eid": null}')[0].eid


# Eids


@given(st.text(st.characters(codec="utf-8"), max_size=140))
def test_eid_is_kept_or_too_long(eid: str) -> None:
    """A string is kept as eid up to the limit in bytes."""
    expected = eid if len(eid.encode()) <= MAX_EID_BYTES else None
    assert normalise_eid(eid) == expected


@given(st.integers(-(10**40), 10**40))
def test_integer_eid_comes_back_as_its_digits(eid: int) -> None:
    """An integer eid is echoed as its exact digits, however large."""
    assert decode(json.dumps({"type": "t", "eid": eid})).eid == str(eid)


@pytest.mark.parametrize("eid", ["true", "false", "null", "1.5", "[]", "{}", "1" * 129, '"%s"' % ("x" * 129)])
def test_anything_else_is_no_eid(eid: str) -> None:
    """Any other eid is refused, under an eid that the server generates."""
    request, fault = refused('{"type":"t","eid":%s}' % eid)  # noqa: UP031 - braces
    assert isinstance(fault, errors.ValidationError)
    assert len(request.eid) == 16


@pytest.mark.parametrize("value", [None, True, 1.0, [], {}, b"x"])
def test_only_strings_and_integers_name_a_subscription(value: Any) -> None:
    """An eid in the data of a request may be a string or an integer, too."""
    assert normalise_eid(value) is None


# Answers


@given(TEXTS, TEXTS, JSON)
def test_envelope_has_all_six_fields_in_order(type_: str, eid: str, data: Any) -> None:
    """The data pass through as they are."""
    raw = json.dumps(data).encode()
    text = envelope(type_, b"update", eid, raw)
    message = json.loads(text)
    assert list(message) == ["type", "status", "data", "error", "eid", "ts"]
    assert (message["type"], message["status"], message["error"], message["eid"]) == (type_, "update", None, eid)
    assert b'"data":%b,"error"' % raw in text
    assert isinstance(message["ts"], int)


def test_error_has_a_message_and_may_have_retry_after() -> None:
    """The six fields, the message, and ``retry_after`` only where there is one."""
    message = json.loads(error_envelope("t", "e", errors.SeatConflict("Seat 7 is taken.")))
    assert list(message) == ["type", "status", "data", "error", "message", "eid", "ts"]
    assert (message["status"], message["data"], message["error"]) == ("error", None, "SeatConflict")
    assert message["message"] == "Seat 7 is taken."
    assert json.loads(error_envelope("t", "e", errors.ServiceUnavailable(retry_after=1.5)))["retry_after"] == 1.5


def test_close_reason_is_json() -> None:
    """A close reason is JSON, with the range of the delay if there is one."""
    assert json.loads(close_reason("drain", (0, 5000))) == {"reason": "drain", "retry_ms": [0, 5000]}
    assert json.loads(close_reason("fault")) == {"reason": "fault"}
