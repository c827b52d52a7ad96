"""The targets, as a table."""

from collections.abc import Callable, Iterable

from attrs import frozen

from tests.bench.arithmetic import TIMES, Bound, verdict
from tests.bench.entrants import FLOOR, NODE, PICOWS, TRIO, WEBSOCKETS
from tests.bench.history import AT_ANY, AT_NEAR, HISTORY
from tests.bench.history import OPERATIONS as LOOKS_BACK
from tests.bench.results import Results
from tests.bench.scale import CHANGES, FIRSTS, LARGE, LIST, OPERATIONS, RATIO, SCALE
from tests.bench.site import SEATS_SYNC
from tests.bench.workers import ONE, TWO
from tests.bench.writes import PGBENCH

Find = Callable[[Results], float | None]


@frozen
class Target:
    """One line of the table."""

    key: str
    """Under which `EXPLANATIONS` speaks of it."""
    text: str
    goal: Bound
    least: Bound | None
    find: Find
    """The figure, from all results; ``None`` where it was not measured."""
    unit: str = ""

    def verdict(self, results: Results) -> str:
        """How it stands."""
        return verdict(self.find(results), self.goal, self.least)


def _at_most(limit: float) -> Bound:
    return Bound(limit, at_most=True)


def _at_least(limit: float) -> Bound:
    return Bound(limit, at_most=False)


def _median(measure: str, figure: str, entrant: str = SEATS_SYNC) -> Find:
    def find(results: Results) -> float | None:
        outcome = results.outcomes.get(measure)
        return None if outcome is None else outcome.rounds.median(entrant, figure)

    return find


def _ratio(measure: str, figure: str, other: str, entrant: str = SEATS_SYNC) -> Find:
    def find(results: Results) -> float | None:
        outcome = results.outcomes.get(measure)
        return None if outcome is None else outcome.rounds.ratio(entrant, other, figure)

    return find


def _worst(finds: Iterable[Find], pick: Callable[[list[float]], float]) -> Find:
    """One figure for several: the one that is furthest from the goal. Not measured unless all are."""
    chosen = list(finds)

    def find(results: Results) -> float | None:
        found = [one(results) for one in chosen]
        measured = [figure for figure in found if figure is not None]
        return pick(measured) if measured and len(measured) == len(found) else None

    return find


def _faults(results: Results) -> float | None:
    """All of them, in all rounds of all measures, of ours."""
    return sum(
        values.get("faults", 0)
        for outcome in results.outcomes.values()
        for entrant, rounds in outcome.rounds.by_entrant.items()
        if entrant.startswith((SEATS_SYNC, ONE, TWO))
        for values in rounds
    )


def _per_frame(subscribers: int) -> list[Target]:
    measure = f"fanout-{subscribers}"
    return [
        Target(
            f"{measure}-floor",
            f"CPU per frame, {subscribers:,} subscribers, to the C loop's",
            _at_most(1.25),
            _at_most(1.6),
            _ratio(measure, "cpu_us", FLOOR),
            TIMES,
        ),
        *(
            Target(
                f"{measure}-{other}",
                f"the same, to that of {other}",
                _at_most(1),
                None if other == PICOWS else _at_most(1),
                _ratio(measure, "cpu_us", other),
                TIMES,
            )
            for other in (PICOWS, NODE, WEBSOCKETS)
        ),
    ]


def _both_ways(measure: str, other: str) -> Find:
    """The ratio of rates, or of rates per CPU second where that is less: then the client was the bottleneck."""
    return _worst((_ratio(measure, "rate", other), _ratio(measure, "per_cpu", other)), min)


TARGETS: tuple[Target, ...] = (
    *_per_frame(1000),
    *_per_frame(5000),
    Target(
        "latency-p50",
        "commit→received, 1,000 subscribers, 20 changes/s: p50",
        _at_most(5),
        _at_most(8),
        _median("fanout-1000", "p50_ms"),
        "ms",
    ),
    Target("latency-p99", "the same: p99", _at_most(12), _at_most(25), _median("fanout-1000", "p99_ms"), "ms"),
    Target(
        "latency-idle",
        "commit→received, 1 subscriber, idle: p50",
        _at_most(1),
        _at_most(2),
        _median("latency-idle", "p50_ms"),
        "ms",
    ),
    Target(
        "writes",
        "durable writes/s, one worker, to pgbench's one-row commits without a trigger",
        _at_least(1),
        _at_least(0.5),
        _ratio("writes", "rate", PGBENCH),
        TIMES,
    ),
    Target(
        "requests",
        "requests/s (`hall.get`), to trio-websocket's echo",
        _at_least(1.5),
        _at_least(1),
        _both_ways("requests", TRIO),
        TIMES,
    ),
    Target(
        "handshakes-trio",
        "handshakes/s, one worker, to trio-websocket's",
        _at_least(2),
        _at_least(1),
        _both_ways("handshakes", TRIO),
        TIMES,
    ),
    Target("handshakes-node", "the same, to Node ws's", _at_least(0.8), None, _both_ways("handshakes", NODE), TIMES),
    Target(
        "join",
        "join (connect, sign in, snapshot of 500 seats), one worker",
        _at_least(2000),
        _at_least(1000),
        _median("join", "rate"),
        "clients/s",
    ),
    Target(
        "memory",
        "memory per idle connection with one hall subscription",
        _at_most(12),
        _at_most(18),
        _median("memory", "kib"),
        "KiB",
    ),
    Target(
        "bulk",
        "5,000 subscribers, one bulk change of 500 seats: all have it after",
        _at_most(250),
        _at_most(600),
        _median("bulk", "all_ms"),
        "ms",
    ),
    Target(
        "workers",
        "throughput of two workers, to that of one",
        _at_least(1.8),
        None,
        _ratio("workers", "rate", ONE, TWO),
        TIMES,
    ),
    Target(
        "holds",
        "10,000 holds in 20 halls that end in the same second: all gone after",
        _at_most(2000),
        None,
        _median("holds", "gone_ms"),
        "ms",
    ),
    Target("holds-writers", "writers' p99 meanwhile, to before", _at_most(2), None, _median("holds", "ratio"), TIMES),
    Target(
        "scale-change",
        "a seat changed by SQL, the slowest hall of 1,060,000 seats",
        _at_most(0.5),
        None,
        _worst((_median(SCALE.name, LARGE, name) for name in CHANGES), max),
        "ms",
    ),
    Target("scale-list", "the list of 10,000 halls", _at_most(100), None, _median(SCALE.name, LARGE, LIST), "ms"),
    Target(
        "scale-first",
        "the slowest first statement of a session there",
        _at_most(2000),
        None,
        _worst((_median(SCALE.name, LARGE, name) for name in FIRSTS), max),
        "ms",
    ),
    Target(
        "scale-ratio",
        "the same statement there, to 160,000 seats: the worst",
        _at_most(RATIO),
        None,
        _worst((_median(SCALE.name, "ratio", one.name) for one in OPERATIONS if one.ratio is not None), max),
        TIMES,
    ),
    Target(
        "history-any",
        "a hall of 500 seats as it was, 5 million events, any moment of 30 days",
        _at_most(30),
        None,
        _median(HISTORY.name, LARGE, AT_ANY),
        "ms",
    ),
    Target("history-near", "the same, a moment ago", _at_most(5), None, _median(HISTORY.name, LARGE, AT_NEAR), "ms"),
    Target(
        "history-ratio",
        "looking back there, to 100,000 events: the worst",
        _at_most(RATIO),
        None,
        _worst((_median(HISTORY.name, "ratio", one.name) for one in LOOKS_BACK if one.ratio is not None), max),
        TIMES,
    ),
    Target("faults", "missing, repeated, reordered, in every run", _at_most(0), _at_most(0), _faults),
)
