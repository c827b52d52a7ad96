"""Thousands of holds that end in the same second, beside writers in the same halls."""

import time
from collections.abc import Callable

from tests.bench.arithmetic import Values, percentile
from tests.bench.herd import Herd, herd
from tests.bench.measure import Bench, Figure, Measure, ours_alone
from tests.bench.processes import BenchError
from tests.bench.writes import Ledger, Writer

HALLS, HELD, WRITERS_EACH = 20, 500, 2

#: Seconds from the making of the holds to their end.
_HOLD_S = 6

_WARM_UP_S = 1.0
_SLICE_S = 0.02

_ENDED = """
select array[extract(epoch from max(at))::float8, count(*)]
from seat_event
where kind = 'expired' and seat_id = any($1::bigint[])
"""


def _waits(connections: Herd, ledger: Ledger, until: Callable[[], bool]) -> list[tuple[float, list[float]]]:
    """The waits for answers, by slices of time, each with its end on the wall's clock."""
    slices = []
    while not until():
        ledger.waits_s.clear()
        connections.run_for(_SLICE_S)
        slices.append((time.time(), ledger.waits_s[:]))
    return slices


def _p99_ms(slices: list[tuple[float, list[float]]]) -> float:
    waits = [wait for _, some in slices for wait in some]
    if not waits:
        raise BenchError("no write was answered")
    return percentile(waits, 99) * 1000


def _run(bench: Bench, entrant: str) -> Values:
    halls = [bench.site.hall(HELD + WRITERS_EACH) for _ in range(HALLS)]
    held = [seat for hall in halls for seat in hall.seats[:HELD]]
    ledger = Ledger()
    writers = [Writer(ledger, hall.id, [seat]) for hall in halls for seat in hall.seats[HELD:]]
    with bench.server(entrant) as server, herd(server.url) as connections:
        connections.open(writers, bench.site.tokens(len(writers)))
        due = _made(bench, held)
        for writer in writers:
            writer.begin()
        connections.run_for(_WARM_UP_S)
        quiet = _waits(connections, ledger, lambda: time.time() > due - _SLICE_S)
        busy = _waits(connections, ledger, lambda: time.time() > due + bench.scaled(3, 2))
        last, ended = bench.site.value(_ENDED, held)
    if ended != len(held):
        raise BenchError(f"{ended:.0f} of {len(held)} holds have ended")
    meanwhile = [(at, waits) for at, waits in busy if at - _SLICE_S <= last]
    quiet_ms, busy_ms = _p99_ms(quiet), _p99_ms(meanwhile)
    return {
        "gone_ms": (last - due) * 1000,
        "quiet_ms": quiet_ms,
        "busy_ms": busy_ms,
        "ratio": busy_ms / quiet_ms,
        "faults": ledger.faults,
    }


def _made(bench: Bench, seats: list[int]) -> float:
    """Hold the seats; when they are due, in seconds of the epoch."""
    bench.site.value("select hold_seats($1::bigint[], $2)", seats, _HOLD_S)
    due = bench.site.value("select extract(epoch from max(hold_until))::float8 from seat where id = any($1)", seats)
    return float(due)


HOLDS = Measure(
    "holds",
    "Holds that end together",
    f"{HALLS * HELD:,} holds in {HALLS} halls that are due in the same second, while {HALLS * WRITERS_EACH} "
    f"connections, {WRITERS_EACH} in each of these halls, change a seat of their own as fast as they are answered. "
    "From when they are due to the last one's end, by the history; and for how long the writers waited for their "
    "answers before that and meanwhile. Durable, as the writes.",
    (
        Figure("gone_ms", "all gone after ms", 0),
        Figure("quiet_ms", "writers' p99 ms before"),
        Figure("busy_ms", "p99 ms meanwhile"),
        Figure("ratio", "meanwhile to before", 2),
        Figure("faults", "failed", 0),
    ),
    ours_alone,
    _run,
)
