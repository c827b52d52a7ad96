"""What statements cost in a database of ten times the halls: the answer should count, and not the total."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from time import perf_counter

from attrs import frozen

from seatsync.core.postgres.queries import load
from tests.bench.arithmetic import Values, rotated
from tests.bench.databases import BIG, BIGGEST, DAYS, ORDINARY, Size, SizedDatabase, open_databases
from tests.bench.measure import Bench, Figure, Measure
from tests.bench.processes import BenchError
from tests.support.sql import User
from tests.support.writes import Item, Request, arguments

SMALL, LARGE = "small", "large"
RATIO = 1.3
"""What a figure may be in the large database, if it is 1 in the small one."""

SIZES = {SMALL: Size(1000, 5_000_000), LARGE: Size(10_000, 5_000_000)}
_QUICK = {SMALL: Size(100, 100_000), LARGE: Size(1000, 100_000)}
_WARM_UP = 6  # after five uses PostgreSQL may keep a plan
_KEPT_DAYS = DAYS + 1  # drops nothing, even after midnight
_HALL, _CINEMA = load("hall"), load("cinema")
_WHOLE = 2  # the column of hall_changes


@frozen
class Operation:
    """One row of the table."""

    name: str
    figure: Callable[[SizedDatabase, int], float]
    """Milliseconds, or what the name says, in a database; each turn in another place."""
    goal: float | None = None
    ratio: float | None = RATIO
    turns: int = 100


def timed(work: Callable[[], object]) -> float:
    """The milliseconds that it takes."""
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1000


def expect(found: object, wanted: object) -> None:
    """Raise `BenchError` unless the answer is as it should be."""
    if found != wanted:
        raise BenchError(f"the database does not answer as expected: {found!r} instead of {wanted!r}")


def _to_and_fro(change: Callable[[str], object], wanted: object) -> float:
    """The mean of a change and of its opposite: each turn begins alike."""
    found: list[object] = []
    passed = timed(lambda: found.extend(change(status) for status in ("OCCUPIED", "VACANT")))
    expect(found, [wanted, wanted])
    return passed / 2


def _one_seat(seats: int) -> Callable[[SizedDatabase, int], float]:
    def figure(database: SizedDatabase, turn: int) -> float:
        (seat,) = database.size.pick(seats, turn).seats
        return _to_and_fro(lambda status: _change(database, seat, status), 1)

    return figure


def _change(database: SizedDatabase, seat: int, status: str) -> int | None:
    return database.run(f"update seat set status = '{status}' where id = {seat}").command_tuples


def _first_change(database: SizedDatabase, turn: int) -> float:
    (seat,) = database.size.pick(BIGGEST, turn).seats
    with database.opened_again() as fresh:
        passed = timed(lambda: _change(fresh, seat, "OCCUPIED"))
        _change(fresh, seat, "VACANT")
        return passed


def _change_seats(database: SizedDatabase, turn: int) -> float:
    ids = database.size.pick(ORDINARY, turn, 10).seats
    return _to_and_fro(
        lambda status: database.run(f"select change_seats(array{ids}, '{status}')").get_value(0, 0), b"10"
    )


def _write(database: SizedDatabase, turn: int) -> float:
    hall = database.size.pick(ORDINARY, turn)
    user = User(*database.session.row("select user_id, id from session"))

    def change(status: str) -> bytes | None:
        request = Request(user, hall.id, [Item(hall.seats[0], status)])
        return database.query(_HALL["write"].sql, *arguments([request])).get_value(0, 1)

    return _to_and_fro(change, None)


def _resume(seats: int, revisions: int | None) -> Callable[[SizedDatabase, int], float]:
    """After so many revisions, or after all there were."""

    def figure(database: SizedDatabase, turn: int) -> float:
        hall = database.size.pick(seats, turn).id
        rev, epoch = database.session.row("select rev, wire_epoch(epoch) from hall where id = $1", hall)
        since = 0 if revisions is None else rev - revisions
        return timed(
            lambda: expect(
                database.query(_HALL["changes"].sql, hall, since, epoch).get_value(0, _WHOLE),
                b"f" if revisions is None else b"t",
            )
        )

    return figure


def _prune(database: SizedDatabase, _: int) -> float:
    return timed(lambda: expect(database.query(_HALL["keep_history"].sql, _KEPT_DAYS).get_value(0, 0), b"0"))


def _prune_pages(database: SizedDatabase, _: int) -> float:
    plan = database.session.value(f"explain (analyze, buffers, format json) select keep_history({_KEPT_DAYS})")
    return pages(json.loads(plan))


def _list(database: SizedDatabase, _: int) -> float:
    return timed(lambda: database.query(_CINEMA["list"].sql))


def _first_list(database: SizedDatabase, turn: int) -> float:
    with database.opened_again() as fresh:
        return _list(fresh, turn)


def _snapshot(database: SizedDatabase, turn: int) -> float:
    hall = database.size.pick(ORDINARY, turn).id
    return timed(lambda: database.query(_HALL["snapshot"].sql, hall))


def pages(plan: list[dict[str, dict[str, int]]]) -> int:
    """The pages that an explained statement has read, from memory or not."""
    return plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]


CHANGES = tuple(f"one seat by SQL, hall of {seats:,}" for seats in (ORDINARY, BIG, BIGGEST))
LIST = "list of cinemas"
FIRSTS = ("first change of a session", "first list of a session")

OPERATIONS = (
    *(Operation(name, _one_seat(seats), 0.5) for name, seats in zip(CHANGES, (ORDINARY, BIG, BIGGEST), strict=True)),
    Operation(FIRSTS[0], _first_change, 2000, None, turns=5),
    Operation("change_seats, 10 seats", _change_seats),
    Operation("a user's write", _write),
    Operation("resume, 10 revisions", _resume(ORDINARY, 10)),
    Operation("resume, all revisions", _resume(BIGGEST, None)),
    Operation("idle keep_history", _prune),
    Operation("idle keep_history, pages", _prune_pages, 100, turns=5),
    Operation(LIST, _list, 100, None, turns=10),
    Operation(FIRSTS[1], _first_list, 2000, None, turns=5),
    Operation(f"snapshot, {ORDINARY} seats", _snapshot, None, None),
)
_BY_NAME = {operation.name: operation for operation in OPERATIONS}


@contextmanager
def _databases(bench: Bench) -> Iterator[dict[str, SizedDatabase]]:
    with open_databases(bench.cores, _QUICK if bench.quick else SIZES) as databases:
        yield databases


def _run(bench: Bench, entrant: str) -> Values:
    operation = _BY_NAME[entrant]
    return compared(operation, bench.keep(_databases), bench.scaled(operation.turns, 3))


def compared(operation: Operation, databases: Mapping[str, SizedDatabase], turns: int) -> Values:
    """The medians of an operation in the databases, by turns, and the ratio; with its goals."""
    found: dict[str, list[float]] = {SMALL: [], LARGE: []}
    for turn in range(-_WARM_UP, turns):
        for name in rotated([SMALL, LARGE], turn):
            figure = operation.figure(databases[name], abs(turn))
            if turn >= 0:
                found[name].append(figure)
    values = {name: median(figures) for name, figures in found.items()}
    values["ratio"] = values[LARGE] / values[SMALL]
    goals = {"goal": operation.goal, "goal_ratio": operation.ratio}
    return values | {name: goal for name, goal in goals.items() if goal is not None}


SCALE = Measure(
    "scale",
    "Ten times the halls",
    f"A statement in a database of {SIZES[SMALL].halls:,} halls of {ORDINARY} seats, and in one of "
    f"{SIZES[LARGE].halls:,}: milliseconds from sending it to its answer, or the pages it reads. "
    f"Each database has a hall of {BIG:,} and one of {BIGGEST:,} seats besides, and {SIZES[SMALL].events:,} "
    f"events of the past {DAYS} days. Changes are committed, and nobody listens; the disk is not waited for (`fsync` "
    "and `synchronous_commit` are off). PostgreSQL has the server's core to itself. A round takes the median over many "
    "halls or seats, the databases by turns. Queries of the server are prepared, statements of a maintainer are not.",
    (
        Figure(SMALL, f"{SIZES[SMALL].seats:,} seats", 2),
        Figure(LARGE, f"{SIZES[LARGE].seats:,} seats", 2),
        Figure("ratio", "ratio", 2),
        Figure("goal", "goal ≤", 1),
        Figure("goal_ratio", "goal of the ratio ≤", 1),
    ),
    lambda _: [operation.name for operation in OPERATIONS],
    _run,
)
