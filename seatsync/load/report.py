"""The results on the terminal, and as JSON."""

from typing import Any

from rich.console import Console
from rich.table import Table

from seatsync.load.chart import chart
from seatsync.load.figures import PERCENTILES, counts, duration, number, timings, title, verdict
from seatsync.load.histogram import Histogram
from seatsync.load.stats import Timing
from seatsync.load.totals import Totals

#: Timings that are worth a picture.
_PICTURED = (Timing.RECEIVED, Timing.ANSWER, Timing.JOINED, Timing.AWAY)


def show(totals: Totals, console: Console) -> None:
    """Print everything a person wants to know."""
    console.print(f"\n{title(totals)}", highlight=False)
    console.print(_count_table(totals))
    console.print(_timing_table(totals))
    for timing, histogram in timings(totals):
        if timing in _PICTURED and totals.load.timings[timing].total:
            console.print(f"{timing}", highlight=False)
            console.print("\n".join(chart(histogram)) + "\n", highlight=False, markup=False)
    for process in totals.processes:
        console.print(f"{process.name}: {totals.busy(process):.0%} of a core", highlight=False)
    for sentence in totals.doubts():
        console.print(f"Note: {sentence}", highlight=False, markup=False, soft_wrap=True)
    console.print(verdict(totals), highlight=False, markup=False, soft_wrap=True)
    for fault in totals.all.faults.first:
        console.print(
            f"  {fault.at - totals.went_at:+.3f} s  {fault.words}", highlight=False, markup=False, soft_wrap=True
        )


def _count_table(totals: Totals) -> Table:
    table = Table("", "total", "a second")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in counts(totals):
        table.add_row(row.name, f"{row.total:,}", number(row.rate) if row.rate else "")
    return table


def _timing_table(totals: Totals) -> Table:
    table = Table("", *(f"p{percent:g}" for percent in PERCENTILES), "max", "samples")
    for column in table.columns[1:]:
        column.justify = "right"
    for timing, histogram in timings(totals):
        times = [*(histogram.percentile(percent) for percent in PERCENTILES), histogram.max_s]
        table.add_row(timing, *map(duration, times), f"{histogram.total:,}")
    return table


def as_json(totals: Totals) -> dict[str, Any]:
    """The results for programs. Times in seconds, rates a second."""
    return {
        "scenario": totals.plan.scenario,
        "title": title(totals),
        "halls": totals.halls,
        "load_s": totals.load_s,
        "interrupted": totals.interrupted,
        "counts": {count: total for count, total in totals.all.counts.items() if total},
        "rates": {count: totals.rate(total) for count, total in totals.load.counts.items() if total},
        "timings": {timing: _percentiles(histogram) for timing, histogram in timings(totals)},
        "processes": [
            {"name": process.name, "cpu_s": process.cpu_s, "busy": totals.busy(process)} for process in totals.processes
        ],
        "doubts": totals.doubts(),
        "faults": {
            "total": totals.all.faults.total,
            "counts": dict(totals.all.faults.counts),
            "first": [{"at": fault.at - totals.went_at, "words": fault.words} for fault in totals.all.faults.first],
        },
        "series": {
            second: {
                "counts": dict(stats.counts),
                "timings": {name: _percentiles(histogram) for name, histogram in stats.timings.items()},
            }
            for second, stats in sorted(totals.series.items())
        },
    }


def _percentiles(histogram: Histogram) -> dict[str, float]:
    named = {f"p{percent:g}": histogram.percentile(percent) for percent in PERCENTILES}
    return {"samples": histogram.total, "mean": histogram.mean_s, **named, "max": histogram.max_s}
