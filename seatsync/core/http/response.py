"""One HTTP response: status, header fields, and the JSON envelope around an answer."""

import math
from email.utils import formatdate
from typing import Any

from attrs import field, frozen

from seatsync import jsontext
from seatsync.core.protocol.registry import Json
from seatsync.errors import Forbidden, SeatSyncError

HeaderList = list[tuple[bytes, bytes]]

TEXT = b"text/plain; charset=utf-8"

#: A ``Content-Security-Policy``: nothing is loaded for the response, and no page shows it in a frame.
LOADS_NOTHING = b"default-src 'none'; frame-ancestors 'none'"

_NO_CONTENT, _NOT_MODIFIED, _TOO_MANY, _UNAVAILABLE = 204, 304, 429, 503

#: Of an error that does not know how long to wait, by status: where waiting does not help, a day.
_RETRY_S = {_TOO_MANY: 86_400, _UNAVAILABLE: 1}

#: Fields that a status requires (RFC 9110, 11.6.1 and 15.5.22; RFC 6455, 4.4).
_FIELDS_OF_STATUS: dict[int, HeaderList] = {
    401: [(b"WWW-Authenticate", b"Bearer")],
    426: [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13")],
}


@frozen
class Response:
    """One response; `fields` adds what all of them have."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: HeaderList = field(factory=list)
    cache_control: bytes = b"no-store"
    policy: bytes = LOADS_NOTHING
    """``Content-Security-Policy``."""
    outcome: str = "success"
    """For logs and metrics: ``success``, or the code of the error."""
    reason: str | None = None
    """For logs: the cause, where the code alone does not name it."""
    announcement: tuple[str, str | None, dict[str, Any]] | None = None
    """A visitor, the id that replaces it if one does, and the data for its open sockets once this has been sent."""

    def fields(self) -> HeaderList:
        """All header fields.

        No browser may guess another type or tell another site its address; unless the response says otherwise no cache
        may store it, and no browser load something for it or show it in a frame.
        """
        fields = [
            (b"Date", formatdate(usegmt=True).encode()),
            (b"Cache-Control", self.cache_control),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"Referrer-Policy", b"no-referrer"),
            (b"Content-Security-Policy", self.policy),
            *self.headers,
        ]
        if self.status not in {_NO_CONTENT, _NOT_MODIFIED}:
            fields.append((b"Content-Type", self.content_type))
            fields.append((b"Content-Length", b"%d" % len(self.body)))
        return fields


def success(data: Json) -> Response:
    """The answer of a method; its JSON is not parsed."""
    return Response(200, b'{"data":%b,"status":"success","error":null}' % data)


def failure(error: SeatSyncError, *headers: tuple[bytes, bytes]) -> Response:
    """The answer to a request that failed."""
    status, wait_s = error.http_status, error.retry_after
    answer: dict[str, Any] = {"data": None, "status": "error", "error": error.code, "message": error.message}
    if wait_s is not None:
        answer["retry_after"] = wait_s
    fields = [*headers, *_FIELDS_OF_STATUS.get(status, ())]
    if wait_s is not None or status in _RETRY_S:  # in whole seconds (RFC 9110, 10.2.3)
        fields.append((b"Retry-After", b"%d" % max(0, math.ceil(_RETRY_S[status] if wait_s is None else wait_s))))
    reason = error.message if isinstance(error, Forbidden) and error.message != error.sentence() else None
    return Response(status, jsontext.dumps(answer), headers=fields, outcome=error.code, reason=reason)
