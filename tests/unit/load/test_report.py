"""Reports: the same figures on the terminal, as JSON and as a page that loads nothing from anywhere."""

import io
import json
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from attrs import evolve
from rich.console import Console

from seatsync.load.page import bins, page, ticks
from seatsync.load.report import as_json, show
from seatsync.load.stats import Count, Interval, Kind, Stats, Timing
from seatsync.load.totals import Totals, duration, number, title
from tests.unit.load.test_stats import PLAN, recorded


@pytest.fixture
def totals() -> Totals:
    """A test of four seconds."""
    totals = Totals(evolve(PLAN, clients=2, rate=1.0), (7,), {"watchers <1>": 0.0}, started_at=100.0, load_s=4.0)
    for second in range(4):
        stats = Stats()
        stats.counts[Count.FRAMES] = stats.counts[Count.ANSWERED] = 10 + second
        for sample in range(1, 11):
            stats.record(Timing.RECEIVED, sample * 0.001)
            stats.record(Timing.ANSWER, sample * 0.002)
        totals.add("watchers <1>", Interval("load", 100.5 + second, cpu_s=0.1, live=2, stats=stats))
    return totals


def shown(totals: Totals) -> str:
    """The report as terminal text, on an ordinary screen."""
    console = Console(file=io.StringIO(), width=80)
    show(totals, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"),
        (0.00087, "870 µs"),
        (0.00123, "1.23 ms"),
        (0.0456, "45.6 ms"),
        (0.789, "789 ms"),
        (12.34, "12.3 s"),
    ],
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    """Durations have three digits and a fitting unit."""
    assert duration(seconds) == text


def test_numbers_are_apart_by_thousands() -> None:
    """Thousands are separated; small numbers have one decimal unless it is zero."""
    assert [number(value) for value in (1234567.8, 12.34, 12.0)] == ["1,234,568", "12.3", "12"]


def test_a_histogram_has_all_samples() -> None:
    """A histogram has all samples, in ranges with round ends, with empty ranges in between."""
    histogram = recorded([0.0016, 0.0018, 0.0055])
    assert bins(histogram) == [(0.002, 2), (0.003, 0), (0.004, 0), (0.005, 0), (0.006, 1)]


@pytest.mark.parametrize(("most", "last"), [(0.0, 1.0), (7.0, 8.0), (100.0, 100.0), (0.0123, 0.015), (43.0, 50.0)])
def test_axes_end_at_a_round_number(most: float, last: float) -> None:
    """An axis ends at the first round number not below the highest value."""
    assert ticks(most)[-1] == pytest.approx(last)


def test_a_test_without_faults(totals: Totals) -> None:
    """A report without faults has the rates of the load, and both latencies apart."""
    text = shown(totals)
    assert "watch: clients 2, rate 1; hall 7; 4.00 s" in text
    assert re.search(r"frames\W+46\W+11.5", text)
    assert re.search(r"answer\W+10.0 ms", text)
    assert re.search(r"receive\W+5.0\d ms", text)
    assert "No fault" in text


def test_faults_are_sentences(totals: Totals) -> None:
    """Faults are counted by kind, then the first are listed, one a line."""
    totals.all.fault(Kind.MISSING, "Subscriber 1 never received revisions 6 to 7. " + "x" * 200, 2)
    totals.all.fault(Kind.STATE, "Subscriber 1 [sees] nonsense.")
    text = shown(totals)
    assert "Faults: 2 missing revisions, 1 wrong states." in text
    assert f"Subscriber 1 never received revisions 6 to 7. {'x' * 200}\n" in text
    assert "[sees]" in text


def test_json_has_the_same_figures(totals: Totals) -> None:
    """JSON has the same figures, with times in seconds and rates per second."""
    result = json.loads(json.dumps(as_json(totals)))
    assert result["counts"]["frames"] == 46
    assert result["rates"]["frames"] == 11.5
    assert result["timings"]["answer"]["p50"] == pytest.approx(0.01, rel=0.01)
    assert result["faults"] == {"total": 0, "counts": {}, "first": []}
    assert [second["clients"] for second in result["series"].values()] == [2, 2, 2, 2]
    assert list(result["series"]) == ["0", "1", "2", "3"]


def test_names_in_json_are_identifiers(totals: Totals) -> None:
    """All but the numbers of seconds and percentiles, so that programs can rely on them."""
    totals.all.fault(Kind.LOST_WRITE, "Seat 1 was lost.")
    totals.about = {"address": "ws://localhost"}

    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return {*value, *(name for each in value.values() for name in names(each))}
        return {name for each in value for name in names(each)} if isinstance(value, list) else set()

    found = names(json.loads(json.dumps(as_json(totals))))
    assert {"lost_write", "receive", "address"} <= found
    assert not {name for name in found if not re.fullmatch(r"[a-z_]+|p?\d+(\.\d+)?", name)}


def test_faults_are_red(totals: Totals) -> None:
    """On a terminal, and so is a limit that was passed."""
    totals.all.fault(Kind.STATE, "Subscriber 1 sees nonsense.")
    totals.failures = ["receive.p99 is 2.00 s: p99>50ms."]
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="standard")
    show(totals, console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    for words in ("Faults: 1 wrong", "sees nonsense", "Failed: receive.p99"):
        (line,) = (line for line in lines if words in line)
        assert line.startswith(("\x1b[31m", "\x1b[1;31m"))


def test_the_page_stands_alone(totals: Totals) -> None:
    """The page is one file, without script, link or image."""
    addresses: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "img", "iframe"}
            addresses.extend(name for name, _ in attrs if name in {"src", "href", "xlink:href"})

    text = page(totals)
    Reader().feed(text)
    assert addresses == []
    assert "url(" not in text
    assert "watchers &lt;1&gt;" in text


def test_the_plots_are_valid_and_show_what_was_measured(totals: Totals) -> None:
    """As histograms, and over time, clients too; every coordinate is a number inside the picture."""
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page(totals), re.DOTALL)]  # noqa: S314 - our own
    names = [drawing.findtext("title") for drawing in drawings]
    assert names == [
        "Histogram of answer",
        "Histogram of receive",
        "Frames received a second",
        "Changes answered a second",
        "Clients",
        "receive over time",
        "answer over time",
    ]
    for drawing in drawings:
        for line in drawing.iter("polyline"):
            points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
            assert len(points) > 1
            assert all(0 <= x <= 640 and 0 <= y <= 260 for x, y in points)


def test_a_test_without_anything_measured_has_a_page(totals: Totals) -> None:
    """A test without latencies, as of idle connections, has a page."""
    idle = Totals(evolve(PLAN, scenario="idle", clients=3, subscribe=False), (7,), {"one": 0.0}, load_s=1.0)
    assert "<svg" not in page(idle)
    assert title(idle) == "idle: clients 3; hall 7; 1.00 s"
    assert "No fault" in shown(idle)
