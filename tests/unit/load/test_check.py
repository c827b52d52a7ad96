"""Acknowledged changes: one that is not in the hall is found; one that was followed by another is not lost."""

from typing import Any

import pytest

from seatsync.load.view import Acknowledged, View


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
