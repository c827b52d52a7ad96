"""Promises: an answered change that is not in the hall is found, and one that was overtaken is none."""

from typing import Any

import pytest

from seatsync.load.promises import Promises
from seatsync.load.view import View


def seat(status: str, minute: int) -> dict[str, Any]:
    """Seat 1 as an answer has it."""
    return {"id": 1, "status": status, "updated_at": f"2026-01-01T00:{minute:02}:00.000Z", "note": None}


def hall(status: str, minute: int) -> View:
    """What a fresh snapshot shows."""
    now = seat(status, minute)
    return View("a", 9, {1: (now["status"], now["updated_at"], None)}, {})


@pytest.fixture
def promises() -> Promises:
    """Seat 1 was answered to be OCCUPIED since minute 5."""
    promises = Promises()
    promises.keep(7, [seat("OCCUPIED", 5)])
    return promises


@pytest.mark.parametrize("later", [hall("OCCUPIED", 5), hall("VACANT", 6), hall("OCCUPIED", 6)])
def test_a_change_that_is_there_or_was_followed_is_kept(promises: Promises, later: View) -> None:
    """Others may have changed the seat since."""
    assert list(promises.broken(later)) == []


@pytest.mark.parametrize("lost", [hall("VACANT", 4), hall("VACANT", 5), View("a", 9, {}, {})])
def test_a_change_that_is_not_there_is_lost(promises: Promises, lost: View) -> None:
    """The seat is as it was before, or gone."""
    assert len(list(promises.broken(lost))) == 1


def test_answers_may_overtake_each_other(promises: Promises) -> None:
    """The one with the higher revision is the newer."""
    promises.keep(6, [seat("VACANT", 4)])
    assert list(promises.broken(hall("OCCUPIED", 5))) == []
