"""Handshakes, 64 at a time, as fast as the server accepts them."""

from time import monotonic

from tests.bench.account import cpu_s
from tests.bench.arithmetic import Values
from tests.bench.entrants import TRIO
from tests.bench.herd import AT_ONCE, Member, herd
from tests.bench.measure import Bench, Figure, Measure


def _run(bench: Bench, entrant: str) -> Values:
    count = bench.scaled(4000, 1000)
    with bench.server(entrant) as server, herd(server.url) as guests:
        guests.open([Member()])
        before, began = cpu_s(server.pids), monotonic()
        guests.open([Member() for _ in range(count)])
        passed_s, spent_s = monotonic() - began, cpu_s(server.pids) - before
    return {
        "rate": count / passed_s,
        "per_cpu": count / spent_s,
        "cpu_us": spent_s / count * 1e6,
        "busy": spent_s / passed_s * 100,
    }


HANDSHAKES = Measure(
    "handshakes",
    "Handshakes",
    f"Connections of guests, {AT_ONCE} handshakes under way, none closed meanwhile. Ours checks host and origin, reads "
    "the cookies and makes the visitor's; its line of log comes when a connection ends. Where the server is not at "
    "100 % of its core the client was the bottleneck: compare handshakes per CPU second there.",
    (
        Figure("rate", "handshakes/s", 0),
        Figure("per_cpu", "handshakes per CPU second", 0),
        Figure("cpu_us", "CPU µs", 0),
        Figure("busy", "server's core %", 0),
    ),
    lambda bench: bench.all_entrants,
    _run,
    compared="per_cpu",
    baseline=TRIO,
)
