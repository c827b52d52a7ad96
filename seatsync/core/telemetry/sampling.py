"""Which of many like log lines are written: whoever floods the server must not flood its log too."""

from typing import Any

import structlog
from attrs import define, field

from seatsync import errors
from seatsync.core.bucket import Bucket

#: Of what is refused by the thousand, one line when it begins and one a minute while it goes on.
REFUSALS = (1 / 60, 1.0)

#: Of any other failure, so many lines a second, after so many at once.
FAILURES = (10.0, 100.0)

#: The codes of what is refused by the thousand.
_REFUSALS = frozenset(
    error.code for error in (errors.RateLimitExceeded, errors.TooManyRequests, errors.TooManyConnections)
)

logger = structlog.get_logger(__name__)


@define(eq=False)
class Lines:
    """Lines of one kind: ``rate`` a second, after ``burst`` at once."""

    rate: float
    burst: float
    _left_out: int = 0
    _bucket: Bucket = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bucket = Bucket(self.rate, self.burst)

    def next(self) -> dict[str, int] | None:
        """``None`` if the line is to be left out, else what it has to say of those that were left out before it."""
        if self._bucket.take():
            self._left_out += 1
            return None
        left_out, self._left_out = self._left_out, 0
        return {"left_out": left_out} if left_out else {}


class FailureLog:
    """The lines of requests that failed, of all clients together: each error code has its share."""

    def __init__(self) -> None:
        self._lines: dict[str, Lines] = {}

    def write(self, error: str, **fields: Any) -> None:
        """Log one request that failed with that code, unless too many did lately."""
        lines = self._lines.get(error)
        if lines is None:
            lines = self._lines[error] = Lines(*(REFUSALS if error in _REFUSALS else FAILURES))
        left_out = lines.next()
        if left_out is not None:
            logger.info("request_failed", error=error, **fields, **left_out)
