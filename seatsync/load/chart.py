"""A histogram in plain characters."""

from collections.abc import Iterator

from seatsync.load.figures import duration
from seatsync.load.histogram import Histogram

WIDTH = 50

#: Lines a power of ten is divided into: 1, 2, 5, 10 …
_STEPS = (1.0, 2.0, 5.0)


def chart(histogram: Histogram) -> Iterator[str]:
    """A line for each range of latencies, from the shortest to the longest that was seen."""
    bars = bins(histogram)
    most = max((count for _, count in bars), default=0)
    for upper_s, count in bars:
        bar = "#" * round(WIDTH * count / most) or ("." if count else "")
        yield f"  up to {duration(upper_s):>8}  {bar:<{WIDTH}}  {count:,}"


def bins(histogram: Histogram) -> list[tuple[float, int]]:
    """The samples by the upper end of their range, in seconds; ranges in between stay, even with nothing in them."""
    edges = list(_edges())
    filled = [0] * len(edges)
    index = 0
    for upper_s, count in histogram.buckets():
        while index < len(edges) - 1 and upper_s > edges[index]:
            index += 1
        filled[index] += count
    used = [index for index, count in enumerate(filled) if count]
    if not used:
        return []
    return list(zip(edges, filled, strict=True))[used[0] : used[-1] + 1]


def _edges() -> Iterator[float]:
    """1 µs, 2 µs, 5 µs … 1000 s."""
    for exponent in range(-6, 3):
        for step in _STEPS:
            yield step * 10.0**exponent
    yield 1000.0
