"""Throttled attempts."""

import pytest

from seatsync import errors
from seatsync.user.store import Proof


def test_a_throttled_attempt_is_refused() -> None:
    """`retry_after` is the rest of the wait."""
    with pytest.raises(errors.TooManyLoginAttempts) as caught:
        Proof(1, 30).check_wait(errors.TooManyLoginAttempts)
    assert caught.value.retry_after == 30


def test_an_attempt_without_a_wait_is_admitted() -> None:
    """It raises nothing."""
    Proof(1, 0).check_wait(errors.TooManyLoginAttempts)
