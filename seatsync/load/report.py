"""The results on the terminal, during the test and after it, and as JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from seatsync.load.stats import Count, Histogram, Stats, Timing
from seatsync.load.totals import PERCENTILES, Totals, duration, number, tables, title, verdict
from seatsync.terminal import printable

#: Timings shown live.
_LIVE = (Timing.RECEIVED, Timing.ANSWER, Timing.JOINED, Timing.AWAY)

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
        f"  clients       {number(sum(totals.clients.values()))}",
        f"  frames/s      {number(second.counts[Count.FRAMES])}",
        f"  changes/s     {number(second.counts[Count.ANSWERED])}",
    ]
    for timing in _LIVE:
        histogram = second.timings.get(timing)
        if histogram is not None:
            p50, p99 = duration(histogram.percentile(50)), duration(histogram.percentile(99))
            lines.append(f"  {timing:<13} p50 {p50}, p99 {p99}")
    return Text("\n".join([*lines, f"  faults        {number(faults)}"]), style="red" if faults else "")


def show(totals: Totals, console: Console) -> None:
    """Print the results."""

    def write(line: str, style: str = "") -> None:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)

    write(f"\n{title(totals)}")
    for rows in tables(totals):
        console.print(_table(rows))
    for name, value in [
        *((name, f"{busy:.0%} of a core") for name, busy in totals.busy().items()),
        *totals.about.items(),
    ]:
        write(f"{name}: {printable(value, console.encoding)}")
    for sentence in totals.doubts():
        write(f"Note: {sentence}")
    write(verdict(totals), "bold red" if totals.all.faults else "")
    for fault in totals.all.first_faults:
        write(f"  {fault.at - totals.started_at:+.3f} s  {printable(fault.text, console.encoding)}", "red")
    for sentence in totals.failures:
        write(f"Failed: {sentence}", "bold red")


def _table(rows: Sequence[Sequence[str]]) -> Table:
    head, *body = rows
    table = Table()
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index else "left")
    for row in body:
        table.add_row(*row)
    return table


def as_json(totals: Totals) -> dict[str, Any]:
    """The results for programs, under names that stay. Times in seconds, rates a second."""
    faults = totals.all.faults
    return {
        "scenario": totals.plan.scenario,
        "title": title(totals),
        "provenance": totals.about,
        "halls": totals.halls,
        "load_s": totals.load_s,
        "interrupted": totals.interrupted,
        "counts": {count: total for count, total in totals.all.counts.items() if total},
        "rates": {count: totals.rate(total) for count, total in totals.load.counts.items() if total},
        "timings": _percentiles(totals.all.timings),
        "processes": [
            {"name": name, "cpu_s": totals.cpu_s[name], "busy": busy} for name, busy in totals.busy().items()
        ],
        "doubts": totals.doubts(),
        "faults": {
            "total": faults.total(),
            "counts": {kind.name.lower(): count for kind, count in faults.items()},
            "first": [{"at": fault.at - totals.started_at, "words": fault.text} for fault in totals.all.first_faults],
        },
        "failures": totals.failures,
        "series": {
            second: {
                "clients": totals.live[second],
                "counts": dict(stats.counts),
                "timings": _percentiles(stats.timings),
            }
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
