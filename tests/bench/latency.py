"""How long a change takes to arrive: with one subscriber and nothing else to do, and a bulk change with thousands."""

from statistics import median

from tests.bench.arithmetic import Values, percentile
from tests.bench.fanout import Load, watch_ours
from tests.bench.measure import FAULTS, Bench, Figure, Measure, ours_alone
from tests.bench.samples import LARGE

_IDLE_PACE = 20.0
_BULK_PACE = 1.0


def _idle(bench: Bench, entrant: str) -> Values:
    with bench.server(entrant) as server:
        watched = watch_ours(bench, server, Load(1, bench.scaled(100, 20)), pace=_IDLE_PACE)
    return {
        "p50_ms": percentile(watched.from_commit, 50),
        "p99_ms": percentile(watched.from_commit, 99),
        "sent_p50_ms": percentile(watched.from_sending, 50),
        "sent_p99_ms": percentile(watched.from_sending, 99),
        "faults": watched.stream.faults,
    }


IDLE = Measure(
    "latency-idle",
    "One subscriber, nothing else to do",
    f"A change of one seat by SQL, {_IDLE_PACE:g} times a second. From the commit: from PostgreSQL's answer to the "
    "statement. From sending: with the statement's run and its flush to disk.",
    (
        Figure("p50_ms", "commit→received p50 ms", 2),
        Figure("p99_ms", "p99 ms", 2),
        Figure("sent_p50_ms", "sent→received p50 ms", 2),
        Figure("sent_p99_ms", "p99 ms", 2),
        FAULTS,
    ),
    ours_alone,
    _idle,
)


def _bulk(bench: Bench, entrant: str) -> Values:
    load = Load(5000, bench.scaled(3, 2))
    with bench.server(entrant) as server:
        watched = watch_ours(bench, server, load, pace=_BULK_PACE, seats=LARGE)
    # latencies come change by change, one for each subscriber
    changes = [watched.from_commit[at : at + load.subscribers] for at in range(0, len(watched.from_commit), 5000)]
    return {
        "all_ms": median(max(change) for change in changes),
        "half_ms": median(percentile(change, 50) for change in changes),
        "cpu_us": watched.spent.server / watched.stream.frames * 1e6,
        "faults": watched.stream.faults,
    }


BULK = Measure(
    "bulk",
    "A bulk change for 5,000 subscribers",
    f"One statement changes all {LARGE} seats of a hall: too much for a notification, so the server fetches it. From "
    "the commit until the last of 5,000 subscribers has read it. All of them are in one client process, whose reading, "
    "one after the other, is in the time.",
    (
        Figure("all_ms", "all have it after ms", 0),
        Figure("half_ms", "half have it after ms", 0),
        Figure("cpu_us", "CPU µs/frame", 1),
        FAULTS,
    ),
    ours_alone,
    _bulk,
)
