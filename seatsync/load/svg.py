"""Plots as SVG text: lines over a linear axis, and bars. Colours are the page's, by class."""

from collections.abc import Callable, Sequence
from html import escape
from math import floor, log10

from attrs import frozen

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 70, 28, 28, 32

#: Room for a name in the legend.
_LEGEND = 130

#: Bars that have room for their names.
_LABELS = 9

#: Distances between ticks, of a power of ten.
_STEPS = (1, 2, 5, 10)
_TICKS = 5

Label = Callable[[float], str]


@frozen
class Line:
    """A named line; the points are in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


def line_plot(
    lines: Sequence[Line],
    *,
    x_label: Label,
    y_label: Label,
    x_ticks: Sequence[float] | None = None,
    name: str,
) -> str:
    """Lines from zero up, with a legend where there are several."""
    points = [point for line in lines for point in line.points]
    least, most = min(x for x, _ in points), max(x for x, _ in points)
    y_ticks = ticks(max(y for _, y in points))
    frame = _Frame(least, max(most, least + 1e-9), y_ticks[-1])
    parts = [frame.axes(x_ticks or [least + tick for tick in ticks(most - least)], y_ticks, x_label, y_label)]
    for number, line in enumerate(lines):
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline class="line c{number}" points="{path}"/>')
        if len(lines) > 1:
            legend_x = LEFT + _LEGEND * number
            parts.append(f'<text class="c{number}" x="{legend_x}" y="{TOP - 12}">{escape(line.name)}</text>')
    return _svg(name, parts)


def bar_plot(bars: Sequence[tuple[str, float]], *, y_label: Label, name: str) -> str:
    """A bar for each name."""
    y_ticks = ticks(max(value for _, value in bars))
    frame = _Frame(0, len(bars), y_ticks[-1])
    parts = [frame.axes([], y_ticks, str, y_label)]
    bottom = HEIGHT - BOTTOM
    width = frame.x(1) - frame.x(0)
    for number, (label, value) in enumerate(bars):
        x, y = frame.x(number), frame.y(value)
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{bottom - y:.1f}">'
            f"<title>{escape(label)}: {escape(y_label(value))}</title></rect>"
        )
        if number % (1 + len(bars) // _LABELS) == 0:
            parts.append(f'<text class="middle" x="{x + width / 2:.1f}" y="{bottom + 16}">{escape(label)}</text>')
    return _svg(name, parts)


def ticks(most: float) -> list[float]:
    """Round numbers from zero to the first that is not below ``most``."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** floor(log10(most / _TICKS))
    step = next(step * power for step in _STEPS if step * power * _TICKS >= most * (1 - 1e-9))
    count = -(-most // step)
    return [number * step for number in range(int(count) + 1)]


@frozen
class _Frame:
    """From values to places."""

    least: float
    most: float
    top: float

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.least) / (self.most - self.least)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top

    def axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: Label, y_label: Label) -> str:
        parts: list[str] = []
        for value in y_ticks:
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="end" x="{LEFT - 6}" y="{y + 4:.1f}">{escape(y_label(value))}</text>')
        for value in x_ticks:
            if self.least <= value <= self.most:
                x = self.x(value)
                parts.append(
                    f'<text class="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{escape(x_label(value))}</text>'
                )
        return "".join(parts)


def _svg(name: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
        f"<title>{escape(name)}</title>{''.join(parts)}</svg>"
    )
