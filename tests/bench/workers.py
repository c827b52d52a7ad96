"""Two workers beside one: what a second one adds when there is a core for it."""

from contextlib import ExitStack

from tests.bench.arithmetic import Values
from tests.bench.measure import Bench, Figure, Measure
from tests.bench.quota import limited
from tests.bench.requests import CONNECTIONS, ask

ONE, TWO = "one worker", "two workers"

#: Of a core, for each worker: the rest of two cores is enough for the client.
SHARE = 0.4


def _run(bench: Bench, entrant: str) -> Values:
    count = 1 if entrant == ONE else 2
    samples = bench.samples
    with ExitStack() as stack:
        server = stack.enter_context(bench.site.run(workers=count, cores=bench.cores.all))
        for pid in server.pids[1:] or server.pids:
            stack.enter_context(limited(pid, SHARE))
        return ask(server, samples.hall_request, samples.hall, bench.scaled(30, 10) / 10)


WORKERS = Measure(
    "workers",
    "Two workers beside one",
    f"Requests as above, {CONNECTIONS} connections. Each worker may use {SHARE:.0%} of a core (a control group's "
    "quota), which leaves the client more than it needs: so two cores show what a second worker adds when client and "
    "workers do not take each other's core.",
    (
        Figure("rate", "answers/s", 0),
        Figure("cpu_us", "CPU µs", 1),
        Figure("busy", "of one core %", 0),
        Figure("faults", "wrong answers", 0),
    ),
    lambda _: [ONE, TWO],
    _run,
    compared="rate",
    baseline=ONE,
)
