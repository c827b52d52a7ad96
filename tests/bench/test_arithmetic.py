"""The arithmetic of the benchmarks."""

import pytest

from tests.bench.arithmetic import Bound, Rounds, percentile, rotated, verdict


def test_ratio_is_taken_within_each_round() -> None:
    """A round in which everything is slow does not move a ratio, though it moves the medians."""
    rounds = Rounds()
    for ours, theirs in ((2.0, 1.0), (20.0, 10.0), (2.2, 1.0)):
        rounds.add("ours", {"cpu": ours})
        rounds.add("theirs", {"cpu": theirs})
    assert rounds.ratio("ours", "theirs", "cpu") == 2.0
    assert rounds.median("ours", "cpu") == 2.2


def test_what_was_not_measured_has_no_figure() -> None:
    """An entrant that is missing, or a figure it does not have, is no zero."""
    rounds = Rounds({"pgbench": [{"rate": 1.0}]})
    assert rounds.median("pgbench", "cpu") is None
    assert rounds.median("absent", "rate") is None
    assert rounds.ratio("pgbench", "absent", "rate") is None
    assert verdict(None, Bound(1, at_most=True), None) == "not measured"


def test_spread_is_relative_to_the_median() -> None:
    """The noise of a figure: how far its rounds are apart."""
    assert Rounds({"ours": [{"cpu": 9.0}, {"cpu": 10.0}, {"cpu": 12.0}]}).spread("ours", "cpu") == pytest.approx(0.3)


def test_every_entrant_goes_first_once() -> None:
    """Rounds rotate, so that no entrant always follows the same one."""
    assert [rotated("abc", turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]
    assert rotated([], 1) == []


@pytest.mark.parametrize(
    ("figure", "expected"), [(1.0, "goal"), (1.25, "goal"), (1.3, "least"), (1.6, "least"), (1.7, "short")]
)
def test_verdict(figure: float, expected: str) -> None:
    """A figure on the limit is within it."""
    assert verdict(figure, Bound(1.25, at_most=True), Bound(1.6, at_most=True)) == expected


def test_verdict_without_a_least() -> None:
    """Without a least bound, a figure that misses the goal is not short of anything."""
    assert verdict(0.5, Bound(0.8, at_most=False), None) == "measured"


def test_percentile() -> None:
    """The highest percentile is the largest sample, whatever their order."""
    samples = [3.0, 1.0, 2.0, 4.0]
    assert percentile(samples, 50) == 3.0
    assert percentile(samples, 100) == 4.0
