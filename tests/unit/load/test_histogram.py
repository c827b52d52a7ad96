"""Histograms: what is read back is what was recorded, to the promised precision."""

import json

from hypothesis import given
from hypothesis import strategies as st

from seatsync.load.histogram import Histogram

latencies = st.lists(st.floats(0, 3600, allow_nan=False), min_size=1, max_size=50)


def recorded(values: list[float]) -> Histogram:
    """A histogram of these."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(latencies, st.floats(0.1, 100))
def test_a_percentile_is_at_most_a_little_high(values: list[float], percent: float) -> None:
    """Never lower than the true one by more than a microsecond, and never more than 0.8 % above it."""
    exact = sorted(values)[max(0, -int(-len(values) * percent // 100) - 1)]
    found = recorded(values).percentile(percent)
    assert exact - 1e-6 <= found <= exact * 1.008 + 1e-6


@given(latencies, latencies)
def test_histograms_add_up(first: list[float], second: list[float]) -> None:
    """Two processes' samples, merged, are what one process would have recorded."""
    merged = recorded(first)
    merged.add(recorded(second))
    assert merged == recorded(first + second)


@given(latencies)
def test_a_histogram_survives_the_way_between_processes(values: list[float]) -> None:
    """JSON keeps all of it."""
    histogram = recorded(values)
    assert Histogram.from_json(json.loads(json.dumps(histogram.to_json()))) == histogram


def test_the_longest_is_exact() -> None:
    """However wide its bucket."""
    histogram = recorded([0.001, 12.345678])
    assert histogram.max_s == histogram.percentile(100) == 12.345678


def test_a_clock_that_steps_back_counts_as_zero() -> None:
    """There is no negative latency."""
    assert recorded([-0.5]).percentile(50) == 0


def test_nothing_recorded_is_zero() -> None:
    """Not an error: an interval may well be empty."""
    assert Histogram().percentile(99) == Histogram().mean_s == 0
