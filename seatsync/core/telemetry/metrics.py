"""What the server counts, and how Prometheus reads it.

The counts are plain attributes of one object, because some are touched for every frame: adding to an integer costs an
eighth of a prometheus-client counter, and a thirtieth of one with labels. They become metrics when somebody asks: a
collector reads the table in the fields' metadata. All of it belongs to the event loop's thread.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate

from attrs import define, field, fields
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

PREFIX = "seatsync"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SEATS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Histogram:
    """How many values were at most each bound; one more place counts those above the last."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """The counts as Prometheus wants them: each bound with all that is not above it."""
        bounds = [*map(str, self.bounds), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


def _gauge(meaning: str) -> dict[str, str]:
    return {"kind": "gauge", "help": meaning}


def _counter(meaning: str) -> dict[str, str]:
    return {"kind": "counter", "help": meaning}


def _histogram(meaning: str) -> dict[str, str]:
    return {"kind": "histogram", "help": meaning}


@define(eq=False)
class Metrics:
    """One server's counts. Gauges go up and down, counters only up; whoever knows the event changes the attribute."""

    connections: int = field(default=0, metadata=_gauge("WebSocket connections that are open."))
    subscriptions: int = field(default=0, metadata=_gauge("Subscriptions of all connections."))
    clients_behind: int = field(default=0, metadata=_gauge("Connections whose client does not take what it is sent."))
    feed_live: int = field(default=0, metadata=_gauge("1 while notifications of the database arrive, else 0."))
    notification_queue_usage: float = field(
        default=0.0, metadata=_gauge("Fraction of PostgreSQL's notification queue in use.")
    )
    pool_in_use: int = field(default=0, metadata=_gauge("Database connections that are running something."))
    pool_size: int = field(default=0, metadata=_gauge("Most database connections the pool may open."))

    frames_pushed: int = field(default=0, metadata=_counter("Frames pushed to subscribers."))
    bytes_pushed: int = field(default=0, metadata=_counter("Bytes of those frames."))
    slow_clients: int = field(
        default=0, metadata=_counter("Times a connection fell behind and was left out of broadcasts.")
    )
    slow_closes: int = field(
        default=0, metadata=_counter("Connections closed with 4008, too slow even for merged updates.")
    )
    feed_losses: int = field(default=0, metadata=_counter("Times the notifications of the database were lost."))

    commit_to_push_seconds: Histogram = field(
        factory=lambda: Histogram(SECONDS),
        metadata=_histogram("From the notification's commit to the last push of its frame."),
    )
    write_batch_seats: Histogram = field(
        factory=lambda: Histogram(SEATS), metadata=_histogram("Seats that one group commit wrote.")
    )

    messages: Counter[tuple[str, str]] = field(factory=Counter)
    """How often each (method, outcome) was answered; the outcome is ``success`` or an error code."""
    request_seconds: dict[str, Histogram] = field(factory=dict)
    """From a request's arrival to its answer, by method."""
    _probes: dict[str, Callable[[], float]] = field(factory=dict)

    def answered(self, method: str, outcome: str, seconds: float) -> None:
        """Count one request. ``method`` is a registered name, or ``""``: a client must not invent label values."""
        self.messages[method, outcome] += 1
        histogram = self.request_seconds.get(method)
        if histogram is None:
            histogram = self.request_seconds[method] = Histogram(SECONDS)
        histogram.observe(seconds)

    def watch(self, gauge: str, read: Callable[[], float]) -> None:
        """Take a gauge from ``read`` at each scrape, instead of from its attribute; ``read`` must not raise."""
        if getattr(fields(Metrics), gauge).metadata.get("kind") != "gauge":
            raise ValueError(f"{gauge} is no gauge")
        self._probes[gauge] = read

    def value(self, gauge: str) -> float:
        """A gauge or counter as it is now."""
        probe = self._probes.get(gauge)
        return float(getattr(self, gauge) if probe is None else probe())


class Exposition(Collector):
    """The text that Prometheus reads: a server's metrics and its process's memory, CPU and descriptors."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Everything in the text format 0.0.4 (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The metrics, read now."""
        for row in fields(Metrics):
            if row.metadata:
                yield self._family(row.name, row.metadata["kind"], row.metadata["help"])
        yield self._messages()
        yield self._request_seconds()

    def _family(self, attribute: str, kind: str, meaning: str) -> Metric:
        name = f"{PREFIX}_{attribute}"
        if kind == "histogram":
            histogram: Histogram = getattr(self._metrics, attribute)
            return HistogramMetricFamily(name, meaning, buckets=histogram.cumulative(), sum_value=histogram.total)
        family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
        return family(name, meaning, value=self._metrics.value(attribute))

    def _messages(self) -> Metric:
        family = CounterMetricFamily(
            f"{PREFIX}_messages", "Requests answered, by method and outcome.", labels=["method", "outcome"]
        )
        for (method, outcome), count in self._metrics.messages.items():
            family.add_metric([method, outcome], count)
        return family

    def _request_seconds(self) -> Metric:
        family = HistogramMetricFamily(
            f"{PREFIX}_request_seconds", "From a request's arrival to its answer, by method.", labels=["method"]
        )
        for method, histogram in self._metrics.request_seconds.items():
            family.add_metric([method], buckets=histogram.cumulative(), sum_value=histogram.total)
        return family
