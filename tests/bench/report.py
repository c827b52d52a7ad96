"""RESULTS.md, and the tables on the terminal."""

from pathlib import Path

from tests.bench.arithmetic import TIMES
from tests.bench.catalogue import MEASURES
from tests.bench.explanations import EXPLANATIONS
from tests.bench.measure import Figure, Measure
from tests.bench.results import Outcome, Results
from tests.bench.targets import TARGETS

FILE = Path(__file__).parent / "RESULTS.md"

_INTRODUCTION = """\
# Benchmarks

Written by `make bench`; every figure can be had again with `python -m tests.bench MEASURE`. How they are taken stands \
in `tests/bench/__init__.py`: each server a process of its own on one core, the same client on another, rounds \
interleaved, medians over the rounds, ratios within them.
"""


def write_report(results: Results) -> Path:
    """Write the report of all that was ever measured and saved; returns where it is."""
    parts = [_INTRODUCTION, _machine(results), _targets(results), _shortfalls(results)]
    for measure in MEASURES:
        outcome = results.outcomes.get(measure.name)
        if outcome is not None:
            parts.append(_section(measure, outcome))
    FILE.write_text("\n".join(part for part in parts if part))
    return FILE


def table(measure: Measure, outcome: Outcome) -> str:
    """One measure's medians as a Markdown table."""
    headings = ["", *(figure.heading for figure in measure.figures), "rounds ±"]
    if measure.compared:
        headings.append(f"to {measure.baseline}")
    return _table(headings, [_row(measure, outcome, entrant) for entrant in outcome.rounds.by_entrant])


def _row(measure: Measure, outcome: Outcome, entrant: str) -> list[str]:
    rounds = outcome.rounds
    spread = rounds.spread(entrant, (measure.compared or measure.figures[0].key))
    cells = [entrant, *(_cell(rounds.median(entrant, figure.key), figure) for figure in measure.figures)]
    cells.append("" if spread is None else f"{spread / 2:.0%}")
    if measure.compared:
        ratio = rounds.ratio(entrant, measure.baseline, measure.compared)
        cells.append("" if ratio is None else f"{ratio:.2f} {TIMES}")
    return cells


def _cell(value: float | None, figure: Figure) -> str:
    return "" if value is None else f"{value:,.{figure.places}f}"


def _table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table that can be read as it is: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return f"| {first[0]:<{first[1]}} |" + "".join(f" {cell:>{width}} |" for cell, width in others)

    return "\n".join(line(cells) for cells in [headings, ruler, *rows]) + "\n"


def _machine(results: Results) -> str:
    newest = max(results.outcomes.values(), key=lambda outcome: outcome.date, default=None)
    if newest is None:
        return ""
    described = "; ".join(f"{name} {value}" for name, value in newest.machine.items())
    return f"{newest.date}. {described}.\n"


def _targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        figure = target.find(results)
        measured = "" if figure is None else f"{_sensible(figure)} {target.unit}".strip()
        least = "" if target.least is None else str(target.least)
        rows.append([target.text, str(target.goal), least, measured, target.verdict(results)])
    return "## Targets\n\n" + _table(["measure", "goal", "least", "measured", "reached"], rows)


def _sensible(figure: float) -> str:
    """Three digits that matter."""
    return f"{figure:,.0f}" if figure >= 100 or figure == int(figure) else f"{figure:.3g}"


def _shortfalls(results: Results) -> str:
    """Explanations of the targets that are missed."""
    lines = [
        f"- **{target.text}**: {EXPLANATIONS.get(target.key, 'not explained yet.')}\n"
        for target in TARGETS
        if target.verdict(results) not in {"goal", "not measured"}
    ]
    return "## What falls short of its goal, and why\n\n" + "".join(lines) if lines else ""


def _section(measure: Measure, outcome: Outcome) -> str:
    about = measure.about.format(update=outcome.update_bytes, hall=outcome.hall_bytes)
    rounds = max(map(len, outcome.rounds.by_entrant.values()), default=0)
    taken = f"{outcome.date}, {rounds} rounds, load average {outcome.load:.2f} when it began."
    absent = "".join(f" Without {entrant}: {reason}." for entrant, reason in outcome.absent.items())
    command = f"`python -m tests.bench {measure.name}`"
    return f"## {measure.title}\n\n{about}\n\n{table(measure, outcome)}\n{command}; {taken}{absent}\n"
