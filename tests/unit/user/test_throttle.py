"""Attempts that come too fast are refused."""

import pytest

from seatsync import errors
from seatsync.user.throttle import refuse_if


def test_waiting_is_an_error_that_says_how_long() -> None:
    """`retry_after` is what is left to wait."""
    with pytest.raises(errors.TooManyLoginAttempts) as caught:
        refuse_if(30, errors.TooManyLoginAttempts)
    assert caught.value.retry_after == 30


def test_nothing_to_wait_for_is_no_error() -> None:
    """0 lets the attempt through."""
    refuse_if(0, errors.TooManyLoginAttempts)
