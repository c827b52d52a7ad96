"""The set-up of most drills (a PostgreSQL, a server on it, a hall and a crowd), and the verdict at the end."""

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define

from seatsync import jsontext
from seatsync.load.stats import Kind
from seatsync.load.view import read_view
from tests.faults.clients import Watcher
from tests.faults.crowd import Crowd, running_crowd
from tests.faults.drill import Outcome, Stage
from tests.faults.ledger import EVENTS
from tests.faults.postgres import Postgres, rows, running_postgres
from tests.faults.processes import wait_until
from tests.faults.readiness import ReadinessLog, watched_readiness
from tests.faults.server import Server, running_server

WATCHERS, WRITERS, SEATS = 24, 8, 200

#: Seats at the end of the hall that only plain SQL changes.
SQL_SEATS = 40

_SETTLE_S = 20.0

SEATS_NOW = "select id, status::text as status, note from seat where hall_id = $1"
SQL_CHANGE = "update seat set status = case status when 'VACANT' then 'OCCUPIED' else 'VACANT' end::seat_status"


@define
class Scene:
    """A server with a hall and a crowd in it."""

    server: Server
    dsn: str
    hall: int
    seats: list[int]
    crowd: Crowd
    readiness: ReadinessLog

    def sql_change(self) -> None:
        """Change the seats that plain SQL has for itself: one revision."""
        rows(self.dsn, f"{SQL_CHANGE} where id = any($1::bigint[])", self.seats[-SQL_SEATS:])

    def revision(self) -> int:
        """The hall's revision now."""
        return int(rows(self.dsn, "select rev from hall where id = $1", self.hall)[0]["rev"])

    def live_from(self, after: float) -> float:
        """When every watcher has what is committed by now; ``after`` is the earliest that counts."""
        rev = self.revision()

        def late() -> list[Watcher]:
            return [
                watcher
                for watcher in self.crowd.watchers
                if not watcher.is_live or watcher.stale or watcher.verifier.view.rev < rev
            ]

        try:
            return max(after, wait_until(lambda: not late(), _SETTLE_S, f"all watchers have revision {rev}"))
        except TimeoutError as error:
            first = late()[0]
            state = f"live {first.is_live}, stale {first.stale}, revision {first.verifier.view.rev}"
            raise TimeoutError(f"{error}: {len(late())} do not, as {first.verifier.name}: {state}") from None

    def judge(self, outcome: Outcome) -> None:
        """Let everything be answered, then compare answers, frames and views with the database."""
        crowd = self.crowd
        crowd.resting = True
        crowd.pause_s = 0.0
        try:
            wait_until(lambda: crowd.is_quiet, _SETTLE_S, "every write is answered in the end")
            self.sql_change()
            self.live_from(time.monotonic())
        except TimeoutError as error:
            outcome.faults.append(f"{error}")
        self._judge_views(outcome)
        crowd.ledger.judge(rows(self.dsn, EVENTS, self.hall), outcome)

    def _judge_views(self, outcome: Outcome) -> None:
        truth = self.fetch_hall()
        view = read_view(truth)
        table = {row["id"]: (row["status"], row["note"]) for row in rows(self.dsn, SEATS_NOW, self.hall)}
        outcome.require(
            {seat["id"]: (seat["status"], seat["note"]) for seat in truth["seats"]} == table,
            "a fresh snapshot differs from the table",
        )

        def compare() -> None:
            for watcher in self.crowd.watchers:
                watcher.verifier.settle()
                if not watcher.staying_away:
                    watcher.verifier.compare(view)

        self.crowd.call(compare)
        stats = self.crowd.stats
        outcome.missing += stats.faults[Kind.MISSING]
        outcome.repeated += stats.faults[Kind.REPEATED]
        outcome.reordered += stats.faults[Kind.REORDERED]
        outcome.faults += [fault.text for fault in stats.first_faults[:5]]

    def fetch_hall(self) -> dict[str, Any]:
        """The hall as ``hall.get`` has it now."""
        return dict(self.call("hall/get", {"id": self.hall})["data"])

    def call(self, method: str, data: dict[str, Any]) -> dict[str, Any]:
        """The answer of a method over HTTP."""
        answer: dict[str, Any] = jsontext.loads(post(self.server, f"/api/{method}", data))
        return answer


def post(server: Server, path: str, data: dict[str, Any]) -> bytes:
    """The body of the answer to a POST."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("POST", path, jsontext.dumps(data), {"Content-Type": "application/json"})
        return connection.getresponse().read()
    finally:
        connection.close()


@contextmanager
def scene(
    server: Server,
    dsn: str,
    *,
    name: str = "Drill",
    watchers: int = WATCHERS,
    writers: int = WRITERS,
    pause_s: float = 0.01,
) -> Iterator[Scene]:
    """A new hall of that name and a crowd in it, once all of it is live; the server runs already."""
    hall = int(server.run("seed", "hall", "--seats", str(SEATS), "--name", name))
    with scene_in(server, dsn, hall, watchers=watchers, writers=writers, pause_s=pause_s) as the_scene:
        yield the_scene


@contextmanager
def scene_in(
    server: Server, dsn: str, hall: int, *, watchers: int = WATCHERS, writers: int = WRITERS, pause_s: float = 0.01
) -> Iterator[Scene]:
    """A crowd in a hall that is there; ``dsn`` is of the database in which the hall is changed."""
    seats = [row["id"] for row in rows(dsn, "select id from seat where hall_id = $1 order by id", hall)]
    with (
        running_crowd(server.url, hall, pause_s=pause_s) as crowd,
        watched_readiness(server.port, server.host) as readiness,
    ):
        crowd.add_watchers(watchers)
        if writers:
            tokens = server.run("token", "drill", "--create", "--count", str(writers)).split()
            crowd.add_writers(tokens, seats[:-SQL_SEATS])
        wait_until(lambda: crowd.is_live, _SETTLE_S, "all watchers are live")
        yield Scene(server, dsn, hall, seats, crowd, readiness)


def on_own_postgres(
    stage: Stage,
    run: Callable[[Scene, Postgres, Outcome], None],
    *,
    workers: int = 1,
    arguments: Sequence[str] = (),
) -> Outcome:
    """Run a drill against a server and a PostgreSQL that the drill controls, and judge it.

    ``arguments`` are further ones of ``postgres``.
    """
    outcome = Outcome()
    with (
        running_postgres(stage.directory, *arguments) as postgres,
        running_server(stage.directory, postgres.dsn, workers=workers) as server,
        scene(server, postgres.dsn) as the_scene,
    ):
        time.sleep(1.0)
        run(the_scene, postgres, outcome)
        the_scene.judge(outcome)
    return outcome


def embedded_dsn(directory: Path) -> str:
    """The address of the PostgreSQL that a server without ``DATABASE_URL`` runs for itself."""
    return f"postgresql://seatsync@/seatsync?host={directory}/data/run&port=5432"
