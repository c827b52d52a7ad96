"""Schedules, seats and send times."""

from collections import deque

import pytest

from seatsync.load.schedule import RUSH_EVERY_S, RUSH_FACTOR, RUSH_S, Pace, SendTimes, spread
from seatsync.load.writer import SALES, Seat, take


def test_a_schedule_does_not_wait() -> None:
    """After a pause every change that was due in it is due, with its own time."""
    pace = Pace(10, 100.0)
    assert pace.due(99.9) == []
    assert pace.due(100.0) == [100.0]
    assert pace.due(101.05) == pytest.approx([100.1 + tenth / 10 for tenth in range(10)])


def test_a_rush_multiplies_the_rate() -> None:
    """A rush multiplies the rate for its length, once in each period."""
    pace = Pace(10, 0.0, rushes=True)
    times = pace.due(RUSH_EVERY_S - 1e-6)
    hurried = sum(time < RUSH_S for time in times)
    assert hurried == pytest.approx(10 * RUSH_FACTOR * RUSH_S, abs=1)
    assert len(times) - hurried == pytest.approx(10 * (RUSH_EVERY_S - RUSH_S), abs=1)


def test_clients_come_evenly() -> None:
    """Clients start at an even rate; without a ramp, all at once."""
    assert spread(4, 2.0) == [0.0, 0.5, 1.0, 1.5]
    assert spread(2, 0.0) == [0.0, 0.0]


def test_every_seat_has_a_next_status() -> None:
    """Every seat's next status differs, since an unchanged seat makes no revision."""
    assert set(SALES) == {"VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"}
    assert all(status != following for status, following in SALES.items())


def test_a_seat_that_is_being_changed_is_not_taken_again() -> None:
    """A seat with a change in flight is taken again only when it is back in the queue, after the others."""
    first, second, third = (Seat(number, "VACANT") for number in range(3))
    seats = deque([first, second, third])
    assert take(seats, 2) == [first, second]
    assert take(seats, 2) == []
    seats.append(first)
    assert take(seats, 2) == [third, first]


@pytest.fixture
def send_times() -> SendTimes:
    """Of two halls."""
    return SendTimes(2)


def test_send_times_are_kept(send_times: SendTimes) -> None:
    """Send times are found by hall and revision; others are unknown."""
    send_times.note(0, 5, 1.5)
    send_times.note(1, 5, 2.5)
    assert (send_times.when(0, 5), send_times.when(1, 5), send_times.when(0, 6)) == (1.5, 2.5, None)


def test_of_several_changes_in_a_revision_the_first_counts(send_times: SendTimes) -> None:
    """Of several changes in a revision the first one's time counts, since it has waited longest."""
    for at in (3.0, 1.0, 2.0):
        send_times.note(0, 5, at)
    assert send_times.when(0, 5) == 1.0


def test_old_revisions_make_room(send_times: SendTimes) -> None:
    """An overwritten entry is not read as the old revision's."""
    send_times.note(0, 5, 1.0)
    send_times.note(0, 5 + (1 << 18), 9.0)
    assert send_times.when(0, 5) is None
    assert send_times.when(0, 5 + (1 << 18)) == 9.0
