"""How long a client stays away after it has lost its connection."""

import random

from attrs import define

from seatsync.load.frames import Closing

#: The wait doubles from the first to the last, in seconds.
FIRST_S, LAST_S = 0.1, 2.0

#: Close codes after which the same must not be tried again: this side broke the protocol.
FATAL = frozenset({1002, 1003, 1007, 1009})


@define
class Backoff:
    """The waits of one client; the server's advice comes first."""

    _wait_s: float = FIRST_S

    def reset(self) -> None:
        """A connection was made."""
        self._wait_s = FIRST_S

    def wait_s(self, closing: Closing) -> float:
        """Seconds until the next attempt, at random within what is advised or, without advice, within a doubling."""
        if closing.retry_ms is not None:
            earliest, latest = closing.retry_ms
            return random.uniform(earliest, latest) / 1000  # noqa: S311 - not a secret
        wait_s, self._wait_s = self._wait_s, min(LAST_S, 2 * self._wait_s)
        return random.uniform(wait_s / 2, wait_s)  # noqa: S311 - not a secret
