"""Figures as people read them, and the table of a test's results that every report is made of."""

from collections.abc import Iterator

from attrs import frozen

from seatsync.load.faults import Kind
from seatsync.load.histogram import Histogram
from seatsync.load.stats import Count, Timing
from seatsync.load.totals import Totals

PERCENTILES = (50.0, 90.0, 99.0, 99.9)

_KILO, _MILLI, _MICRO = 1000, 1e-3, 1e-6
_TENS = 10


def duration(seconds: float) -> str:
    """Such as ``870 µs``, ``12.3 ms``, ``4.56 s``: three digits."""
    for size, unit in ((1.0, "s"), (_MILLI, "ms")):
        if seconds >= size:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= _TENS**2 else f"{value:.{1 if value >= _TENS else 2}f} {unit}"
    return f"{seconds / _MICRO:.0f} µs"


def number(value: float) -> str:
    """With thousands apart; small ones with a digit behind the point."""
    return f"{value:,.0f}" if value >= _TENS**2 or value == int(value) else f"{value:.1f}"


@frozen
class Row:
    """One count of the table."""

    name: str
    total: int
    rate: float | None
    """A second, under load; ``None`` where that says nothing."""


def counts(totals: Totals) -> Iterator[Row]:
    """What was counted, leaving out what has not happened."""
    for name, count in _COUNTED:
        total = totals.all.counts[count]
        if total:
            yield Row(name, total, totals.rate(totals.load.counts[count]))


_COUNTED = (
    ("connections made", Count.OPENED),
    ("clients joined", Count.JOINED),
    ("clients left", Count.LEFT),
    ("frames received", Count.FRAMES),
    ("bytes received", Count.FRAME_BYTES),
    ("changes answered", Count.ANSWERED),
    ("seats changed", Count.SEATS),
    ("changes refused", Count.REFUSED),
    ("changes sent again", Count.RESENT),
    ("connections lost", Count.LOST),
    ("subscriptions resumed", Count.RESUMED),
    ("snapshots received", Count.SNAPSHOTS),
    ("notices of a stale feed", Count.STALE),
)


def timings(totals: Totals) -> Iterator[tuple[Timing, Histogram]]:
    """What was measured, in the order of the table."""
    for timing in Timing:
        histogram = totals.all.timings.get(timing)
        if histogram is not None and histogram.total:
            yield timing, histogram


def verdict(totals: Totals) -> str:
    """The sentence that matters."""
    faults = totals.all.faults
    if not faults.total:
        return "No fault: nothing missing, repeated or reordered, and every state as it should be."
    return "Faults: " + ", ".join(f"{faults.counts[kind]:,} {kind}" for kind in Kind if faults.counts[kind]) + "."


def title(totals: Totals) -> str:
    """What was done."""
    plan = totals.plan
    halls = ", ".join(map(str, totals.halls))
    what = {
        "watch": f"{plan.clients:,} subscribers, {_changes(totals)}",
        "write": f"{plan.writers:,} connections, {_changes(totals)}",
        "join": f"{plan.clients:,} clients join {f'within {number(plan.ramp_s)} s' if plan.ramp_s else 'at once'}",
        "idle": f"{plan.clients:,} connections{', each with a subscription' if plan.subscribe else ''}",
        "mixed": f"{plan.clients:,} visitors, {number(plan.rate)} sales a second and rushes",
    }[plan.scenario]
    return f"{plan.scenario}: {what}; hall {halls}; {duration(totals.load_s)}"


def _changes(totals: Totals) -> str:
    plan = totals.plan
    seats = f" of {plan.bulk} seats" if plan.bulk > 1 else ""
    if plan.rate:
        changes = f"{number(plan.rate)} change{'' if plan.rate == 1 else 's'}{seats} a second"
        return f"{changes} by SQL" if plan.via == "sql" else changes
    if plan.scenario == "watch":
        return "no changes of its own"
    return f"{plan.pipeline} change{'s' if plan.pipeline > 1 else ''}{seats} at a time on each"
