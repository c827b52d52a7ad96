"""Sampling of log lines: a flood of requests is not a flood of lines."""

from collections.abc import Callable
from typing import Any

import structlog
from attrs import define, field

from seatsync import errors
from seatsync.core.bucket import Bucket

#: Lines a second and burst for refusals by the thousand: one when they begin, and one a minute while they go on.
REFUSALS = (1 / 60, 1.0)

#: The same for any other failure.
FAILURES = (10.0, 100.0)

#: The same for a bug, whose line has a traceback.
FAULTS = (1.0, 10.0)

_REFUSALS = {error.code for error in (errors.RateLimitExceeded, errors.TooManyRequests, errors.TooManyConnections)}

#: A method of a logger, such as ``logger.warning``.
Log = Callable[..., object]

logger = structlog.get_logger(__name__)


class Lines:
    """Lines of one kind: ``rate`` a second, after ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._bucket = Bucket(rate, burst)
        self._left_out = 0

    def write(self, log: Log, event: str, /, **fields: Any) -> None:
        """Write a line, with the number left out before it if there are such, or leave it out."""
        if self._bucket.take():
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        log(event, **fields, **({"left_out": left_out} if left_out else {}))


@define
class Reminders:
    """Lines about faults that last: one when a fault begins, and one a minute while it goes on."""

    _lines: dict[object, Lines] = field(factory=dict)

    def write(self, fault: object, log: Log, event: str, /, **fields: Any) -> None:
        """Write a line about that fault, or leave it out."""
        self._lines.setdefault(fault, Lines(*REFUSALS)).write(log, event, **fields)

    def over(self) -> bool:
        """All faults are over: the next of each begins anew. True if there was one."""
        was_faulty = bool(self._lines)
        self._lines.clear()
        return was_faulty


@define
class FailureLog:
    """The lines of failed requests, of all clients together; each error code has its share, and each method's bugs."""

    _lines: dict[str, Lines] = field(factory=dict)
    _faults: dict[str, Lines] = field(factory=dict)

    def write(self, error: str, **fields: Any) -> None:
        """Log a request that failed with that code, unless the code has used up its share."""
        if error not in self._lines:
            self._lines[error] = Lines(*(REFUSALS if error in _REFUSALS else FAILURES))
        self._lines[error].write(logger.info, "request_failed", error=error, **fields)

    def write_fault(self, error: Exception, method: str, **fields: Any) -> None:
        """Log a bug with its traceback, unless those of the method have used up their share."""
        lines = self._faults.setdefault(method, Lines(*FAULTS))
        lines.write(logger.error, "method_fault", type=method, **fields, exc_info=error)
