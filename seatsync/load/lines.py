"""What the processes of a test say to each other: lines of JSON, on standard input and output."""

import os
import sys
from collections.abc import Callable
from time import monotonic, process_time
from typing import Any

import orjson
from attrs import define, field

from seatsync.load.stats import Stats

#: How often statistics are handed over, in seconds.
REPORT_S = 0.5


def say(word: str, **details: Any) -> None:
    """Tell the parent; raises `BrokenPipeError` when it is gone."""
    sys.stdout.buffer.write(orjson.dumps({"say": word, **details}, option=orjson.OPT_NON_STR_KEYS) + b"\n")
    sys.stdout.buffer.flush()


def hush() -> None:
    """Say nothing more: what is still to be written must not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def first_line() -> Any:
    """The first line of standard input. Nothing may follow it before something was said."""
    return orjson.loads(sys.stdin.buffer.readline())


class Lines:
    """Lines of JSON as they come in on a descriptor."""

    def __init__(self, descriptor: int, on_line: Callable[[dict[str, Any]], None], on_end: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_line = on_line
        self._on_end = on_end
        self._rest = b""

    def read(self) -> None:
        """Take what there is, waiting for it if there is nothing."""
        data = os.read(self._descriptor, 1 << 20)
        if not data:
            self._on_end()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(orjson.loads(line))


@define
class Reporter:
    """Hands statistics over, each interval under the phase it was in."""

    stats: Stats
    live: Callable[[], int]
    """How many clients have what they came for, just now."""
    _phase: str = "prepare"
    _cpu_s: float = field(factory=process_time)

    def report(self, next_phase: str | None = None) -> None:
        """Hand over what there is; what comes from now on is of the next phase, if one is named."""
        cpu_s, before = process_time(), self._cpu_s
        self._cpu_s = cpu_s
        say(
            "stats",
            phase=self._phase,
            at=monotonic(),
            cpu_s=cpu_s - before,
            live=self.live(),
            stats=self.stats.take(),
        )
        self._phase = next_phase or self._phase
