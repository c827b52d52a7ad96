"""Polling, with a limit, for conditions that send no event."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from tests.support.client import PATIENCE_S, http

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T]]) -> T:
    """The first true result; fails the test when there is none within `PATIENCE_S`.

    The pauses grow with the wait, by a fifth of it: a long one does not keep the server busy.
    """
    started = trio.current_time()
    with trio.fail_after(PATIENCE_S):
        while True:
            if answer := await check():
                return answer
            await trio.sleep(min(0.005 + (trio.current_time() - started) / 5, 0.05))


async def metric(port: int, name: str) -> float:
    """The present value of a gauge or counter of the server; 0 for a counter with labels that it does not have yet."""
    answer = await http(port, "GET", "/metrics")
    for line in answer.body.decode().splitlines():
        if line.startswith(f"seatsync_{name} "):
            return float(line.rpartition(" ")[2])
    if "{" in name:
        return 0
    raise AssertionError(f"there is no metric {name}")


async def metric_is(port: int, name: str, value: float) -> None:
    """Wait until a metric has that value."""

    async def check() -> bool:
        return await metric(port, name) == value

    await eventually(check)
