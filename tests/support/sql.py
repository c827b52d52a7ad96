"""PostgreSQL for tests of the schema: several sessions of one database, used from ordinary functions.

All sessions of a `World` share one asyncio loop, which only runs while a call is made: a statement that was started
(`Session.start`) and waits for a lock makes its progress during the calls to other sessions.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
from attrs import define, field

Row = asyncpg.Record


@define(eq=False)
class Session:
    """One connection to the database."""

    _runner: asyncio.Runner
    connection: asyncpg.Connection
    _received: "asyncio.Queue[str]" = field(factory=asyncio.Queue)

    def rows(self, query: str, *args: Any) -> list[Row]:
        """All rows."""
        rows: list[Row] = self._runner.run(self.connection.fetch(query, *args))
        return rows

    def row(self, query: str, *args: Any) -> Row:
        """The only row."""
        (row,) = self.rows(query, *args)
        return row

    def value(self, query: str, *args: Any) -> Any:
        """The first column of the first row, or ``None``."""
        return self._runner.run(self.connection.fetchval(query, *args))

    def values(self, query: str, *args: Any) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self.rows(query, *args)]

    def do(self, statement: str, *args: Any) -> None:
        """Run a statement without results, or several without parameters."""
        self._runner.run(self.connection.execute(statement, *args))

    def copy(self, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]) -> None:
        """Add rows with COPY."""
        self._runner.run(self.connection.copy_records_to_table(table, columns=list(columns), records=list(records)))

    def prepare(self, query: str) -> None:
        """Let the server parse and check a query."""
        self._runner.run(self.connection.prepare(query))

    def start(self, query: str, *args: Any) -> "Statement":
        """Begin a statement that may have to wait for another session."""
        return Statement(self._runner, self._runner.get_loop().create_task(self.connection.fetch(query, *args)))

    def listen(self) -> None:
        """Collect the notifications of the server's channel from now on."""
        self._runner.run(self.connection.add_listener("seatsync", lambda *args: self._received.put_nowait(args[3])))

    def received_until(self, last: str) -> list[str]:
        """The notifications before the one with the payload ``last``."""

        async def collect() -> list[str]:
            payloads = []
            while (payload := await self._received.get()) != last:
                payloads.append(payload)
            return payloads

        return self._runner.run(asyncio.wait_for(collect(), 10))


@define(eq=False)
class Statement:
    """A running statement."""

    _runner: asyncio.Runner
    _task: "asyncio.Task[list[Row]]"

    def result(self) -> list[Row]:
        """Wait for its rows."""

        async def wait() -> list[Row]:
            return await asyncio.wait_for(self._task, 10)

        return self._runner.run(wait())


@define(eq=False)
class World(Session):
    """A fresh database with a session of its owner, and more of them on demand."""

    dsn: str = field(kw_only=True)
    _listener: Session = field(kw_only=True)
    _others: list[Session] = field(factory=list)
    _probes: Iterator[int] = field(factory=count)

    def session(self) -> Session:
        """One more session of the owner."""
        session = Session(self._runner, self._runner.run(asyncpg.connect(self.dsn)))
        self._others.append(session)
        return session

    def notifications(self) -> list[str]:
        """The notifications since the last call, in order."""
        probe = f"probe {next(self._probes)}"
        self._runner.run(self.connection.execute("select pg_notify('seatsync', $1)", probe))
        return self._listener.received_until(probe)

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine with sessions of its own."""
        self._runner.run(asyncio.wait_for(scenario, 60))

    def wait_for_lock(self, session: Session) -> None:
        """Wait until another session is waiting for a lock."""
        pid = session.connection.get_server_pid()

        async def poll() -> None:
            while not await self.connection.fetchval("select cardinality(pg_blocking_pids($1)) > 0", pid):
                pass

        self._runner.run(asyncio.wait_for(poll(), 10))

    def close(self) -> None:
        """Terminate all sessions."""
        for session in (self, self._listener, *self._others):
            session.connection.terminate()

    # Cinemas, halls and users

    def cinema(self, name: str = "Astoria") -> int:
        """Add a cinema; return its id."""
        cinema: int = self.value("insert into cinema (name) values ($1) returning id", name)
        return cinema

    def hall(self, rows: int = 2, places: int = 3, *, cinema: int | None = None, kind: str = "Standard") -> int:
        """Add a hall of vacant seats of one type, in a cinema of its own unless given; return its id."""
        hall: int = self.value(
            "insert into hall (cinema_id, name, rows, places) values ($1, 'Hall', $2, $3) returning id",
            self.cinema() if cinema is None else cinema,
            max(rows, 1),
            max(places, 1),
        )
        self.value(
            "insert into seat (hall_id, seat_type_id, row, place) "
            "select $1, $2, row, place from generate_series(1, $3::int) row, generate_series(1, $4::int) place",
            hall,
            self.seat_type(kind),
            rows,
            places,
        )
        return hall

    def seat_type(self, name: str = "Standard") -> int:
        """The id of a seat type, added if need be."""
        self.value("insert into seat_type (name) values ($1) on conflict do nothing", name)
        seat_type: int = self.value("select id from seat_type where name = $1", name)
        return seat_type

    def seats(self, hall: int) -> list[int]:
        """The ids of a hall's seats by row and place."""
        return self.values("select id from seat where hall_id = $1 order by row, place", hall)

    def rev(self, hall: int) -> int:
        """The revision of a hall."""
        rev: int = self.value("select rev from hall where id = $1", hall)
        return rev

    def user(self, name: str, role: str = "operator") -> "User":
        """Add a user with a session."""
        user_id = self.value(
            "insert into app_user (username, role, totp_secret) values ($1, $2::text::user_role, $3) returning id",
            name,
            role,
            "ABCDEFGHIJKLMNOP",
        )
        return User(user_id, self.value("insert into session (user_id) values ($1) returning id", user_id))


@define
class User:
    """A signed-in user."""

    id: int
    session: UUID


@contextmanager
def open_world(dsn: str) -> Iterator[World]:
    """Sessions of a database; notifications are collected from the start."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        listener = Session(runner, runner.run(asyncpg.connect(dsn)))
        listener.listen()
        world = World(runner, runner.run(asyncpg.connect(dsn)), dsn=dsn, listener=listener)
        try:
            yield world
        finally:
            world.close()


def updates(notifications: Sequence[str]) -> list[dict[str, Any]]:
    """The data of the notifications with data."""
    return [json.loads(text.split(" ", 3)[3]) for text in notifications if text.endswith("}")]
