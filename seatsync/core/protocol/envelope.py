"""The message envelope: text in, `Request` out, and answers as JSON text. Sans I/O; knows no socket and no trio.

Client to server ``{"type", "data", "eid", "ts"?}``; server to client ``{"type", "status", "data", "error", "eid",
"ts"}``, always all six, plus ``message`` (and ``retry_after``) on errors.
"""

import json
import time
from secrets import token_hex
from typing import Any

import orjson
from attrs import frozen

from seatsync import errors

#: The application heartbeat, both ways.
HEARTBEAT = "1"

MAX_EID_BYTES = 128

_BEFORE_EID, _AFTER_EID = b'{"type":%b,"status":"%b","data":%b,"error":null,"eid":', b',"ts":%d}'
_ENVELOPE = _BEFORE_EID + b"%b" + _AFTER_EID


@frozen
class Request:
    """One message of a client."""

    type: str
    data: Any
    """``None`` where the message has none."""
    eid: str
    """The client's id for it, as text, or one the server made."""


class Undecodable(Exception):
    """A text that is no request: carries what an error answer needs."""

    def __init__(self, error: errors.SeatSyncError, type_: str, eid: str) -> None:
        super().__init__(error.message)
        self.error = error
        self.type = type_
        self.eid = eid


def decode(text: str) -> Request:
    """Read one text message; raises `Undecodable`."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Undecodable(errors.BadRequest(f"The message is not JSON: {error.msg}."), "", make_eid()) from None
    if type(message) is not dict:
        raise Undecodable(errors.BadRequest("The message is not a JSON object."), "", make_eid())
    type_ = message.get("type")
    known_type = type_ if isinstance(type_, str) else ""
    try:
        eid = read_eid(message, text)
    except errors.ValidationError as error:
        raise Undecodable(error, known_type, make_eid()) from None
    if not known_type:
        raise Undecodable(errors.MessageTypeRequired(), "", eid)
    return Request(known_type, message.get("data"), eid)


def make_eid() -> str:
    """An eid for a message that came without a usable one."""
    return token_hex(8)


def read_eid(message: dict[str, Any], text: str) -> str:
    """The message's eid as text; made here if absent; raises `ValidationError` for what cannot be one."""
    if "eid" not in message:
        return make_eid()
    value = message["eid"]
    if type(value) is float and value.is_integer():
        value = _exact_integer(text)
    eid = normalise_eid(value)
    if eid is None:
        raise errors.ValidationError(f"eid: a string of at most {MAX_EID_BYTES} bytes or an integer is needed.")
    return eid


def normalise_eid(value: Any) -> str | None:
    """An eid as the server echoes it: a string as it is, an integer as its digits; ``None`` if it is neither."""
    if type(value) is int:
        value = str(value)
    if type(value) is not str or len(value) > MAX_EID_BYTES:
        return None
    return value if value.isascii() or len(value.encode()) <= MAX_EID_BYTES else None


def _exact_integer(text: str) -> Any:
    """The eid once more, for orjson reads an integer past 64 bits as a float."""
    try:
        return json.loads(text)["eid"]
    except (ValueError, RecursionError):
        return None


def envelope(type_: str, status: bytes, eid: str, data: bytes) -> bytes:
    """An answer, snapshot or update; ``data`` is JSON text that passes through as it is."""
    return _ENVELOPE % (orjson.dumps(type_), status, data, encode_eid(eid), time.time() * 1000)


def envelope_around_eid(type_: str, status: bytes, data: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the eid, which is all that differs between those who are sent the same."""
    return _BEFORE_EID % (orjson.dumps(type_), status, data), _AFTER_EID % (time.time() * 1000)


def encode_eid(eid: str) -> bytes:
    """An eid as JSON."""
    return orjson.dumps(eid)


def error_envelope(type_: str, eid: str, error: errors.SeatSyncError) -> bytes:
    """The answer to a request that failed."""
    answer: dict[str, Any] = {
        "type": type_,
        "status": "error",
        "data": None,
        "error": error.code,
        "message": error.message,
        "eid": eid,
        "ts": int(time.time() * 1000),
    }
    if error.retry_after is not None:
        answer["retry_after"] = error.retry_after
    return orjson.dumps(answer)


def close_reason(reason: str, retry_ms: tuple[int, int] | None = None) -> str:
    """The JSON advice of a close frame: at most 123 bytes (RFC 6455, section 5.5)."""
    advice: dict[str, Any] = {"reason": reason}
    if retry_ms is not None:
        advice["retry_ms"] = retry_ms
    text = orjson.dumps(advice).decode()
    return text if len(text) <= 123 else orjson.dumps({"reason": "error"}).decode()  # noqa: PLR2004 - RFC 6455, 5.5
