"""The message envelope: text in, `Request` out, and replies as JSON text. Sans I/O.

Client to server ``{"type", "data", "eid", "ts"?}``; server to client ``{"type", "status", "data", "error", "eid",
"ts"}``, always all six, plus ``message`` (and ``retry_after``) on errors.
"""

import json
import time
from secrets import token_hex
from typing import Any

from attrs import define

from seatsync import errors, jsontext

#: The application heartbeat, both ways.
HEARTBEAT = "1"

MAX_EID_BYTES = 128

_BEFORE_EID, _AFTER_EID = b'{"type":%b,"status":"%b","data":%b,"error":null,"eid":', b',"ts":%d}'
_ENVELOPE = _BEFORE_EID + b"%b" + _AFTER_EID


@define
class Request:
    """One message of a client."""

    type: str
    data: Any
    """``None`` where the message has none."""
    eid: str
    """The client's id for it, as text, or one from `make_eid`."""
    fault: errors.SeatSyncError | None = None
    """The text is no request: the error to reply with, under as much of the above as could be read."""


def decode(text: str) -> Request:
    """Parse one text message."""
    try:
        message = jsontext.loads(text)
    except jsontext.JSONDecodeError as error:
        return Request("", None, make_eid(), errors.BadRequest(f"The message is not JSON: {error.msg}."))
    if type(message) is not dict:
        return Request("", None, make_eid(), errors.BadRequest("The message is not a JSON object."))
    type_ = message.get("type")
    known_type = type_ if isinstance(type_, str) else ""
    eid = _read_eid(message, text) if "eid" in message else make_eid()
    if eid is None:
        fault = errors.ValidationError(f"eid: a string of at most {MAX_EID_BYTES} bytes or an integer is needed.")
        return Request(known_type, None, make_eid(), fault)
    if not known_type:
        return Request("", None, eid, errors.MessageTypeRequired())
    return Request(known_type, message.get("data"), eid)


def make_eid() -> str:
    """An eid for a message without a usable one."""
    return token_hex(8)


def _read_eid(message: dict[str, Any], text: str) -> str | None:
    value = message["eid"]
    if type(value) is float and value.is_integer():  # orjson reads an integer past 64 bits as a float
        try:
            value = json.loads(text)["eid"]
        except (ValueError, RecursionError):
            return None
    return normalise_eid(value)


def normalise_eid(value: Any) -> str | None:
    """An eid as the server echoes it: a string as it is, an integer as its digits; ``None`` if it is neither."""
    if type(value) is int:
        value = str(value)
    if type(value) is not str or len(value) > MAX_EID_BYTES:
        return None
    return value if value.isascii() or len(value.encode()) <= MAX_EID_BYTES else None


def envelope(type_: str, status: bytes, eid: str, data: bytes) -> bytes:
    """A reply, snapshot or update; ``data`` is JSON text and is copied as it is."""
    return _ENVELOPE % (jsontext.dumps(type_), status, data, jsontext.dumps(eid), time.time() * 1000)


def envelope_around_eid(type_: str, status: bytes, data: bytes) -> tuple[bytes, bytes]:
    """The envelope's bytes before and after the eid: a broadcast differs between subscribers in the eid alone."""
    return _BEFORE_EID % (jsontext.dumps(type_), status, data), _AFTER_EID % (time.time() * 1000)


def error_envelope(type_: str, eid: str, error: errors.SeatSyncError) -> bytes:
    """The reply to a request that failed."""
    reply: dict[str, Any] = {
        "type": type_,
        "status": "error",
        "data": None,
        "error": error.code,
        "message": error.message,
        "eid": eid,
        "ts": int(time.time() * 1000),
    }
    if error.retry_after is not None:
        reply["retry_after"] = error.retry_after
    return jsontext.dumps(reply)


def close_reason(reason: str, retry_ms: tuple[int, int] | None = None) -> str:
    """The JSON text of a close frame, of 123 bytes at most (RFC 6455, section 5.5), so ``reason`` is a few words.

    ``retry_ms`` is the range from which a client draws its reconnect delay.
    """
    advice: dict[str, Any] = {"reason": reason}
    if retry_ms is not None:
        advice["retry_ms"] = retry_ms
    return jsontext.dumps(advice).decode()
