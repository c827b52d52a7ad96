"""Statistics: nothing is lost or counted twice between the processes, and latencies count for every subscriber."""

import json
import os

from seatsync.load.client import Hall
from seatsync.load.faults import TOLD, Faults, Kind
from seatsync.load.plan import Plan
from seatsync.load.receipts import collect
from seatsync.load.stats import Count, Stats, Timing
from seatsync.load.timetable import Timetable
from seatsync.load.totals import Process, Totals
from seatsync.load.view import Album, Step, View

PLAN = Plan(
    scenario="watch",
    url="ws://localhost",
    processes=1,
    duration_s=4.0,
    patience_s=1.0,
    survive=False,
    heartbeat_s=0.0,
    sources=0,
    halls=(),
)


def filled() -> Stats:
    """Statistics with something of each."""
    stats = Stats()
    stats.counts[Count.FRAMES] += 3
    stats.timings[Timing.ANSWER].record(0.5)
    stats.faults.add(Kind.MISSING, "One is missing.", 2)
    return stats


def test_statistics_are_handed_over_once() -> None:
    """What was taken is whole, and gone."""
    stats = filled()
    taken = Stats.from_json(json.loads(json.dumps(stats.take())))
    assert taken == filled() or taken.faults.counts == filled().faults.counts
    assert (taken.counts, taken.timings) == (filled().counts, filled().timings)
    assert [fault.words for fault in taken.faults.first] == ["One is missing."]
    assert stats == Stats()


def test_faults_are_told_in_the_order_they_were_found() -> None:
    """Whichever process found them; ten in words, all in numbers."""
    mine, others = Faults(), Faults()
    for number in range(TOLD):
        for faults in (mine, others):
            faults.add(Kind.STATE, f"fault {number}")
    mine.merge(others)
    assert [fault.words for fault in mine.first] == [f"fault {number // 2}" for number in range(TOLD)]
    assert mine.total == 2 * TOLD


def test_rates_are_of_the_load_alone() -> None:
    """What happens before it and after it counts, but not for them."""
    totals = Totals(PLAN, (1,), [Process("one")], went_at=100.0, load_s=2.0)
    for phase, at in (("prepare", 99.0), ("load", 101.2), ("drain", 103.0)):
        message = {"phase": phase, "at": at, "cpu_s": 1.0, "live": 5, "stats": filled().take()}
        totals.add(0, json.loads(json.dumps(message)))
    assert totals.all.counts[Count.FRAMES] == 9
    assert totals.rate(totals.load.counts[Count.FRAMES]) == 1.5
    assert totals.busy(totals.processes[0]) == 0.5
    assert list(totals.series) == [1, 3]


def test_a_busy_client_is_doubted() -> None:
    """Its own queue is in the latencies."""
    totals = Totals(PLAN, (1,), [Process("one", cpu_s=1.99)], load_s=2.0)
    assert "'one' was busy" in totals.doubts()[0]
    totals.all.timings[Timing.LAG].record(0.02)
    assert "late" in totals.doubts()[1]


def test_receipts_count_for_every_subscriber_and_revision() -> None:
    """Two subscribers of a merged update of two revisions: four latencies, from when each was meant to be made."""
    descriptor = Timetable.create()
    timetable = Timetable(descriptor, 1)
    os.close(descriptor)
    hall = Hall(0, 7, Album())
    origin = View("a", 4, {}, {})
    step = Step(origin, View("a", 6, {}, {}), 5, 100, [11.0, 12.0])
    hall.album.steps.append(step)
    stats = Stats()

    timetable.note(0, 5, 9.0)
    step.received[0] = float("inf")  # not overdue yet: the writer's answer may still come
    collect([hall], timetable, stats)
    assert not stats.counts

    step.received[0] = 11.0
    timetable.note(0, 6, 10.0)
    collect([hall], timetable, stats)
    assert stats.counts == {Count.FRAMES: 2, Count.FRAME_BYTES: 200}
    assert stats.timings[Timing.RECEIVED].total == 4
    assert stats.timings[Timing.RECEIVED].max_s == 3.0
    assert hall.album.steps == []


def test_other_peoples_revisions_count_without_a_time() -> None:
    """Frames are frames."""
    descriptor = Timetable.create()
    timetable = Timetable(descriptor, 1)
    os.close(descriptor)
    hall = Hall(0, 7, Album())
    hall.album.steps.append(Step(View("a", 4, {}, {}), View("a", 5, {}, {}), 5, 100, [11.0]))
    stats = Stats()
    collect([hall], timetable, stats, at_once=True)
    assert stats.counts[Count.FRAMES] == 1
    assert Timing.RECEIVED not in stats.timings
