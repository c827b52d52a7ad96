"""Changes by plain SQL at a steady pace, from a thread of its own."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.faults.scene import SQL_CHANGE
from tests.support.database import open_session


@contextmanager
def paced_changes(dsn: str, seats: Sequence[int], *, rate: float, at_once: int = 1) -> Iterator[list[float]]:
    """So many changes a second, each of ``at_once`` seats in turn; yields the times at which they were committed."""
    stopping = threading.Event()
    committed: list[float] = []

    def run() -> None:
        with open_session(dsn) as session:
            began, number = time.monotonic(), 0
            while not stopping.is_set():
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                first = number * at_once % len(seats)
                session.do(f"{SQL_CHANGE} where id = any($1::bigint[])", [*seats, *seats][first : first + at_once])
                committed.append(time.monotonic())
                number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield committed
    finally:
        stopping.set()
        thread.join()
