"""The server's metrics, in Prometheus' text format.

The values are plain attributes, because some change for every frame: adding to an integer costs an eighth of a
prometheus-client counter, and a thirtieth of one with labels. All of it belongs to the event loop's thread.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from platform import python_version
from typing import Any

from attrs import Factory, define, field, fields
from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "seatsync"
_PROCESS = ProcessCollector(registry=None)
_BUILD = {"version": version("seatsync"), "python": python_version()}

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@define(eq=False)
class Histogram:
    """The number of values up to each bound, and in one more place of those above the last."""

    bounds: tuple[float, ...]
    counts: list[int] = Factory(lambda self: [0] * (len(self.bounds) + 1), takes_self=True)
    total: float = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return each bound, as text, with the number of values up to it, as Prometheus defines buckets."""
        bounds = [*map(str, self.bounds), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


def _gauge(meaning: str, default: Any = 0) -> Any:
    """Declare a gauge."""
    return field(default=default, metadata={"family": GaugeMetricFamily, "meaning": meaning, "labels": ()})


def _counter(meaning: str, *labels: str) -> Any:
    """Declare a counter; with labels, a `Counter` by their values."""
    metadata = {"family": CounterMetricFamily, "meaning": meaning, "labels": labels}
    return field(factory=Counter, metadata=metadata) if labels else field(default=0, metadata=metadata)


@define(eq=False)
class Metrics(Collector):
    """One server's values; the parts of the server change the attributes. Gauges go up and down, counters only up."""

    connections: int = _gauge("WebSocket connections that are open.")
    subscriptions: int = _gauge("Subscriptions of all connections.")
    clients_behind: int = _gauge("Connections with a full send buffer.")
    feed_live: int = _gauge("1 while notifications of the database arrive, else 0.")
    notification_queue_usage: float = _gauge("Fraction of PostgreSQL's notification queue in use.", default=0.0)
    holds: int = _gauge("Holds that have not ended; every server reports the same.")
    pool_in_use: Callable[[], int] = _gauge("Database connections in use.", default=lambda: 0)
    """Called at each scrape; it must not raise."""
    pool_size: int = _gauge("Database connections that the pools may open, at most.")

    frames_pushed: int = _counter("Frames pushed to subscribers.")
    bytes_pushed: int = _counter("Bytes of those frames.")
    slow_clients: int = _counter("Times a connection fell behind and was left out of broadcasts.")
    slow_closes: int = _counter("Connections closed with 4008, too slow even for merged updates.")
    notifications_refused: int = _counter("Notifications that were not tagged with the key of the feed.")
    holds_expired: int = _counter("Holds that have ended by themselves, by this server.")
    feed_losses: int = _counter("Times the notifications of the database were lost.")

    build_info: dict[str, str] = field(factory=lambda: {**_BUILD, "postgres": ""})
    """Versions; that of PostgreSQL is empty until the database has been reached."""
    closes: Counter[tuple[str]] = _counter("WebSocket connections ended, by close code.", "code")
    commit_to_push_seconds: Histogram = field(init=False)
    messages: Counter[tuple[str, str]] = _counter("Requests answered, by method and outcome.", "method", "outcome")
    """The outcome is ``success`` or an error code."""
    auth_events: Counter[tuple[str, str]] = _counter(
        "Failed sign-ins and changes of accounts, by event and reason.", "event", "reason"
    )
    """Both from a fixed set."""
    request_seconds: dict[str, Histogram] = field(factory=partial(defaultdict, partial(Histogram, SECONDS)))
    """From a request's arrival to its answer, by method."""
    histograms: dict[str, tuple[str, Histogram]] = field(factory=dict)
    """Help text and values of each histogram without labels, by name."""

    def __attrs_post_init__(self) -> None:
        self.commit_to_push_seconds = self.add_histogram(
            "commit_to_push_seconds", "From the notification's commit to the last push of its frame.", SECONDS
        )

    def answered(self, method: str, outcome: str, seconds: float) -> None:
        """Count one request. ``method`` is a registered name, or ``""``: a client must not invent label values."""
        self.messages[method, outcome] += 1
        self.request_seconds[method].observe(seconds)

    def add_histogram(self, name: str, meaning: str, bounds: tuple[float, ...]) -> Histogram:
        """Add a histogram, as a domain does for its own; ``name`` is without `PREFIX`."""
        histogram = Histogram(bounds)
        self.histograms[name] = (meaning, histogram)
        return histogram

    def text(self) -> bytes:
        """Return all metrics, and the process's memory, CPU and descriptors, in the text format 0.0.4."""
        return generate_latest(self) + generate_latest(_PROCESS)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics with their present values."""
        for row in fields(Metrics):
            if row.metadata:
                labels, value = row.metadata["labels"], getattr(self, row.name)
                family = row.metadata["family"](f"{PREFIX}_{row.name}", row.metadata["meaning"], labels=labels)
                for values, number in value.items() if labels else [((), value() if callable(value) else value)]:
                    family.add_metric(values, number)
                yield family
        build = GaugeMetricFamily(f"{PREFIX}_build_info", "1, with the versions as labels.", labels=[*self.build_info])
        build.add_metric([*self.build_info.values()], 1)
        yield build
        for name, (meaning, histogram) in self.histograms.items():
            yield HistogramMetricFamily(f"{PREFIX}_{name}", meaning, histogram.cumulative(), histogram.total)
        seconds = HistogramMetricFamily(
            f"{PREFIX}_request_seconds", "From a request's arrival to its answer, by method.", labels=["method"]
        )
        for method, histogram in self.request_seconds.items():
            seconds.add_metric([method], histogram.cumulative(), histogram.total)
        yield seconds
