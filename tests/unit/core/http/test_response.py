"""Responses: the envelope and the header fields."""

from email.utils import parsedate_to_datetime

import pytest

from seatsync import errors, jsontext
from seatsync.core.http.response import Response, failure, success
from seatsync.core.protocol.registry import Json
from seatsync.errors import UpgradeRequired


def fields(response: Response) -> dict[bytes, bytes]:
    """The header fields by name."""
    return dict(response.fields())


def test_every_response_has_these_fields() -> None:
    """A date, a type, a length; no cache keeps it, and no browser guesses, loads, frames or refers."""
    found = fields(success(Json(b"{}")))
    assert parsedate_to_datetime(found.pop(b"Date").decode())
    assert found == {
        b"Content-Type": b"application/json",
        b"Content-Length": b"43",
        b"Cache-Control": b"no-store",
        b"X-Content-Type-Options": b"nosniff",
        b"Referrer-Policy": b"no-referrer",
        b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
    }


def test_no_content_has_no_length() -> None:
    """RFC 9110, 8.6."""
    assert not {b"Content-Length", b"Content-Type"} & set(fields(Response(204)))


def test_success_passes_json_through() -> None:
    """The data is not encoded again, byte by byte."""
    assert success(Json(b'{ "id" : 7 }')).body == b'{"data":{ "id" : 7 },"status":"success","error":null}'


def test_failure_is_an_envelope() -> None:
    """An error has its code, a sentence, and null data; `retry_after` only where it is known."""
    assert jsontext.loads(failure(errors.HallNotFound()).body) == {
        "data": None,
        "status": "error",
        "error": "HallNotFound",
        "message": "There is no such hall.",
    }
    waiting = failure(errors.TooManyLoginAttempts("Wait.", retry_after=29.2))
    assert jsontext.loads(waiting.body)["retry_after"] == 29.2


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (errors.TooManyLoginAttempts(retry_after=29.2), b"30"),
        (errors.TooManyLoginAttempts(retry_after=30), b"30"),
        (errors.TooManyLoginAttempts(retry_after=-1), b"0"),
        (errors.TooManyLoginAttempts(), b"86400"),
        (errors.ServiceUnavailable(), b"1"),
        (errors.HallNotFound(), None),
    ],
)
def test_retry_after(error: errors.SeatSyncError, retry_after: bytes | None) -> None:
    """Whole seconds, rounded up; always with 429 and 503, and a day for 429 where waiting does not help."""
    assert fields(failure(error)).get(b"Retry-After") == retry_after


def test_401_names_the_scheme() -> None:
    """RFC 9110, 11.6.1; browsers show no dialog for Bearer."""
    assert fields(failure(errors.Unauthorized()))[b"WWW-Authenticate"] == b"Bearer"


def test_426_names_the_protocol() -> None:
    """RFC 9110, 15.5.22, and RFC 6455, 4.4."""
    found = fields(failure(UpgradeRequired()))
    assert (found[b"Upgrade"], found[b"Connection"]) == (b"websocket", b"Upgrade")
    assert found[b"Sec-WebSocket-Version"] == b"13"
