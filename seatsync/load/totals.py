"""What all processes of a test have said, added up."""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from seatsync.load.plan import Plan
from seatsync.load.stats import Stats, Timing

#: Above this share of a core a client process may well be what is measured.
BUSY = 0.9

#: Lateness of changes, at the 99th percentile, from which on it matters beside what is measured, in seconds.
LATE_S = 0.005


@define
class Process:
    """One of the client processes."""

    name: str
    live: int = 0
    """Of its clients, how many have what they came for, just now."""
    cpu_s: float = 0.0
    """CPU time it has used under load."""


@define
class Totals:
    """The test so far. Times of the series are whole seconds since the load began."""

    plan: Plan
    halls: tuple[int, ...]
    processes: list[Process]
    phase: str = "prepare"
    went_at: float = 0.0
    """When the load began, on `time.monotonic`."""
    load_s: float = 0.0
    """How long it lasted."""
    all: Stats = field(factory=Stats)
    load: Stats = field(factory=Stats)
    """What happened under load: what rates are made of."""
    series: dict[int, Stats] = field(factory=dict)
    interrupted: bool = False

    def add(self, process: int, message: Mapping[str, Any]) -> None:
        """Statistics that a process has handed over."""
        stats = Stats.from_json(message["stats"])
        self.processes[process].live = message["live"]
        self.all.merge(stats)
        if message["phase"] == "load":
            self.processes[process].cpu_s += message["cpu_s"]
            self.load.merge(stats)
        if message["phase"] != "prepare":
            second = max(0, int(message["at"] - self.went_at))
            self.series.setdefault(second, Stats()).merge(stats)

    @property
    def live(self) -> int:
        """Clients that have what they came for, just now."""
        return sum(process.live for process in self.processes)

    def rate(self, count: float) -> float:
        """What happened under load, a second."""
        return count / self.load_s if self.load_s else 0.0

    def busy(self, process: Process) -> float:
        """The share of a core that a process used under load."""
        return process.cpu_s / self.load_s if self.load_s else 0.0

    def doubts(self) -> list[str]:
        """Why the latencies may be the load generator's rather than the server's, in sentences."""
        found = [
            f"The client process '{process.name}' was busy {self.busy(process):.0%} of the time: its own queue is part"
            " of the latencies. Use more --processes, and more cores."
            for process in self.processes
            if self.busy(process) > BUSY
        ]
        late_s = self.all.timings[Timing.LAG].percentile(99)
        if late_s > LATE_S:
            late = f"{late_s * 1000:.1f} ms"
            found.append(f"The load generator was up to {late} late with its changes (p99): it had too little CPU.")
        return found
