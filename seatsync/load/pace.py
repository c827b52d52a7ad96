"""When changes are meant to be sent: an open-loop schedule, made without looking at how the server does.

Latencies count from these times. A generator that waits for the server before it sends, and counts from when it sent,
leaves out just the requests that a slow server has kept from being made ("coordinated omission").
"""

from attrs import define

#: Of the evening's rush: for so long in each period the rate is so many times the base rate.
RUSH_EVERY_S, RUSH_S, RUSH_FACTOR = 10.0, 2.0, 5.0


@define
class Pace:
    """A steady rate, in changes a second, with rushes if wanted."""

    rate: float
    rushes: bool = False
    start: float = 0.0
    """When the schedule began, on `time.monotonic`."""
    next_at: float = 0.0
    """When the next change is meant to be sent."""

    def begin(self, at: float) -> None:
        """Start the schedule: the first change is due then."""
        self.start = self.next_at = at

    def due(self, now: float) -> list[float]:
        """The times, up to now, at which changes were meant to be sent since the last call."""
        times: list[float] = []
        while self.next_at <= now:
            times.append(self.next_at)
            self.next_at += 1 / self._rate_at(self.next_at)
        return times

    def _rate_at(self, at: float) -> float:
        in_rush = self.rushes and (at - self.start) % RUSH_EVERY_S < RUSH_S
        return self.rate * RUSH_FACTOR if in_rush else self.rate


def spread(count: int, over_s: float) -> list[float]:
    """When each of ``count`` clients is meant to come, in seconds from the start: evenly, the first at once."""
    return [number * over_s / count for number in range(count)]
