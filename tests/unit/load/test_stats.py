"""Statistics: read back as recorded, neither lost nor counted twice between processes, one latency a subscriber."""

import multiprocessing

from hypothesis import given
from hypothesis import strategies as st

from seatsync.load.client import Hall
from seatsync.load.plan import Plan, Share
from seatsync.load.schedule import SendTimes
from seatsync.load.stats import SENTENCES, Count, Histogram, Interval, Kind, Stats, Timing
from seatsync.load.totals import Totals
from seatsync.load.view import Step, View, Views
from seatsync.load.worker import Worker, count_received

PLAN = Plan(
    scenario="watch",
    url="ws://localhost",
    processes=1,
    duration_s=4.0,
    patience_s=1.0,
    survive=False,
    heartbeat_s=0.0,
    halls=(),
)

latencies = st.lists(st.floats(0, 3600, allow_nan=False), min_size=1, max_size=50)


def recorded(values: list[float]) -> Histogram:
    """A histogram of these."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(latencies, st.floats(0.1, 100))
def test_a_percentile_is_at_most_a_little_high(values: list[float], percent: float) -> None:
    """A percentile is at most 1 µs below the true one and at most 0.8 % above it."""
    exact = sorted(values)[max(0, -int(-len(values) * percent // 100) - 1)]
    found = recorded(values).percentile(percent)
    assert exact - 1e-6 <= found <= exact * 1.008 + 1e-6


@given(latencies, latencies)
def test_histograms_add_up(first: list[float], second: list[float]) -> None:
    """Two processes' histograms add up to the one of a single process."""
    sum_ = recorded(first)
    sum_.add(recorded(second))
    assert sum_ == recorded(first + second)


def test_the_longest_is_exact() -> None:
    """The longest sample is exact, however wide its bucket."""
    histogram = recorded([0.001, 12.345678])
    assert histogram.max_s == histogram.percentile(100) == 12.345678


def test_a_clock_that_steps_back_counts_as_zero() -> None:
    """A negative duration counts as zero."""
    assert recorded([-0.5]).percentile(50) == 0


def test_without_samples_everything_is_zero() -> None:
    """An empty histogram is all zero."""
    assert Histogram().percentile(99) == Histogram().mean_s == 0


def filled() -> Stats:
    """Statistics with something of each."""
    stats = Stats()
    stats.counts[Count.FRAMES] += 3
    stats.record(Timing.ANSWER, 0.5)
    stats.fault(Kind.MISSING, "One is missing.", 2)
    return stats


def test_statistics_are_reported_once() -> None:
    """Reported statistics are reset; the next interval belongs to the next phase."""
    ours, theirs = multiprocessing.Pipe()
    worker = Worker(Share(name="one", plan=PLAN, halls={}), SendTimes(1), theirs)
    worker.stats.merge(filled())
    for phase in ("load", None):
        worker.report(phase)
    with ours, theirs:
        (_, first), (_, second) = ours.recv(), ours.recv()
    assert (first.phase, first.stats.counts, first.stats.timings) == ("prepare", filled().counts, filled().timings)
    assert [fault.text for fault in first.stats.first_faults] == ["One is missing."]
    assert (second.phase, second.stats) == ("load", Stats())


def test_faults_keep_the_order_they_were_found_in() -> None:
    """Faults of all processes are in the order found: ten as sentences, all in numbers."""
    mine, others = Stats(), Stats()
    for number in range(SENTENCES):
        for stats in (mine, others):
            stats.fault(Kind.STATE, f"fault {number}")
    mine.merge(others)
    assert [fault.text for fault in mine.first_faults] == [f"fault {number // 2}" for number in range(SENTENCES)]
    assert mine.faults == {Kind.STATE: 2 * SENTENCES}


def test_rates_are_of_the_load_alone() -> None:
    """Ramp and end count in totals but not in rates."""
    totals = Totals(PLAN, (1,), {"one": 0.0}, started_at=100.0, load_s=2.0)
    for phase, at in (("prepare", 99.0), ("load", 101.5), ("drain", 103.5)):
        totals.add("one", Interval(phase, at, cpu_s=1.0, live=5, stats=filled()))
    assert totals.all.counts[Count.FRAMES] == 9
    assert totals.rate(totals.load.counts[Count.FRAMES]) == 1.5
    assert totals.busy() == {"one": 0.5}
    assert list(totals.series) == [1, 3]


def test_a_busy_client_is_warned_of() -> None:
    """A busy client is warned of, since its own queue is in the latencies."""
    totals = Totals(PLAN, (1,), {"one": 1.99}, load_s=2.0)
    assert "'one' was busy" in totals.doubts()[0]
    totals.all.record(Timing.LAG, 0.02)
    assert "late" in totals.doubts()[1]


def one_step(rev: int, received: list[float]) -> tuple[Hall, SendTimes, Step]:
    """A hall whose revisions 5 to ``rev`` were received, as one frame, at these times."""
    send_times = SendTimes(1)
    step = Step(View("a", 4, {}, {}), View("a", rev, {}, {}), 5, 100, received)
    hall = Hall(0, 7, Views())
    hall.views.steps.append(step)
    return hall, send_times, step


def test_latencies_count_for_every_subscriber_and_revision() -> None:
    """Two subscribers of a merged update of two revisions: four latencies, each from when its change was due."""
    hall, send_times, step = one_step(6, [float("inf"), 12.0])
    stats = Stats()
    send_times.note(0, 5, 9.0)
    count_received([hall], send_times, stats)
    assert not stats.counts  # the writer's reply may still come

    step.received[0] = 11.0
    send_times.note(0, 6, 10.0)
    count_received([hall], send_times, stats)
    assert stats.counts == {Count.FRAMES: 2, Count.FRAME_BYTES: 200}
    assert stats.timings[Timing.RECEIVED].total == 4
    assert stats.timings[Timing.RECEIVED].max_s == 3.0
    assert hall.views.steps == []


def test_foreign_revisions_count_without_a_latency() -> None:
    """Revisions by others count as frames without a latency."""
    hall, send_times, _ = one_step(5, [11.0])
    stats = Stats()
    count_received([hall], send_times, stats, final=True)
    assert stats.counts[Count.FRAMES] == 1
    assert Timing.RECEIVED not in stats.timings
