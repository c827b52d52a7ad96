"""The ends of connections, and the wait for the next one."""

import math
import random

from attrs import define, frozen

from seatsync import jsontext
from seatsync.client.timing import Timing
from seatsync.errors import SeatSyncError

#: Close codes after which there is no further connection: this side broke the protocol, and would again.
FATAL = frozenset({1002, 1003, 1007, 1009})

LOGIN_CHANGED = 4001

#: The longest wait that a server's advice can ask for, in milliseconds.
_MOST_MS = 300_000.0


class NoConnection(SeatSyncError):
    """There is no connection to the server; nothing was sent."""


class OutcomeUnknown(SeatSyncError):
    """The connection was lost, or no answer came in time; the request may have been carried out."""


class ClosedForGood(SeatSyncError):
    """The server has closed the connection with a code that forbids another one."""


@frozen
class Closing:
    """The content of a close frame; the code is 1005 for an empty one, 1006 without a close frame."""

    code: int
    reason: str = ""
    retry_ms: tuple[float, float] | None = None
    """Advice for the reconnect: the earliest and the latest delay."""

    @classmethod
    def read(cls, code: int, text: str) -> "Closing":
        """Read a close frame's reason: the protocol's JSON, or any text. Advice that cannot be followed is none."""
        try:
            advice = jsontext.loads(text)
            reason = str(advice.get("reason", ""))
            earliest, latest = (float(ms) for ms in advice["retry_ms"])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return cls(code, text)
        is_window = 0 <= earliest <= latest < math.inf
        return cls(code, reason, (min(earliest, _MOST_MS), min(latest, _MOST_MS)) if is_window else None)

    def __str__(self) -> str:
        return f"{self.reason or 'no reason given'} ({self.code})"


@define
class Backoff:
    """The waits of one client; the server's advice goes first."""

    _timing: Timing
    _losses: int = 0

    def reset(self) -> None:
        """Start anew: a connection has lasted."""
        self._losses = 0

    def wait_s(self, closing: Closing) -> float:
        """Seconds until the next attempt: random within the advice or, without any, within half of the backoff."""
        losses, self._losses = self._losses, min(self._losses + 1, 30)
        if closing.retry_ms is not None:
            earliest, latest = closing.retry_ms
            return random.uniform(earliest, latest) / 1000  # noqa: S311 - not a secret
        if closing.code == LOGIN_CHANGED and not losses:
            return 0.0
        wait_s = min(self._timing.last_backoff_s, self._timing.first_backoff_s * 2**losses)
        return random.uniform(wait_s / 2, wait_s)  # noqa: S311 - not a secret
