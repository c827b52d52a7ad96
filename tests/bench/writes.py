"""Durable writes through the protocol, beside what PostgreSQL does when nothing stands before or behind it."""

import re
import subprocess
from time import monotonic

from attrs import define, field

from seatsync.core.embedded.programs import find_program
from tests.bench.arithmetic import Values, percentile
from tests.bench.herd import Member, herd
from tests.bench.machine import running_on
from tests.bench.measure import Bench, Figure, Measure
from tests.bench.processes import BenchError
from tests.bench.samples import request

CONNECTIONS, PIPELINED = 64, 8
PGBENCH = "pgbench"

_PGBENCH_CLIENTS = 16
_WARM_UP_S = 0.5
_EID, _SUCCESS = b'"eid":"', b'"status":"success"'
_HEAD_BYTES = 80

_TABLE = """
drop table if exists bench_row;
create table bench_row (
    id bigint primary key, status text not null, note text, updated_at timestamptz not null default now()
) with (fillfactor = 80);
insert into bench_row (id, status) select n, 'VACANT' from generate_series(1, {rows}) n;
vacuum analyze bench_row
"""
_SCRIPT = """\\set id random(1, {rows})
update bench_row
set status = case when status = 'VACANT' then 'RESERVED' else 'VACANT' end, updated_at = clock_timestamp()
where id = :id;
"""


@define(eq=False)
class Ledger:
    """The answers to all writers."""

    answers: int = 0
    faults: int = 0
    waits_s: list[float] = field(factory=list)


class Writer(Member):
    """One connection that keeps `PIPELINED` writes under way, each of a seat of its own, to and fro."""

    def __init__(self, ledger: Ledger, hall: int, seats: list[int]) -> None:
        self._ledger = ledger
        self._requests = [
            [
                request("hall.update_seat_status", {"hall_id": hall, "seat_id": seat, "status": status}, str(place))
                for status in ("RESERVED", "VACANT")
            ]
            for place, seat in enumerate(seats)
        ]
        self._done = [0] * len(seats)
        self._sent = [0.0] * len(seats)

    def begin(self) -> None:
        """Send the first of each."""
        for place in range(len(self._requests)):
            self._send(place)

    def _send(self, place: int) -> None:
        self._sent[place] = monotonic()
        self.connection.send(self._requests[place][self._done[place] % 2])

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """An answer: send the next change of that seat."""
        at = data.rindex(_EID, start, end) + len(_EID)
        place = int(data[at : data.index(b'"', at)])
        ledger = self._ledger
        ledger.answers += 1
        ledger.waits_s.append(now - self._sent[place])
        if data.find(_SUCCESS, start, start + _HEAD_BYTES) < 0:
            ledger.faults += 1
        self._done[place] += 1
        self._send(place)


def _ours(bench: Bench, entrant: str, seconds: float) -> Values:
    hall = bench.site.hall(CONNECTIONS * PIPELINED)
    ledger = Ledger()
    shares = [hall.seats[start : start + PIPELINED] for start in range(0, len(hall.seats), PIPELINED)]
    writers = [Writer(ledger, hall.id, share) for share in shares]
    with bench.server(entrant) as server, herd(server.url) as connections:
        connections.open(writers, bench.site.tokens(len(writers)))
        for writer in writers:
            writer.begin()
        connections.run_for(_WARM_UP_S)
        ledger.answers, began, before = 0, monotonic(), bench.site.spent(server)
        ledger.waits_s.clear()
        connections.run_for(seconds)
        passed_s, spent, answers = monotonic() - began, bench.site.spent(server) - before, ledger.answers
    return {
        "rate": answers / passed_s,
        "p50_ms": percentile(ledger.waits_s, 50) * 1000,
        "p99_ms": percentile(ledger.waits_s, 99) * 1000,
        "cpu_us": spent.server / answers * 1e6,
        "postgres_us": spent.postgres / answers * 1e6,
        "faults": ledger.faults,
    }


def _pgbench(bench: Bench, seconds: float) -> Values:
    program = find_program(PGBENCH)
    if program is None:
        raise BenchError("there is no pgbench beside the embedded PostgreSQL")
    rows = CONNECTIONS * PIPELINED
    for statement in _TABLE.format(rows=rows).split(";"):
        bench.site.sql(statement)
    script = bench.site.directory / "pgbench.sql"
    script.write_text(_SCRIPT.format(rows=rows))
    options = f"-n -M prepared -c {_PGBENCH_CLIENTS} -j 1 -T {seconds:.0f}".split()
    before, began = bench.site.postgres_cpu_s(), monotonic()
    with running_on({bench.cores.client}):
        done = subprocess.run(
            [program, *options, "-f", script, bench.site.dsn], capture_output=True, text=True, check=False
        )
    passed_s, spent_s = monotonic() - began, bench.site.postgres_cpu_s() - before
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    latency = re.search(r"latency average = ([0-9.]+) ms", done.stdout)
    if rate is None or latency is None:
        raise BenchError(f"pgbench failed: {done.stderr.strip().rpartition(chr(10))[2]}")
    return {
        "rate": float(rate[1]),
        "p50_ms": float(latency[1]),
        "postgres_us": spent_s / (float(rate[1]) * passed_s) * 1e6,
    }


def _run(bench: Bench, entrant: str) -> Values:
    seconds = bench.scaled(5, 2)
    bench.site.move_postgres(bench.cores.all)
    try:
        return _pgbench(bench, seconds) if entrant == PGBENCH else _ours(bench, entrant, seconds)
    finally:
        bench.site.move_postgres(bench.cores.others)


WRITES = Measure(
    "writes",
    "Durable writes",
    f"{CONNECTIONS} connections with {PIPELINED} changes of a seat under way each, through the protocol: signed in, "
    "checked, in the history, announced to every server, and committed to disk before they are answered. Beside them "
    f"what PostgreSQL alone does for {_PGBENCH_CLIENTS} pgbench clients that update one row of a plain table, without "
    "any trigger, with prepared statements; its p50 is the mean. The same cluster, fsync on, PostgreSQL on all cores.",
    (
        Figure("rate", "writes/s", 0),
        Figure("p50_ms", "p50 ms"),
        Figure("p99_ms", "p99 ms"),
        Figure("cpu_us", "CPU µs/write", 0),
        Figure("postgres_us", "PostgreSQL µs/write", 0),
        Figure("faults", "failed", 0),
    ),
    lambda bench: [PGBENCH, *bench.ours],
    _run,
    compared="rate",
    baseline=PGBENCH,
)
