"""Acknowledged changes: one that is not in the hall is found; one that was followed by another is not lost."""

from typing import Any

import pytest

from seatsync.load.address import Address
from seatsync.load.check import FinalCheck
from seatsync.load.client import Context, Hall
from seatsync.load.loop import Loop
from seatsync.load.schedule import SendTimes
from seatsync.load.stats import Kind, Stats
from seatsync.load.view import Acknowledged, View
from tests.unit.load.test_stats import PLAN


def seat(status: str, minute: int) -> dict[str, Any]:
    """Seat 1 as an answer has it."""
    return {"id": 1, "status": status, "updated_at": f"2026-01-01T00:{minute:02}:00.000Z", "note": None}


def hall(status: str, minute: int) -> View:
    """A fresh snapshot."""
    now = seat(status, minute)
    return View("a", 9, {1: (now["status"], now["updated_at"], None)}, {})


@pytest.fixture
def acknowledged() -> Acknowledged:
    """Seat 1 was acknowledged as OCCUPIED since minute 5."""
    acknowledged = Acknowledged()
    acknowledged.add(7, [seat("OCCUPIED", 5)])
    return acknowledged


@pytest.mark.parametrize("later", [hall("OCCUPIED", 5), hall("VACANT", 6), hall("OCCUPIED", 6)])
def test_a_change_that_is_there_or_was_followed_is_kept(acknowledged: Acknowledged, later: View) -> None:
    """A change is kept if it is in the hall or was followed by another."""
    assert acknowledged.take_lost(later) == []


@pytest.mark.parametrize("lost", [hall("VACANT", 4), hall("VACANT", 5), View("a", 9, {}, {})])
def test_a_change_that_is_not_there_is_lost(acknowledged: Acknowledged, lost: View) -> None:
    """A change is lost if the seat has its old status, or is gone."""
    assert len(acknowledged.take_lost(lost)) == 1


def test_replies_may_come_in_any_order(acknowledged: Acknowledged) -> None:
    """Of two replies the one with the higher revision is the newer."""
    acknowledged.add(6, [seat("VACANT", 4)])
    assert acknowledged.take_lost(hall("OCCUPIED", 5)) == []


def test_a_hall_that_is_refused_is_not_asked_for_again() -> None:
    """A retry that was still to come finds nothing to do."""
    loop, stats, changed = Loop(), Stats(), Hall(0, 7)
    changed.acknowledged.add(7, [seat("OCCUPIED", 5)])
    check = FinalCheck(Context(loop, Address.parse("localhost:9"), SendTimes(1), stats, [changed], PLAN), [], None)
    for code in ("ServiceUnavailable", "HallNotFound"):
        check.received({"eid": "0", "error": code, "retry_after": 0.001, "data": None}, 0.0)
    loop.after(0.002, loop.stop)
    loop.run()
    assert check.poll()
    check.stop()
    loop.close()
    assert stats.faults[Kind.REFUSED] == 1
