"""Hypothesis against PostgreSQL and running servers.

Each run tries the same examples, so that it ends as the last one did. EXAMPLES_FACTOR=20 tries that many times more,
other ones every time.
"""

import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

T = TypeVar("T")

_FACTOR = int(os.environ.get("EXAMPLES_FACTOR", "1"))


def examples(count: int) -> settings:
    """Settings for that many examples, which may be slow."""
    return settings(
        max_examples=count * _FACTOR,
        derandomize=_FACTOR == 1,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


async def for_all(strategy: st.SearchStrategy[T], holds: Callable[[T], Awaitable[None]], count: int) -> None:
    """Await ``holds`` for that many examples, generated in a thread and run in the event loop of the server.

    Raises the error of the smallest failing one.
    """

    @examples(count)
    @given(strategy)
    def try_out(example: T) -> None:
        trio.from_thread.run(holds, example)

    await trio.to_thread.run_sync(try_out)
