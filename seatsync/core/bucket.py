"""Token buckets: rates with bursts."""

from math import inf

import trio
from attrs import Factory, define, field

#: A bucket holds this many seconds' worth.
BURST_S = 4.0


@define(eq=False)
class Bucket:
    """A token bucket: ``rate`` tokens a second, at most ``capacity`` kept, `BURST_S` seconds' worth by default."""

    rate: float
    capacity: float = field(default=Factory(lambda self: self.rate * BURST_S, takes_self=True))
    _level: float = inf
    _at: float = field(factory=trio.current_time)

    def take(self) -> float:
        """Take one token: 0, or the seconds until there is one."""
        now = trio.current_time()
        level = self._level + (now - self._at) * self.rate
        self._at = now
        if level >= 1.0:
            self._level = min(self.capacity, level) - 1.0
            return 0.0
        self._level = level
        return (1.0 - level) / self.rate

    def has(self, fraction: float) -> bool:
        """At least this fraction of the capacity is left."""
        return self._level + (trio.current_time() - self._at) * self.rate >= self.capacity * fraction
