"""Changes by plain SQL at a steady pace, from a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from tests.faults.scene import SQL_CHANGE


@contextmanager
def paced_changes(dsn: str, seats: Sequence[int], *, rate: float, at_once: int = 1) -> Iterator[list[float]]:
    """So many changes a second, each of ``at_once`` seats in turn; yields the times at which they were committed."""
    stopping = threading.Event()
    committed: list[float] = []

    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            began, number = time.monotonic(), 0
            while not stopping.is_set():
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                first = number * at_once % len(seats)
                await connection.execute(
                    f"{SQL_CHANGE} where id = any($1::bigint[])", [*seats, *seats][first : first + at_once]
                )
                committed.append(time.monotonic())
                number += 1
        finally:
            await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield committed
    finally:
        stopping.set()
        thread.join()
