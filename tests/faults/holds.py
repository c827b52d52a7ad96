"""A drill with holds that are due while servers die and the database is away."""

import signal
import time
from contextlib import ExitStack

from tests.faults.drill import Outcome, Stage, drill
from tests.faults.postgres import Postgres, running_postgres
from tests.faults.processes import send_signal, wait_until
from tests.faults.scene import Scene, scene
from tests.faults.server import Server, running_server

#: Limit of a hold's end, in seconds, from when it is due and there are a database and a server.
LATE_S = 1.0

#: Beyond `LATE_S` where one of two servers is killed, or a database accepts connections again.
RECOVERY_S = 1.0

HALLS, SEATS = 10, 400

_PATIENCE_S = 20.0

#: Of each hold that was made, when it was due and when it ended, in the order of the seat's events.
_ENDS = """
select
    h.seat_id, extract(epoch from h.hold_until)::float8 as due,
    case when e.kind = 'expired' then extract(epoch from e.at)::float8 end as ended,
    e.kind::text as kind
from seat_event h
left join lateral (
    select kind, at from seat_event n where n.hall_id = h.hall_id and n.seat_id = h.seat_id and n.rev > h.rev
    order by n.rev limit 1
) e on true
where h.hold_until is not null and h.hall_id = any($1::bigint[])
"""

_EXPIRED = "select count(*) as events from seat_event where kind = 'expired' and hall_id = any($1::bigint[])"

_FREE = """
select
    extract(epoch from clock_timestamp())::float8 as now,
    count(*) filter (where status = 'RESERVED' and hold_until is not null)::int as held
from seat where hall_id = any($1::bigint[])
"""


@drill
def holds_expire(stage: Stage) -> Outcome:
    """One of two servers is killed while thousands of holds end, then the database is stopped when others are due."""
    outcome = Outcome()
    halls = int(stage.choose(HALLS, 3))
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres(stage.directory))
        servers = []
        for name in ("one", "two"):
            (stage.directory / name).mkdir()
            servers.append(stack.enter_context(running_server(stage.directory / name, postgres.dsn)))
        ids = [int(servers[0].run("seed", "hall", "--seats", str(SEATS), "--name", f"Held {n}")) for n in range(halls)]
        the_scene = stack.enter_context(scene(servers[1], postgres.dsn))
        made = _end_under_a_kill(postgres, servers[0], ids, outcome)
        made += _end_beside_a_dead_server(postgres, servers[0], ids, outcome)
        made += _end_while_the_database_is_away(postgres, the_scene, ids, stage.choose(10, 3), outcome)
        _judge(postgres, ids, made, outcome)
        the_scene.judge(outcome)
    return outcome


def _hold(postgres: Postgres, halls: list[int], seconds: int) -> int:
    """Hold all seats of the halls, which end in the same second; how many."""
    rows = postgres.rows(
        "select hold_seats(array(select id from seat where hall_id = any($1::bigint[])), $2)", halls, seconds
    )
    return int(rows[0][0])


def _held(postgres: Postgres, halls: list[int]) -> int:
    return int(postgres.rows(_FREE, halls)[0]["held"])


def _until_free(postgres: Postgres, halls: list[int]) -> None:
    wait_until(lambda: _held(postgres, halls) == 0, _PATIENCE_S, "every hold has ended")


def _late(postgres: Postgres, halls: list[int]) -> float:
    """By how much the latest of the holds that have just ended was late."""
    rows = postgres.rows(_ENDS, halls)
    newest = max(row["due"] for row in rows)
    return float(max(row["ended"] - row["due"] for row in rows if row["ended"] and newest - row["due"] < 1))


def _end_under_a_kill(postgres: Postgres, server: Server, halls: list[int], outcome: Outcome) -> int:
    made = _hold(postgres, halls, 2)
    wait_until(lambda: 0 < _held(postgres, halls) < made, _PATIENCE_S, "some of the holds have ended")
    send_signal([server.pid], signal.SIGKILL)
    _until_free(postgres, halls)
    outcome.measure("holds that end while a server is killed", made, unit="")
    outcome.measure("the latest of them", _late(postgres, halls), LATE_S + RECOVERY_S)
    return made


def _end_beside_a_dead_server(postgres: Postgres, server: Server, halls: list[int], outcome: Outcome) -> int:
    """The other server frees all; then the dead one is started again."""
    made = _hold(postgres, halls, 1)
    _until_free(postgres, halls)
    outcome.measure("the latest with one server", _late(postgres, halls), LATE_S)
    server.remove()
    server.start()
    return made


def _end_while_the_database_is_away(
    postgres: Postgres, the_scene: Scene, halls: list[int], seconds: float, outcome: Outcome
) -> int:
    """Half of the holds are due during an immediate shutdown, half of them later."""
    half = len(halls) // 2 + 1
    made = _hold(postgres, halls[:half], 2) + _hold(postgres, halls[half:], int(seconds) + 8)
    at = time.monotonic()
    postgres.stop(signal.SIGQUIT)
    the_scene.readiness.wait_lost(at)
    time.sleep(max(2.5, seconds))
    accepts_at = postgres.start()
    free_at = wait_until(lambda: _held(postgres, halls[:half]) == 0, _PATIENCE_S, "what was due meanwhile is free")
    outcome.measure("what was due without a database ends", free_at - accepts_at, LATE_S + RECOVERY_S)
    held = _held(postgres, halls[half:])
    outcome.require(held == SEATS * len(halls[half:]), f"{held} of the later holds are left before their time")
    _until_free(postgres, halls)
    outcome.measure("the later ones end", _late(postgres, halls[half:]), LATE_S)
    return made


def _judge(postgres: Postgres, halls: list[int], made: int, outcome: Outcome) -> None:
    """Each hold has ended by itself, once, and none before its time."""
    rows = postgres.rows(_ENDS, halls)
    events = int(postgres.rows(_EXPIRED, halls)[0]["events"])
    outcome.require(len(rows) == made, f"{len(rows)} holds are in the history, of {made}")
    outcome.require(events == made, f"{events} holds have expired, of {made}")
    outcome.lost += sum(row["ended"] is None for row in rows)
    early = sum(row["ended"] is not None and row["ended"] < row["due"] for row in rows)
    outcome.measure("ended early", early, 0, unit="")
    outcome.require(early == 0, f"{early} holds have ended before their time")
