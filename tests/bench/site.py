"""Seats Sync as an entrant: a real server process on a PostgreSQL of its own, durable, with halls to work on."""

import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
from attrs import field, frozen

from seatsync import seed
from seatsync.config import load_settings
from seatsync.core.embedded.server import EmbeddedPostgres
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query
from seatsync.user import accounts
from tests.bench.account import Spent, cpu_s, family, family_cpu_s
from tests.bench.machine import Cores, move
from tests.bench.processes import ROOT, Server, python, started

T = TypeVar("T")

SEATS_SYNC = "Seats Sync"

_KEYS = dict.fromkeys(("JWT_SECRET", "SECRETS_KEY"), "benchmarks only: " + 32 * "s")
_READY = re.compile(rb"WebSocket +ws://localhost:(\d+)/ws")


@frozen
class Hall:
    """A hall to work on."""

    id: int
    seats: list[int]


@frozen
class Site:
    """A PostgreSQL with the schema, on a disk, with fsync on; and the servers on it."""

    dsn: str
    directory: Path
    cores: Cores
    _postgres: EmbeddedPostgres = field(repr=False)

    def hall(self, seats: int) -> Hall:
        """A new hall of vacant seats."""

        async def make(db: Database) -> Hall:
            hall_id = await seed.hall(db, f"{seats} seats", seats)
            rows = await db.fetch(Query("seats", "select id from seat where hall_id = $1 order by id"), hall_id)
            return Hall(hall_id, [row["id"] for row in rows])

        return self._do(make)

    def tokens(self, count: int) -> list[str]:
        """Tokens of so many new sessions of one operator."""

        async def make(db: Database) -> list[str]:
            settings = load_settings({"DATABASE_URL": self.dsn, **_KEYS}, dotenv=None)
            return await accounts.session_tokens(db, settings, "bench", create=True, count=count)

        return self._do(make)

    def sql(self, statements: str) -> None:
        """Run SQL as a maintainer would."""

        async def run(db: Database) -> None:
            async with db.session(timeout=60) as session:
                await session.script(statements)

        self._do(run)

    def value(self, query: str, *args: Any) -> Any:
        """The first column of the first row."""

        async def ask(db: Database) -> Any:
            return await db.fetchval(Query("bench", query), *args)

        return self._do(ask)

    def _do(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async def run() -> T:
            async with Database.open(self.dsn, size=1) as db:
                return await work(db)

        return trio.run(run)

    @contextmanager
    def run(self, tree: Path = ROOT, *, workers: int = 1, cores: frozenset[int] = frozenset()) -> Iterator[Server]:
        """A server as ``seatsync serve`` starts it, with the default settings.

        ``tree`` is the project it is started from; it runs on the server's core by default. Raises `BenchError`.
        """
        environment = {
            "DATABASE_URL": self.dsn,
            **_KEYS,
            "PORT": "0",
            "WS_PORT": "0",
            "WORKERS": str(workers),
            "PYTHONPATH": str(tree),
        }
        with started(
            SEATS_SYNC,
            [*python("seatsync"), "serve"],
            _READY,
            cores=cores or {self.cores.server},
            log=self.directory / "seatsync.log",
            environment=environment,
        ) as server:
            yield server

    def spent(self, server: Server) -> Spent:
        """A reading of the clocks: the server's, exactly, and PostgreSQL's."""
        return Spent(cpu_s(server.pids), self.postgres_cpu_s())

    def postgres_cpu_s(self) -> float:
        """CPU seconds of PostgreSQL so far, to 10 ms."""
        return 0.0 if self._postgres.pid is None else family_cpu_s(self._postgres.pid)

    def move_postgres(self, cores: frozenset[int]) -> None:
        """Have PostgreSQL run there from now on."""
        if self._postgres.pid is not None:
            move(family(self._postgres.pid), cores)


@contextmanager
def open_site(cores: Cores) -> Iterator[Site]:
    """PostgreSQL in a new directory on disk (not in memory: commits are to cost what they cost), gone at the end."""
    with tempfile.TemporaryDirectory(prefix="seatsync-bench-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o711)
        with EmbeddedPostgres(directory / "data") as postgres:
            site = Site(postgres.dsn, directory, cores, postgres)

            async def prepare() -> None:
                async with Database.open(postgres.dsn, size=1) as db:
                    await migrate(db)

            trio.run(prepare)
            site.move_postgres(cores.others)
            yield site
