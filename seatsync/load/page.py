"""The results as one HTML page that needs nothing from anywhere else."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from math import log10

from seatsync.load.chart import bins
from seatsync.load.figures import PERCENTILES, counts, duration, number, timings, title, verdict
from seatsync.load.histogram import Histogram
from seatsync.load.stats import Count, Timing
from seatsync.load.svg import Line, bar_plot, line_plot
from seatsync.load.totals import Totals

#: The horizontal axis of percentiles: each "nine" as long as the one before.
_NINES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
_FINENESS = 20

#: Timings that are drawn into one plot.
_TOGETHER = {
    "Changes: latency by percentile": (Timing.ANSWER, Timing.RECEIVED),
    "Clients: latency by percentile": (Timing.OPENED, Timing.JOINED, Timing.AWAY),
}

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #8884 }
:root { --c0: #0b6bcb; --c1: #c2410c; --c2: #15803d; --c3: #7e22ce }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --c0: #5aa9f5; --c1: #f59e5a; --c2: #5fd38a; --c3: #c08af5 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1340px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid var(--faint) }
td { font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
figure { display: inline-block; width: 640px; max-width: 100%; margin: 0 0 1.5em }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink) }
svg .end { text-anchor: end }
svg .middle { text-anchor: middle }
svg .grid { stroke: var(--faint) }
svg .bar { fill: var(--c0) }
svg .line { fill: none; stroke-width: 1.6 }
svg .line.c0 { stroke: var(--c0) }
svg .line.c1 { stroke: var(--c1) }
svg .line.c2 { stroke: var(--c2) }
svg .line.c3 { stroke: var(--c3) }
svg text.c0 { fill: var(--c0) }
svg text.c1 { fill: var(--c1) }
svg text.c2 { fill: var(--c2) }
svg text.c3 { fill: var(--c3) }
.faulty { color: #d33 }
footer { opacity: .7 }
"""


def page(totals: Totals) -> str:
    """The whole page."""
    faults = totals.all.faults
    told = "".join(f"<li>{fault.at - totals.went_at:+.3f} s: {escape(fault.words)}</li>" for fault in faults.first)
    notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in totals.doubts())
    processes = "".join(f"<li>{escape(one.name)}: {totals.busy(one):.0%} of a core</li>" for one in totals.processes)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title(totals))}</title>
<style>{_STYLE}</style>
<h1>Seats Sync under load</h1>
<p>{escape(title(totals))}</p>
<p class="{"faulty" if faults.total else "fine"}"><strong>{escape(verdict(totals))}</strong></p>
<ol>{told}</ol>
{notes}
{_count_table(totals)}
{_timing_table(totals)}
{"".join(f"<figure><figcaption>{escape(name)}</figcaption>{plot}</figure>" for name, plot in _plots(totals))}
<h2>Client processes</h2>
<ul>{processes}</ul>
<footer>Made by seatsync load, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Times of changes count from
when they were meant to be sent, whether or not the server was ready for them.</footer>
</html>
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _count_table(totals: Totals) -> str:
    rows = [[row.name, f"{row.total:,}", number(row.rate) if row.rate else ""] for row in counts(totals)]
    return _table(["", "total", "a second"], rows)


def _timing_table(totals: Totals) -> str:
    rows = [
        [
            timing,
            *(duration(histogram.percentile(percent)) for percent in PERCENTILES),
            duration(histogram.max_s),
            f"{histogram.total:,}",
        ]
        for timing, histogram in timings(totals)
    ]
    return _table(["", *(f"p{percent:g}" for percent in PERCENTILES), "max", "samples"], rows)


def _plots(totals: Totals) -> Iterator[tuple[str, str]]:
    measured = [(timing, histogram) for timing, histogram in timings(totals) if timing is not Timing.LAG]
    for name, group in _TOGETHER.items():
        lines = [Line(timing, list(_curve(histogram))) for timing, histogram in measured if timing in group]
        if lines:
            nines = [_nines(percent) for percent in _NINES]
            labels = dict(zip(nines, (f"{percent:g}%" for percent in _NINES), strict=True))
            yield name, line_plot(lines, x_label=labels.__getitem__, x_ticks=nines, y_label=duration, name=name)
    for timing, histogram in measured:
        name = f"Histogram of {timing}"
        bars = [(f"≤ {duration(upper_s)}", float(count)) for upper_s, count in bins(histogram)]
        yield name, bar_plot(bars, y_label=number, name=name)
    yield from _over_time(totals)


def _over_time(totals: Totals) -> Iterator[tuple[str, str]]:
    """Whole seconds only: the last one is not over when the load ends."""
    seconds = range(int(totals.load_s))
    series = totals.series
    if len(seconds) < 2:  # noqa: PLR2004 - a line has two ends
        return
    for count, name in ((Count.FRAMES, "Frames received a second"), (Count.ANSWERED, "Changes answered a second")):
        points = [(float(s), float(series[s].counts[count]) if s in series else 0.0) for s in seconds]
        if any(value for _, value in points):
            yield name, line_plot([Line(name, points)], x_label=_second, y_label=number, name=name)
    for timing in (Timing.RECEIVED, Timing.ANSWER):
        measured = {s: series[s].timings[timing] for s in seconds if s in series and timing in series[s].timings}
        if len(measured) > 1:
            name = f"{timing} over time"
            lines = [
                Line(f"p{percent:g}", [(float(s), histogram.percentile(percent)) for s, histogram in measured.items()])
                for percent in (50.0, 99.0)
            ]
            yield name, line_plot(lines, x_label=_second, y_label=duration, name=name)


def _curve(histogram: Histogram) -> Iterator[tuple[float, float]]:
    """Up to the percentile that a single sample makes."""
    end = min(_nines(_NINES[-1]), log10(max(histogram.total, 10)))
    for step in range(_FINENESS * 4 + 1):
        nines = end * step / (_FINENESS * 4)
        yield nines, histogram.percentile(100 * (1 - 10**-nines))


def _nines(percent: float) -> float:
    return -log10(1 - percent / 100)


def _second(value: float) -> str:
    return f"{value:g} s"
