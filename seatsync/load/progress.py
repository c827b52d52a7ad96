"""What the test is doing, live, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.text import Text

from seatsync.load.figures import duration, number
from seatsync.load.stats import Count, Stats, Timing
from seatsync.load.totals import Totals

_PHASES = {
    "prepare": "getting everybody in",
    "go": "load",
    "stop": "waiting for answers under way",
    "check": "comparing with fresh snapshots",
}


@contextmanager
def shown(console: Console, *, quiet: bool) -> Iterator[Callable[[Totals], None]]:
    """Something to call whenever the totals have changed; it shows them, unless ``quiet`` or there is no terminal."""
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield lambda totals: live.update(_lines(totals), refresh=True)


def _lines(totals: Totals) -> Text:
    since_s = monotonic() - totals.went_at if totals.went_at else 0.0
    total = totals.plan.duration_s
    clock = f"{max(0.0, since_s):.0f} of {total:.0f} s" if totals.phase == "go" and total else ""
    second = totals.series.get(int(since_s) - 1, Stats())
    lines = [
        f"{totals.plan.scenario}: {_PHASES[totals.phase]} {clock}",
        f"  clients       {number(totals.live)}",
        f"  frames/s      {number(second.counts[Count.FRAMES])}",
        f"  changes/s     {number(second.counts[Count.ANSWERED])}",
    ]
    for timing in (Timing.RECEIVED, Timing.ANSWER, Timing.JOINED):
        histogram = second.timings.get(timing)
        if histogram is not None and histogram.total:
            p50, p99 = duration(histogram.percentile(50)), duration(histogram.percentile(99))
            lines.append(f"  {timing:<13} p50 {p50}, p99 {p99}")
    faults = totals.all.faults.total
    lines.append(f"  faults        {number(faults)}")
    return Text("\n".join(lines), style="red" if faults else "")
