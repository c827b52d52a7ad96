"""What looking back costs in a history of fifty times the events: the answer should count, and not the total."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from seatsync.core.postgres.queries import load
from seatsync.hall.report import MAX_BUCKETS, ROLL_UP_EVENTS
from tests.bench.arithmetic import Values
from tests.bench.databases import DAYS, Size, SizedDatabase, open_databases
from tests.bench.measure import Bench, Figure, Measure
from tests.bench.scale import LARGE, RATIO, SMALL, Operation, compared, expect, timed

SEATS = 500
EVENTS = {SMALL: 100_000, LARGE: 5_000_000}
_QUICK = {SMALL: 10_000, LARGE: 100_000}
_BESIDE = Size(1, 1000)

#: Events between two whole checkpoints, as the server makes them in a hall of so many seats.
_APART = 2 * SEATS

_PAGE = 100
_STRIDE = 7919  # a prime: successive moments, and seats, are far apart
_QUERIES = load("history")

# The hall is vacant, becomes occupied seat by seat, then vacant again, and so on: at each checkpoint it is as at first.
_FILL = """
set session_replication_role = replica;

insert into hall (cinema_id, name, rows, places, rev) values (1, 'Looked at', 20, {seats} / 20, {events});

insert into seat (hall_id, seat_type_id, row, place, x, y)
select hall.id, 1, row, place, 40 * place, 40 * row
from hall, generate_series(1, hall.rows) row, generate_series(1, hall.places) place
where hall.name = 'Looked at';

select recount_seats(array_agg(id)) from hall where name = 'Looked at';

insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, at)
select
    s.hall_id, n, s.first + n * {stride}::bigint % {seats}, 'status',
    case when (n - 1) / {seats} % 2 = 0 then 'VACANT' else 'OCCUPIED' end::seat_status,
    case when (n - 1) / {seats} % 2 = 0 then 'OCCUPIED' else 'VACANT' end::seat_status,
    now() - interval '{days} days' * ({events} - n) / {events}
from (select hall_id, min(id) as first from seat group by hall_id) s
join hall on hall.id = s.hall_id and hall.name = 'Looked at'
cross join generate_series(1, {events}) n;

select checkpoint_halls(array_agg(id)) from hall;

insert into hall_checkpoint (hall_id, rev, epoch, whole, hall, types, seats, at)
select
    c.hall_id, n, c.epoch, true, c.hall, c.types, c.seats,
    c.at - interval '{days} days' * ({events} - n) / {events}
from hall_checkpoint c
join hall on hall.id = c.hall_id and hall.name = 'Looked at'
cross join generate_series(0, {events} - 1, {apart}) n;

set session_replication_role = origin;
"""


def fill(database: SizedDatabase, events: int) -> None:
    """Add a hall with so many events, a multiple of `_APART`."""
    database.fill()
    database.session.do(_FILL.format(seats=SEATS, events=events, days=DAYS, stride=_STRIDE, apart=_APART))
    while database.session.value("select index_history()"):
        pass
    while database.session.value("select roll_up_occupancy(100000)"):
        pass
    database.session.do("vacuum analyze")


def _hall(database: SizedDatabase) -> tuple[int, int]:
    """The hall, and its revision."""
    hall, rev = database.session.row("select id, rev from hall where name = 'Looked at'")
    return hall, rev


def _moment(rev: int, turn: int) -> int:
    """Another revision in each turn, spread over the history."""
    return turn * _STRIDE * _STRIDE % (rev - _PAGE) + _PAGE


def _near(rev: int, turn: int) -> int:
    return rev - turn % 20


def occupied(rev: int) -> int:
    """How many seats are occupied at a revision."""
    since = rev % (2 * SEATS)
    return min(since, 2 * SEATS - since)


def _hall_at(choose: Callable[[int, int], int]) -> Callable[[SizedDatabase, int], float]:
    """By SQL, at the time of a revision."""
    seats = "select count(*) filter (where status = 'OCCUPIED'), count(*) from hall_at($1, $2)"

    def figure(database: SizedDatabase, turn: int) -> float:
        hall, last = _hall(database)
        rev = choose(last, turn)
        at = database.session.value("select at from seat_event where hall_id = $1 and rev = $2", hall, rev)

        def look() -> None:
            result = database.query(seats, hall, at)
            expect([result.get_value(0, 0), result.get_value(0, 1)], [b"%d" % occupied(rev), b"%d" % SEATS])

        return timed(look)

    return figure


def _request(database: SizedDatabase, turn: int) -> float:
    """The query of `hall.at`."""
    hall, last = _hall(database)
    rev = _moment(last, turn)
    return timed(lambda: expect(database.query(_QUERIES["hall_then"].sql, hall, None, rev).ntuples, 1))


def _page(choose: Callable[[int, int], int]) -> Callable[[SizedDatabase, int], float]:
    def figure(database: SizedDatabase, turn: int) -> float:
        hall, last = _hall(database)
        rev = choose(last, turn) + 1
        return timed(lambda: expect(database.query(_QUERIES["hall_events"].sql, hall, rev, 0, _PAGE).ntuples, _PAGE))

    return figure


def _seat_page(database: SizedDatabase, turn: int) -> float:
    hall, last = _hall(database)
    seat = database.session.value("select min(id) from seat where hall_id = $1", hall) + turn * _STRIDE % SEATS
    wanted = min(20, last // SEATS)
    return timed(
        lambda: expect(database.query(_QUERIES["seat_events"].sql, hall, seat, last + 1, wanted).ntuples, wanted)
    )


def _report(bucket: str, buckets: int) -> Callable[[SizedDatabase, int], float]:
    """The query of `hall.report` for the whole history."""

    def figure(database: SizedDatabase, _: int) -> float:
        hall, _ = _hall(database)
        begins, ends = database.session.row(
            "select date_trunc('day', now(), 'UTC') - $1 * interval '1 day', date_trunc('day', now(), 'UTC')", DAYS
        )
        arguments = (hall, None, begins, ends, bucket, "UTC", MAX_BUCKETS + 1)
        return timed(lambda: expect(database.query(_QUERIES["report"].sql, *arguments).ntuples, buckets))

    return figure


def _idle(query: str, most: int) -> Callable[[SizedDatabase, int], float]:
    return lambda database, _: timed(lambda: expect(database.query(_QUERIES[query].sql, most).get_value(0, 0), b"0"))


AT_ANY, AT_NEAR = "hall_at, any moment of 30 days", "hall_at, the last 20 events"

OPERATIONS = (
    Operation(AT_ANY, _hall_at(_moment), 30),
    Operation(AT_NEAR, _hall_at(_near), 5),
    Operation("hall.at, as JSON", _request, 30),
    Operation("page of the newest 100 events", _page(_near)),
    Operation("page of 100 events, anywhere", _page(_moment)),
    Operation(
        "page of a seat's newest 20 events", _seat_page, 30, None
    ),  # today's, without its index, among all of today
    Operation("hall.report, 30 days by the hour", _report("hour", 24 * DAYS), 50),
    Operation("hall.report, 30 days by the day", _report("day", DAYS), 50),
    Operation("idle keep_checkpoints", _idle("keep_checkpoints", 50)),
    Operation("idle roll_up_occupancy", _idle("roll_up_occupancy", ROLL_UP_EVENTS)),
)
_BY_NAME = {operation.name: operation for operation in OPERATIONS}


@contextmanager
def _databases(bench: Bench) -> Iterator[dict[str, SizedDatabase]]:
    events = _QUICK if bench.quick else EVENTS
    with open_databases(
        bench.cores, dict.fromkeys(events, _BESIDE), fill=lambda name, one: fill(one, events[name])
    ) as made:
        yield made


def _run(bench: Bench, entrant: str) -> Values:
    operation = _BY_NAME[entrant]
    return compared(operation, bench.keep(_databases), bench.scaled(operation.turns, 3))


HISTORY = Measure(
    "history",
    "Looking back",
    f"A hall of {SEATS} seats of which one after the other changed, {EVENTS[SMALL]:,} times in {DAYS} days, and "
    f"{EVENTS[LARGE]:,} times, with whole checkpoints {_APART:,} events apart. Milliseconds from sending the query to "
    "its answer, the median over many moments or seats, as in the measure before this one: prepared, the databases by "
    f"turns, PostgreSQL with a core to itself. The ratio should be {RATIO} at most: the answer counts, not the total.",
    (
        Figure(SMALL, f"{EVENTS[SMALL]:,} events", 2),
        Figure(LARGE, f"{EVENTS[LARGE]:,} events", 2),
        Figure("ratio", "ratio", 2),
        Figure("goal", "goal ≤", 1),
        Figure("goal_ratio", "goal of the ratio ≤", 1),
    ),
    lambda _: [operation.name for operation in OPERATIONS],
    _run,
)
