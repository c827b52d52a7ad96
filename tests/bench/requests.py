"""Requests and answers, one at a time on each of 64 connections, as fast as the server goes."""

from time import monotonic

from attrs import define

from tests.bench.account import cpu_s
from tests.bench.arithmetic import Values
from tests.bench.entrants import TRIO
from tests.bench.herd import Member, herd
from tests.bench.measure import Bench, Figure, Measure
from tests.bench.processes import Server

CONNECTIONS = 64

_WARM_UP_S = 0.3
_TS = b',"ts":'


@define(eq=False)
class Exchange:
    """The request of all clients, the answer it must have, and how often it had it."""

    request: bytes
    expected: bytes
    """The answer up to the server's clock."""
    answers: int = 0
    faults: int = 0


class Asker(Member):
    """Sends its next request when it has its answer."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """Check an answer and send the next request."""
        exchange = self._exchange
        exchange.answers += 1
        if not data.startswith(exchange.expected, start):
            exchange.faults += 1
        self.connection.send(exchange.request)


def ask(server: Server, request: bytes, answer: bytes, seconds: float) -> Values:
    """Keep a request in flight on every connection for so many seconds. Raises `BenchError`."""
    exchange = Exchange(request, answer[: answer.rindex(_TS)])
    with herd(server.url) as askers:
        askers.open(Asker(exchange) for _ in range(CONNECTIONS))
        for asker in askers.members:
            asker.connection.send(request)
        askers.run_for(_WARM_UP_S)
        answers, before, began = exchange.answers, cpu_s(server.pids), monotonic()
        askers.run_for(seconds)
        passed_s, spent_s = monotonic() - began, cpu_s(server.pids) - before
        answers = exchange.answers - answers
    return {
        "rate": answers / passed_s,
        "per_cpu": answers / spent_s,
        "cpu_us": spent_s / answers * 1e6,
        "busy": spent_s / passed_s * 100,
        "faults": exchange.faults,
    }


def _run(bench: Bench, entrant: str) -> Values:
    samples = bench.samples
    with bench.server(entrant, samples.hall) as server:
        return ask(server, samples.hall_request, samples.hall, bench.scaled(30, 10) / 10)


REQUESTS = Measure(
    "requests",
    "Requests and answers",
    f"{CONNECTIONS} connections, each with one request under way: `hall.get` of a hall of 8 seats. Ours reads the "
    "request, checks it and answers with the hall; the field sends the same {hall} bytes back to any message, so "
    "this is our work against a bare echo. Where the server is not at 100 % of its core the client was the bottleneck: "
    "compare answers per CPU second there.",
    (
        Figure("rate", "answers/s", 0),
        Figure("per_cpu", "answers per CPU second", 0),
        Figure("cpu_us", "CPU µs", 1),
        Figure("busy", "server's core %", 0),
        Figure("faults", "wrong answers", 0),
    ),
    lambda bench: bench.all_entrants,
    _run,
    compared="per_cpu",
    baseline=TRIO,
)
