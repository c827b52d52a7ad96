"""Latencies, counted in buckets that grow with the value: small, quick to add to, and exact to add up.

The scheme is that of HdrHistogram: values below 256 µs have a bucket each, above that every power of two is cut into
128, so a value read back is at most 0.8 % too high, at one microsecond as at one hour.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

_PRECISION_BITS = 7
_EXACT = 2 << _PRECISION_BITS

_MICROSECONDS = 1_000_000


@define
class Histogram:
    """How often which latency was seen. Recorded and read in seconds, kept in whole microseconds."""

    counts: dict[int, int] = field(factory=dict)
    """Samples by bucket number."""
    total: int = 0
    sum_us: int = 0
    max_us: int = 0

    def record(self, seconds: float) -> None:
        """Count one; a negative one, which a clock step makes, as zero."""
        self.record_all((seconds,), 0.0)

    def record_all(self, ends: Iterable[float], start: float) -> None:
        """Count the time from ``start`` to each of ``ends``."""
        counts = self.counts
        total = sum_us = 0
        max_us = self.max_us
        for end in ends:
            value = int((end - start) * _MICROSECONDS)
            if value < _EXACT:
                bucket = value = max(value, 0)
            else:
                shift = value.bit_length() - _PRECISION_BITS - 1
                bucket = (shift << _PRECISION_BITS) + (value >> shift)
            counts[bucket] = counts.get(bucket, 0) + 1
            total += 1
            sum_us += value
            if value > max_us:  # noqa: PLR1730 - twice as quick as max(), and this runs for every frame
                max_us = value
        self.total += total
        self.sum_us += sum_us
        self.max_us = max_us

    def add(self, other: "Histogram") -> None:
        """Count everything that another one has counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += other.total
        self.sum_us += other.sum_us
        self.max_us = max(self.max_us, other.max_us)

    def percentile(self, percent: float) -> float:
        """The latency, in seconds, that this share of the samples did not exceed; 0 without samples."""
        wanted = self.total * percent / 100
        seen = 0
        for bucket, count in sorted(self.counts.items()):
            seen += count
            if seen >= wanted:
                return min(_upper_us(bucket), self.max_us) / _MICROSECONDS
        return self.max_s

    @property
    def max_s(self) -> float:
        """The longest, exactly."""
        return self.max_us / _MICROSECONDS

    @property
    def mean_s(self) -> float:
        """The mean; 0 without samples."""
        return self.sum_us / self.total / _MICROSECONDS if self.total else 0.0

    def buckets(self) -> Iterator[tuple[float, int]]:
        """The upper end of each bucket in seconds, and its samples, in order."""
        for bucket, count in sorted(self.counts.items()):
            yield _upper_us(bucket) / _MICROSECONDS, count

    def to_json(self) -> dict[str, Any]:
        """For another process; JSON objects have text keys, so the buckets are a list of pairs."""
        return {"counts": list(self.counts.items()), "sum_us": self.sum_us, "max_us": self.max_us}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Histogram":
        """What `to_json` made."""
        counts = {bucket: count for bucket, count in data["counts"]}  # noqa: C416 - pairs are lists here
        return cls(counts, sum(counts.values()), data["sum_us"], data["max_us"])


def _upper_us(bucket: int) -> int:
    """The highest value that falls into a bucket."""
    if bucket < _EXACT:
        return bucket
    shift = (bucket >> _PRECISION_BITS) - 1
    return (((bucket & (_EXACT // 2 - 1)) + _EXACT // 2 + 1) << shift) - 1
