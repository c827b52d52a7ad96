"""Limits of a test's figures: read at once, and each with a sentence where it is passed."""

from argparse import ArgumentTypeError

import pytest
from attrs import evolve

from seatsync.load.limits import Limit
from seatsync.load.plan import Scenario
from seatsync.load.stats import Count, Interval, Stats, Timing
from seatsync.load.totals import Totals
from tests.unit.load.test_stats import PLAN


def measured(scenario: Scenario = "watch") -> Totals:
    """Two seconds with a hundred changes: answered within 10 ms, received within 20 ms."""
    totals = Totals(evolve(PLAN, scenario=scenario), (7,), {"one": 0.0}, started_at=100.0, load_s=2.0)
    stats = Stats()
    for sample in range(1, 101):
        stats.record(Timing.ANSWER, sample * 0.0001)
        stats.record(Timing.RECEIVED, sample * 0.0002)
    stats.counts[Count.ANSWERED] = 100
    totals.add("one", Interval("load", 101.0, cpu_s=0.1, live=2, stats=stats))
    return totals


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("p99>19ms", "receive.p99 is 19.8 ms: p99>19ms."),
        ("p99 > 25 ms", None),
        ("p99.9>19999us", "receive.p99.9 is 20.0 ms: p99.9>19999us."),
        ("answer.max>=0.01s", "answer.max is 10.0 ms: answer.max>=0.01s."),
        ("answer.mean>5ms", "answer.mean is 5.05 ms: answer.mean>5ms."),
        ("answer.p50<1ms", None),
        ("answered<=100", "answered is 100: answered<=100."),
        ("answered/s<60", "answered/s is 50: answered/s<60."),
        ("lost>0", None),
        ("away.p50>1s", "away was never measured: away.p50>1s."),
    ],
)
def test_a_limit_is_compared(text: str, sentence: str | None) -> None:
    """With the figure of the report; a time that was never measured keeps to no limit."""
    assert Limit.parse(text).failure(measured()) == sentence


@pytest.mark.parametrize(("scenario", "name"), [("watch", "receive"), ("mixed", "receive"), ("write", "answer")])
def test_a_time_without_a_name_is_the_main_one(scenario: Scenario, name: str) -> None:
    """Of the scenario."""
    assert (Limit.parse("max>1us").failure(measured(scenario)) or "").startswith(f"{name}.max is ")


@pytest.mark.parametrize("text", ["", "p99", "p99>50", "p99>fast", "lost>5ms", "p100>1s", "p99=5ms", "answered/min<9"])
def test_anything_else_is_refused(text: str) -> None:
    """Before the test begins, and with examples."""
    with pytest.raises(ArgumentTypeError, match=r"must be like p99>50ms"):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("text", "known"), [("reply.p99>1s", "answer, receive, connect"), ("requests/s<9", "opened, joined, left, frames")]
)
def test_a_name_that_there_is_not_is_refused(text: str, known: str) -> None:
    """With those that there are."""
    with pytest.raises(ArgumentTypeError, match=rf"is none of {known}"):
        Limit.parse(text)
