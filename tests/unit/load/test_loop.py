"""The loop: timers come in order and when they are due, and descriptors are served until they are forgotten."""

import os
from collections.abc import Iterator
from functools import partial
from time import monotonic

import pytest

from seatsync.load.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop of the test's own."""
    loop = Loop()
    yield loop
    loop.close()


def test_timers_run_in_the_order_of_their_times(loop: Loop) -> None:
    """Timers run in the order of their times; equal ones in the order they were set."""
    now = monotonic()
    ran: list[str] = []
    for when, name in ((0.002, "c"), (0.0, "a"), (0.001, "b"), (0.001, "b2")):
        loop.at(now + when, partial(ran.append, name))
    loop.at(now + 0.003, loop.stop)
    loop.run()
    assert ran == ["a", "b", "b2", "c"]


def test_a_timer_is_never_early(loop: Loop) -> None:
    """A timer is never early: latencies from intended times would be negative."""
    when = monotonic() + 0.0105
    ran: list[float] = []

    def run() -> None:
        ran.append(monotonic())
        loop.stop()

    loop.at(when, run)
    loop.run()
    assert ran[0] >= when


def test_a_descriptor_forgotten_in_a_round_is_not_served_in_it(loop: Loop) -> None:
    """A descriptor forgotten by a callback is not served in the same round."""
    pipes = [os.pipe(), os.pipe()]
    served: list[int] = []

    def serve(reader: int, _: int) -> None:
        served.append(reader)
        for other, _ in pipes:
            loop.forget(other)
        loop.stop()

    for reader, writer in pipes:
        os.write(writer, b"x")
        loop.watch(reader, partial(serve, reader))
    loop.run()
    assert len(served) == 1
    for ends in pipes:
        for end in ends:
            os.close(end)
