"""Polling, with a limit, for conditions that send no event."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from tests.support.client import PATIENCE_S, http

T = TypeVar("T")


async def eventually(ask: Callable[[], Awaitable[T]]) -> T:
    """The first answer that is true; fails the test when none comes within `PATIENCE_S`."""
    with trio.fail_after(PATIENCE_S):
        while True:
            if answer := await ask():
                return answer
            await trio.sleep(0.01)


async def metric(port: int, name: str) -> float:
    """A gauge or a counter of the server, as it is now."""
    answer = await http(port, "GET", "/metrics")
    for line in answer.body.decode().splitlines():
        if line.startswith(f"seatsync_{name} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"there is no metric {name}")


async def metric_is(port: int, name: str, value: float) -> None:
    """Wait until a metric has that value."""

    async def ask() -> bool:
        return await metric(port, name) == value

    await eventually(ask)
