"""The results as one HTML page without scripts, links or images; its plots are SVG."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from math import floor, log10
from typing import TypeAlias

from seatsync.load.stats import Count, Histogram, Timing
from seatsync.load.totals import Totals, duration, number, tables, title, verdict

#: A plot: its size, and its margins, in pixels.
WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 70, 28, 28, 32

#: Room for a name in the legend, labels along the horizontal axis at most, and distances between vertical ticks.
_LEGEND, _LABELS, _TICKS = 130, 9, 5

#: Upper ends of the ranges of a histogram, for each power of ten.
_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #8884; --c0: #0b6bcb; --c1: #c2410c; --c2: #15803d }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --c0: #5aa9f5; --c1: #f59e5a; --c2: #5fd38a } }
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
svg polyline { fill: none; stroke-width: 1.6 }
.faulty { color: #d33 }
footer { opacity: .7 }
"""


def page(totals: Totals) -> str:
    """The whole page."""
    faults = ((fault.at - totals.started_at, fault.text) for fault in totals.all.first_faults)
    sentences = "".join(f"<li>{at_s:+.3f} s: {escape(text)}</li>" for at_s, text in faults)
    notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in totals.doubts())
    about = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in totals.about.items())
    failures = "".join(f'<p class="faulty">Failed: {escape(sentence)}</p>' for sentence in totals.failures)
    processes = "".join(f"<li>{escape(name)}: {busy:.0%} of a core</li>" for name, busy in totals.busy().items())
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title(totals))}</title>
<style>{_STYLE}</style>
<h1>Seats Sync under load</h1>
<p>{escape(title(totals))}</p>
<p class="{"faulty" if totals.all.faults else "fine"}"><strong>{escape(verdict(totals))}</strong></p>
<ol class="faulty">{sentences}</ol>
{failures}
{notes}
{"".join(map(_table, tables(totals)))}
{"".join(_plots(totals))}
<h2>Client processes</h2>
<ul>{processes}</ul>
<h2>Test</h2>
<ul>{about}</ul>
<footer>Made by seatsync load. Latencies of changes count from when they were due, whether or not the server was ready
for them.</footer>
</html>
"""


def _table(rows: Sequence[Sequence[str]]) -> str:
    tags = ["th", *["td"] * len(rows)]
    cells = ("".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) for tag, row in zip(tags, rows, strict=False))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


Points: TypeAlias = Sequence[tuple[float, float]]


def _plots(totals: Totals) -> Iterator[str]:
    for timing, histogram in totals.timings():
        if timing is Timing.LAG:
            continue
        bars = bins(histogram)
        outline = [(float(x), float(count)) for number, (_, count) in enumerate(bars) for x in (number, number + 1)]
        closed = [(0.0, 0.0), *outline, (float(len(bars)), 0.0)]
        labels = {number + 0.5: f"≤ {duration(upper_s)}" for number, (upper_s, _) in enumerate(bars)}
        yield plot(f"Histogram of {timing}", {timing: closed}, labels)
    yield from _over_time(totals)


def _over_time(totals: Totals) -> Iterator[str]:
    """Whole seconds only: the load ends within the last one."""
    series = {second: stats for second, stats in sorted(totals.series.items()) if second < int(totals.load_s)}
    if len(series) < 2:  # noqa: PLR2004 - a line has two ends
        return
    labels = {float(second): f"{second} s" for second in series}
    for count, name in ((Count.FRAMES, "Frames received a second"), (Count.ANSWERED, "Changes answered a second")):
        if totals.load.counts[count]:
            points = [(float(second), float(stats.counts[count])) for second, stats in series.items()]
            yield plot(name, {name: points}, labels)
    yield plot("Clients", {"clients": [(float(second), float(totals.live[second])) for second in series]}, labels)
    for timing in (Timing.RECEIVED, Timing.ANSWER):
        measured = [(float(x), stats.timings[timing]) for x, stats in series.items() if timing in stats.timings]
        if len(measured) > 1:
            lines = {f"p{percent}": [(x, one.percentile(percent)) for x, one in measured] for percent in (50, 99)}
            yield plot(f"{timing} over time", lines, labels, duration)


def bins(histogram: Histogram) -> list[tuple[float, int]]:
    """Samples by the upper end of their range, in seconds, of round numbers; empty ranges in between are kept."""
    edges = [step * 10.0**exponent for exponent in range(-6, 3) for step in _STEPS] + [1000.0]
    filled = [0] * len(edges)
    for upper_s, count in histogram.buckets():
        filled[next((index for index, edge in enumerate(edges) if upper_s <= edge), -1)] += count
    used = [index for index, count in enumerate(filled) if count] or [0]
    return [*zip(edges, filled, strict=True)][used[0] : used[-1] + 1] if histogram.total else []


def plot(
    name: str,
    lines: Mapping[str, Points],
    x_labels: Mapping[float, str],
    y_label: Callable[[float], str] = number,
) -> str:
    """A figure of lines over one pair of axes, with a legend where there are several; the vertical axis begins at zero.

    Each line is in order of x.
    """
    points = [point for line in lines.values() for point in line]
    ys = ticks(max(y for _, y in points))
    least, most = points[0][0], max(x for x, _ in points)

    def place_x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - least) / ((most - least) or 1)

    def place_y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / ys[-1]

    parts = [f"<title>{escape(name)}</title>"]
    for y in ys:
        at = place_y(y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 6}" y="{at + 4:.1f}">{escape(y_label(y))}</text>')
    labels = [(x, label) for x, label in x_labels.items() if least <= x <= most]
    for x, label in labels[:: 1 + (len(labels) - 1) // _LABELS]:
        parts.append(f'<text class="middle" x="{place_x(x):.1f}" y="{HEIGHT - BOTTOM + 16}">{escape(label)}</text>')
    for index, (legend, line) in enumerate(lines.items()):
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in line)
        parts.append(f'<polyline style="stroke: var(--c{index})" points="{path}"/>')
        if len(lines) > 1:
            x = LEFT + _LEGEND * index
            parts.append(f'<text style="fill: var(--c{index})" x="{x}" y="{TOP - 12}">{escape(legend)}</text>')
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(name)}</figcaption>{drawing}</figure>"


def ticks(most: float) -> list[float]:
    """Round numbers from zero to the first that is not below ``most``."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** floor(log10(most / _TICKS))
    step = next(step * power for step in (1, 2, 5, 10) if step * power * _TICKS >= most * (1 - 1e-9))
    return [index * step for index in range(int(-(-most // step)) + 1)]
