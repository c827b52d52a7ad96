"""Metrics: plain attributes are exposed in the format that Prometheus reads."""

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from seatsync.core.telemetry.metrics import SECONDS, Histogram, Metrics


def scraped(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of a scrape by its name and its labels' values, the labels in order."""
    text = metrics.text().decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_everything_that_is_counted_is_shown() -> None:
    """Each public attribute is a metric with a sentence of help, and so is each histogram of a domain."""
    metrics = Metrics()
    metrics.add_histogram("batch_rows", "Rows of a batch.", (1.0, 2.0))
    families = {family.name: family for family in metrics.collect()}
    public = {field.name for field in attrs.fields(Metrics) if not field.name.startswith("_")} - {"histograms"}
    public.add("batch_rows")
    assert set(families) == {f"seatsync_{name}" for name in public}
    assert all(family.documentation.endswith(".") for family in families.values())


def test_gauges_and_counters_are_read_at_the_scrape() -> None:
    """A scrape shows the attributes' present values."""
    metrics = Metrics()
    assert scraped(metrics)["seatsync_frames_pushed_total", ()] == 0
    metrics.frames_pushed += 3
    metrics.connections += 2
    metrics.connections -= 1
    metrics.notification_queue_usage = 0.25
    samples = scraped(metrics)
    assert samples["seatsync_frames_pushed_total", ()] == 3
    assert samples["seatsync_connections", ()] == 1
    assert samples["seatsync_notification_queue_usage", ()] == 0.25


def test_the_pool_is_read_at_the_scrape() -> None:
    """A value that another object keeps is not kept twice."""
    metrics = Metrics()
    used = [1, 2, 3]
    metrics.pool_in_use = lambda: len(used)
    used.pop()
    assert scraped(metrics)["seatsync_pool_in_use", ()] == 2


def test_answers_are_counted_by_method_and_outcome() -> None:
    """One call counts the request and its duration."""
    metrics = Metrics()
    metrics.answered("hall.get", "success", 0.002)
    metrics.answered("hall.get", "success", 0.2)
    metrics.answered("hall.get", "HallNotFound", 0.002)
    samples = scraped(metrics)
    assert samples["seatsync_messages_total", ("hall.get", "success")] == 2
    assert samples["seatsync_messages_total", ("hall.get", "HallNotFound")] == 1
    assert samples["seatsync_request_seconds_count", ("hall.get",)] == 3
    assert samples["seatsync_request_seconds_sum", ("hall.get",)] == pytest.approx(0.204)
    assert samples["seatsync_request_seconds_bucket", ("0.0025", "hall.get")] == 2


def test_a_histogram_counts_a_value_that_equals_a_bound_under_it() -> None:
    """`le` means less or equal, and a value above every bound is still counted."""
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 99.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 1), ("2.0", 3), ("+Inf", 4)]
    assert histogram.total == 103.5


def test_bounds_ascend() -> None:
    """Unsorted histogram bounds are rejected."""
    assert list(SECONDS) == sorted(set(SECONDS))


def test_the_process_is_shown_too() -> None:
    """A scrape has its memory and descriptors."""
    assert b"process_open_fds" in Metrics().text()
