"""Faults of an HTTP request as such: wire code ``BadRequest``, each with its HTTP status.

`MessageTooLarge` (413) and `MethodNotAllowed` (405) are in `seatsync.errors`.
"""

from seatsync.errors import BadInput


class MalformedRequest(BadInput):
    """The request does not follow HTTP/1.1."""

    code = "BadRequest"


class RequestTimeout(BadInput, status=408):
    """The request took too long to arrive."""

    code = "BadRequest"


class TargetTooLong(BadInput, status=414):
    """The address of the request is too long."""

    code = "BadRequest"


class UpgradeRequired(BadInput, status=426):
    """This address speaks the WebSocket protocol, version 13, only."""

    code = "BadRequest"


class HeadTooLarge(BadInput, status=431):
    """The header fields of the request are too large."""

    code = "BadRequest"
