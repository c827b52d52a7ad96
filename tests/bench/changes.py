"""Changes made by SQL, at a pace, in a process of their own: when each was sent, and when it was committed.

    python -m tests.bench.changes DSN HALL PACE COUNT [SEATS]

Prints ``ready``, waits for a line, changes ``SEATS`` seats (1 by default) of the hall ``COUNT`` times, ``PACE`` times
a second, and prints a JSON list of pairs of times on `time.monotonic`, which all processes of the machine share: when
the statement was sent, and when PostgreSQL's answer came. The commit was in between. The schedule does not wait for
answers that come late; a statement is sent when it is due or, if the one before it has no answer yet, just after it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import psycopg
from attrs import define, field

from tests.bench.herd import Herd
from tests.bench.machine import running_on
from tests.bench.processes import ROOT, BenchError, python
from tests.bench.site import Hall, Site

_SQL = """
update seat set status = case when status = 'VACANT' then 'RESERVED' else 'VACANT' end::seat_status
where id = any($1::bigint[])
"""


def _change(dsn: str, hall: int, pace: float, count: int, at_once: int) -> list[tuple[float, float]]:
    with psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        seats = [row[0] for row in connection.execute("select id from seat where hall_id = $1 order by id", [hall])]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        times: list[tuple[float, float]] = []
        start = monotonic()
        for number in range(count):
            wanted = [seats[(number * at_once + offset) % len(seats)] for offset in range(at_once)]
            sleep(max(0.0, start + number / pace - monotonic()))
            sent = monotonic()
            connection.execute(_SQL, [wanted], prepare=True)
            times.append((sent, monotonic()))
    return times


@define
class Changes:
    """The process, as the measure sees it."""

    process: "subprocess.Popen[bytes]"
    _printed: bytes = b""
    times: list[tuple[float, float]] = field(factory=list)
    """When each change was sent and answered, once all are done."""

    def begin(self, herd: Herd) -> None:
        """Start the schedule; `times` is filled in from the herd's loop, which is stopped then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        output = self.process.stdout

        def readable(_: int) -> None:
            chunk = output.read1(1 << 16)  # type: ignore[attr-defined]  # a BufferedReader
            self._printed += chunk
            if not chunk:
                herd.loop.forget(output.fileno())
                self.times = [(sent, answered) for sent, answered in json.loads(self._printed or b"[]")]
                if not self.times:
                    herd.fail("The changes could not be made.")
                herd.loop.stop()

        herd.loop.watch(output.fileno(), readable)


@contextmanager
def changes(site: Site, hall: Hall, pace: float, count: int, seats: int = 1) -> Iterator[Changes]:
    """A process that is connected and waits for `Changes.begin`. Raises `BenchError`."""
    command = [*python("tests.bench.changes"), site.dsn, str(hall.id), str(pace), str(count), str(seats)]
    with running_on(site.cores.others):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    with process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise BenchError("the process that makes the changes did not start")
            yield Changes(process)
        finally:
            process.kill()


if __name__ == "__main__":
    _dsn, _hall, _pace, _count, *_seats = sys.argv[1:]
    _times = _change(_dsn, int(_hall), float(_pace), int(_count), int(_seats[0]) if _seats else 1)
    sys.stdout.write(json.dumps(_times))
