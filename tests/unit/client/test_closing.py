"""Close frames and the waits after them: the server's advice, within reason, else a growing wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatsync.client import Timing
from seatsync.client.closing import Backoff, Closing

TIMING = Timing(first_backoff_s=1.0, last_backoff_s=8.0)


def test_the_servers_advice_is_followed() -> None:
    """A random wait within the window; however often the connection was lost."""
    closing = Closing.read(1001, '{"reason":"drain","retry_ms":[100,5000]}')
    assert str(closing) == "drain (1001)"
    backoff = Backoff(TIMING)
    waits = {backoff.wait_s(closing) for _ in range(50)}
    assert 0.1 <= min(waits) < max(waits) <= 5.0


@pytest.mark.parametrize("advice", ["[0, 1e999]", "[-5, 10]", "[9, 1]", '["a", 1]', "[1, null]", "[1, 2, 3]", "{}"])
def test_advice_that_cannot_be_followed_is_none(advice: str) -> None:
    """The reason is kept where it can be read."""
    assert Closing.read(1001, f'{{"reason": "drain", "retry_ms": {advice}}}').retry_ms is None


@given(st.integers(1000, 4999), st.text(max_size=123))
def test_any_reason_can_be_read(code: int, text: str) -> None:
    """A close frame of a proxy says what it likes."""
    assert str(code) in str(Closing.read(code, text))


def test_advice_has_a_bound() -> None:
    """Nobody waits for a day."""
    assert Closing.read(1001, '{"retry_ms": [0, 86400000]}').retry_ms == (0, 300_000)


def test_without_advice_waits_grow_up_to_a_limit() -> None:
    """They double; a connection that has lasted starts them anew."""
    backoff = Backoff(TIMING)
    waits = [backoff.wait_s(Closing(1006)) for _ in range(40)]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, [1, 2, 4, 8, 8], strict=False))
    assert 4 <= waits[-1] <= 8
    backoff.reset()
    assert backoff.wait_s(Closing(1006)) <= 1


def test_a_changed_login_is_followed_at_once() -> None:
    """Once: a server that goes on with it gets growing waits."""
    backoff = Backoff(TIMING)
    assert backoff.wait_s(Closing(4001)) == 0.0
    assert backoff.wait_s(Closing(4001)) >= 1.0
