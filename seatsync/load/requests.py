"""Requests as text, and which errors mean what to a client."""

import time
from collections.abc import Mapping
from typing import Any

import orjson

#: Errors that say "later": the outcome is unknown, or there was none.
LATER = frozenset({"ServiceUnavailable", "TooManyRequests", "RateLimitExceeded", "TooManyConnections"})

#: Errors that somebody else's change to the same seat explains.
OVERTAKEN = frozenset({"SeatConflict", "SeatOccupied", "SeatReserved"})

#: Errors after which a client need not try again as who it is.
NOT_ALLOWED = frozenset({"Unauthorized", "Forbidden", "SessionExpired"})

#: How long to wait where the server does not say, in seconds.
RETRY_S = 0.5


def request(type_: str, data: Mapping[str, Any], eid: str) -> bytes:
    """One message to the server."""
    return orjson.dumps({"type": type_, "data": data, "eid": eid, "ts": int(time.time() * 1000)})
