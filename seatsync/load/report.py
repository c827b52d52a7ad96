"""The results on the terminal, during the test and after it, and as JSON."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from seatsync.load.stats import Count, Histogram, Stats, Timing
from seatsync.load.totals import PERCENTILES, Totals, bins, duration, number, tables, title, verdict
from seatsync.terminal import printable

#: Timings shown live, and as a histogram.
_CHARTS = (Timing.RECEIVED, Timing.ANSWER, Timing.JOINED, Timing.AWAY)

_CHART_WIDTH = 50

_PHASES = {
    "prepare": "connecting clients",
    "go": "load",
    "stop": "waiting for replies",
    "check": "comparing with fresh snapshots",
}


@contextmanager
def live_progress(console: Console, *, quiet: bool) -> Iterator[Callable[[Totals], None]]:
    """A function that shows the totals of a running test, unless ``quiet`` or without a terminal."""
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield lambda totals: live.update(_progress(totals), refresh=True)


def _progress(totals: Totals) -> Text:
    since_s = monotonic() - totals.started_at if totals.started_at else 0.0
    total_s = totals.plan.duration_s
    clock = f"{max(0.0, since_s):.0f} of {total_s:.0f} s" if totals.phase == "go" and total_s else ""
    second = totals.series.get(int(since_s) - 1, Stats())
    faults = totals.all.faults.total()
    lines = [
        f"{totals.plan.scenario}: {_PHASES[totals.phase]} {clock}",
        f"  clients       {number(sum(process.live for process in totals.processes.values()))}",
        f"  frames/s      {number(second.counts[Count.FRAMES])}",
        f"  changes/s     {number(second.counts[Count.ANSWERED])}",
    ]
    for timing in _CHARTS:
        histogram = second.timings.get(timing)
        if histogram is not None:
            p50, p99 = duration(histogram.percentile(50)), duration(histogram.percentile(99))
            lines.append(f"  {timing:<13} p50 {p50}, p99 {p99}")
    return Text("\n".join([*lines, f"  faults        {number(faults)}"]), style="red" if faults else "")


def show(totals: Totals, console: Console) -> None:
    """Print the results."""

    def write(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    write(f"\n{title(totals)}")
    for head, *rows in tables(totals):
        table = Table(*head)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for timing, histogram in totals.timings():
        if timing in _CHARTS and totals.load.histogram(timing).total:
            write("\n".join([timing, *chart(histogram), ""]))
    for name, busy in totals.busy().items():
        write(f"{name}: {busy:.0%} of a core")
    for sentence in totals.doubts():
        write(f"Note: {sentence}")
    write(verdict(totals))
    for fault in totals.all.first_faults:
        write(f"  {fault.at - totals.started_at:+.3f} s  {printable(fault.text, console.encoding)}")


def chart(histogram: Histogram) -> Iterator[str]:
    """A histogram in plain characters: a line for each range of latencies."""
    bars = bins(histogram)
    most = max(count for _, count in bars)
    for upper_s, count in bars:
        bar = "#" * round(_CHART_WIDTH * count / most) or ("." if count else "")
        yield f"  up to {duration(upper_s):>8}  {bar:<{_CHART_WIDTH}}  {count:,}"


def as_json(totals: Totals) -> dict[str, Any]:
    """The results for programs. Times in seconds, rates a second."""
    faults = totals.all.faults
    return {
        "scenario": totals.plan.scenario,
        "title": title(totals),
        "halls": totals.halls,
        "load_s": totals.load_s,
        "interrupted": totals.interrupted,
        "counts": {count: total for count, total in totals.all.counts.items() if total},
        "rates": {count: totals.rate(total) for count, total in totals.load.counts.items() if total},
        "timings": _percentiles(totals.all.timings),
        "processes": [
            {"name": name, "cpu_s": totals.processes[name].cpu_s, "busy": busy} for name, busy in totals.busy().items()
        ],
        "doubts": totals.doubts(),
        "faults": {
            "total": faults.total(),
            "counts": dict(faults),
            "first": [{"at": fault.at - totals.started_at, "words": fault.text} for fault in totals.all.first_faults],
        },
        "series": {
            second: {"counts": dict(stats.counts), "timings": _percentiles(stats.timings)}
            for second, stats in sorted(totals.series.items())
        },
    }


def _percentiles(timings: Mapping[Timing, Histogram]) -> dict[str, dict[str, float]]:
    return {
        timing: {
            "samples": histogram.total,
            "mean": histogram.mean_s,
            **{f"p{percent:g}": histogram.percentile(percent) for percent in PERCENTILES},
            "max": histogram.max_s,
        }
        for timing, histogram in timings.items()
        if histogram.total
    }
