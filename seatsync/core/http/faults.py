"""Faults of an HTTP request as such: wire code ``BadRequest``, each with its HTTP status.

`MessageTooLarge` (413) and `MethodNotAllowed` (405) are in `seatsync.errors`.
"""

from seatsync.errors import BadInput, SeatSyncError, leaves


class MalformedRequest(BadInput, code="BadRequest"):
    """The request does not follow HTTP/1.1."""


class RequestTimeout(BadInput, status=408, code="BadRequest"):
    """The request took too long to arrive."""


class TargetTooLong(BadInput, status=414, code="BadRequest"):
    """The address of the request is too long."""


class UpgradeRequired(BadInput, status=426, code="BadRequest"):
    """This address speaks the WebSocket protocol, version 13, only."""


class HeadTooLarge(BadInput, status=431, code="BadRequest"):
    """The header fields of the request are too large."""


def statuses(code: str) -> list[int]:
    """The HTTP statuses of a wire code."""
    return sorted({error.http_status for error in leaves(SeatSyncError) if error.code == code})
