"""The results of a test: the sum of its processes' reports, and its figures as people read them."""

from collections.abc import Iterator

from attrs import define, field

from seatsync.load.plan import Plan
from seatsync.load.stats import REPORT_S, Count, Histogram, Interval, Kind, Stats, Timing

#: Above this share of a core a client process may be what limits the test.
BUSY = 0.9

#: Lateness of changes, at the 99th percentile, above which it distorts the latencies, in seconds.
LATE_S = 0.005

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@define
class Totals:
    """The test so far."""

    plan: Plan
    halls: tuple[int, ...]
    cpu_s: dict[str, float]
    """CPU time under load, by the name of the process."""
    clients: dict[str, int] = field(factory=dict)
    """How many clients that read are live, by the name of the process."""
    phase: str = "prepare"
    started_at: float = 0.0
    """When the load began, on `time.monotonic`."""
    load_s: float = 0.0
    """The time it lasted."""
    all: Stats = field(factory=Stats)
    load: Stats = field(factory=Stats)
    """Under load only: the basis of rates."""
    series: dict[int, Stats] = field(factory=dict)
    """By whole seconds since the load began."""
    live: dict[int, int] = field(factory=dict)
    """How many clients that read were live at the end of each of those seconds."""
    interrupted: bool = False
    is_checked: bool = False
    """The final comparison was made."""
    about: dict[str, str] = field(factory=dict)
    """Where, when and how the test was made."""
    failures: list[str] = field(factory=list)
    """A sentence for each limit that was passed."""

    def add(self, process: str, interval: Interval) -> None:
        """Add an interval of a process."""
        self.clients[process] = interval.live
        self.all.merge(interval.stats)
        if interval.phase == "load":
            self.cpu_s[process] += interval.cpu_s
            self.load.merge(interval.stats)
        if interval.phase != "prepare":
            second = max(0, int(interval.at - self.started_at - REPORT_S / 2))  # its end may be the next one's begin
            self.series.setdefault(second, Stats()).merge(interval.stats)
            self.live[second] = sum(self.clients.values())

    def rate(self, count: float) -> float:
        """A count under load, a second."""
        return count / self.load_s if self.load_s else 0.0

    def busy(self) -> dict[str, float]:
        """The share of a core that each process used under load."""
        return {name: self.rate(cpu_s) for name, cpu_s in self.cpu_s.items()}

    def doubts(self) -> list[str]:
        """Sentences on why the latencies may be the load generator's rather than the server's."""
        found = [
            f"The client process '{name}' was busy {busy:.0%} of the time: its own queue is part of the latencies."
            " Use more --processes, and more cores."
            for name, busy in self.busy().items()
            if busy > BUSY
        ]
        late_s = self.all.histogram(Timing.LAG).percentile(99)
        if late_s > LATE_S:
            late = f"{late_s * 1000:.1f} ms"
            found.append(f"The load generator was up to {late} late with its changes (p99): it had too little CPU.")
        return found

    def timings(self) -> Iterator[tuple[Timing, Histogram]]:
        """Every timing with samples, in the order of the tables."""
        for timing in Timing:
            histogram = self.all.timings.get(timing)
            if histogram is not None and histogram.total:
                yield timing, histogram


def duration(seconds: float) -> str:
    """Such as ``870 µs``, ``12.3 ms``, ``4.56 s``: three digits."""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            value = seconds / size
            digits = 2 if value < 10 else 1 if value < 100 else 0  # noqa: PLR2004 - three in all
            return f"{value:.{digits}f} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def number(value: float) -> str:
    """With thousands apart; small ones with one decimal."""
    return f"{value:.1f}" if value < 100 and value != int(value) else f"{value:,.0f}"  # noqa: PLR2004 - three digits


def tables(totals: Totals) -> list[list[list[str]]]:
    """The tables of every report, each as rows of cells, its head first: what was counted, and what was measured."""
    counts = [["", "total", "a second"]]
    for count in Count:
        if total := totals.all.counts[count]:
            rate = totals.rate(totals.load.counts[count])
            counts.append([count, f"{total:,}", number(rate) if rate else ""])
    timings = [["", *(f"p{percent:g}" for percent in PERCENTILES), "max", "samples"]]
    for timing, histogram in totals.timings():
        times = [*(histogram.percentile(percent) for percent in PERCENTILES), histogram.max_s]
        timings.append([timing, *map(duration, times), f"{histogram.total:,}"])
    return [counts, timings]


def verdict(totals: Totals) -> str:
    """The result in a sentence."""
    faults = totals.all.faults
    if faults:
        found = "Faults: " + ", ".join(f"{faults[kind]:,} {kind}" for kind in Kind if faults[kind]) + "."
    elif totals.interrupted and not totals.is_checked:
        found = "No fault until then; the final comparison was not made."
    else:
        found = "No fault: nothing missing, repeated or reordered, and every state as it should be."
    return f"The test was interrupted. {found}" if totals.interrupted else found


def title(totals: Totals) -> str:
    """The test in a line: what it has of each."""
    plan = totals.plan
    sizes = {"clients": plan.clients, "ramp": plan.ramp_s, "rate": plan.rate}
    if plan.changes_seats:
        sizes |= {"writers": plan.writers, "bulk": plan.bulk}
    what = ", ".join(f"{name} {number(size)}" for name, size in sizes.items() if size)
    halls = ", ".join(map(str, totals.halls)) or "not chosen yet"
    return f"{plan.scenario}: {what}; hall {halls}; {duration(totals.load_s)}"
