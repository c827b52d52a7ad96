"""Medians over rounds, ratios within rounds, and verdicts. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median

from attrs import define, field, frozen

#: What stands behind a ratio.
TIMES = "\N{MULTIPLICATION SIGN}"

Values = Mapping[str, float]
"""The figures of one entrant in one round, by name."""


@define
class Rounds:
    """Everything one measure found: for each entrant its values, round by round."""

    by_entrant: dict[str, list[Values]] = field(factory=dict)

    def add(self, entrant: str, values: Values) -> None:
        """Note the outcome of an entrant's next round."""
        self.by_entrant.setdefault(entrant, []).append(values)

    def median(self, entrant: str, figure: str) -> float | None:
        """The median of a figure; ``None`` for an entrant that did not run, or a figure it does not have."""
        found = [values[figure] for values in self.by_entrant.get(entrant, ()) if figure in values]
        return median(found) if found else None

    def ratio(self, entrant: str, other: str, figure: str) -> float | None:
        """The median of ``entrant / other`` within each round: what slows a whole round cancels out."""
        pairs = zip(self.by_entrant.get(entrant, ()), self.by_entrant.get(other, ()), strict=False)
        found = [mine[figure] / its[figure] for mine, its in pairs if its.get(figure) and figure in mine]
        return median(found) if found else None

    def spread(self, entrant: str, figure: str) -> float | None:
        """How far the rounds are apart: (largest - smallest) / median."""
        found = [values[figure] for values in self.by_entrant.get(entrant, ()) if figure in values]
        middle = median(found) if found else 0.0
        return (max(found) - min(found)) / middle if middle else None


def rotated(entrants: Sequence[str], turn: int) -> list[str]:
    """The order of a round: each entrant goes first once, and after each other one once."""
    start = turn % len(entrants) if entrants else 0
    return [*entrants[start:], *entrants[:start]]


@frozen
class Bound:
    """A bound for a figure: at most, or at least."""

    limit: float
    at_most: bool

    def holds(self, figure: float) -> bool:
        """Whether a figure is within it."""
        return figure <= self.limit if self.at_most else figure >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:,g}"


def verdict(figure: float | None, goal: Bound, least: Bound | None) -> str:
    """Compare a figure with its goal and its least acceptable value."""
    if figure is None:
        return "not measured"
    if goal.holds(figure):
        return "goal"
    if least is None:
        return "measured"
    return "least" if least.holds(figure) else "short"


def percentile(samples: Sequence[float], percent: float) -> float:
    """The sample that this share of them does not exceed. ``samples`` is not empty, and need not be sorted."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
