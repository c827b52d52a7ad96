"""PostgreSQL for tests of the schema: several sessions of one database, used from ordinary functions.

psycopg reaches it, so that the tests' foundation does not depend on the tested driver. A statement that has to wait for
another session (`Session.start`) runs in a thread.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from time import monotonic
from typing import Any, Self, SupportsIndex
from uuid import UUID

import psycopg
from attrs import define, field
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.string import TextBinaryLoader

from seatsync.core.postgres.feed_key import FeedKey

PATIENCE_S = 60.0
COMMITS = "a test that needs commits requests database_url"


class Row(tuple[Any, ...]):
    """Values, by position and by the names of their columns."""

    names: Sequence[str]

    @classmethod
    def make(cls, names: Sequence[str], values: Iterable[Any]) -> Self:
        """A row of these columns."""
        row = cls(values)
        row.names = names
        return row

    def __getitem__(self, key: SupportsIndex | slice | str) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)

    def keys(self) -> Sequence[str]:
        """The names, for ``dict(row)``."""
        return self.names


@define(eq=False)
class Session:
    """One connection to the database."""

    connection: psycopg.Connection[Any]

    @classmethod
    def connect(cls, dsn: str) -> Self:
        """Open a session. JSON is the text that PostgreSQL made, and the labels of enums are strings."""
        connection: psycopg.Connection[Any] = psycopg.Connection.connect(dsn, autocommit=True, client_encoding="UTF8")
        for name in ("json", 0):
            connection.adapters.register_loader(name, TextBinaryLoader)
        return cls(connection)

    def rows(self, query: str, *args: Any) -> list[Row]:
        """All rows. PostgreSQL infers the types of the parameters."""
        types, libpq = Transformer(self.connection), self.connection.pgconn
        values = types.dump_sequence(args, [PyFormat.TEXT] * len(args))
        result = self._checked(libpq.exec_params(query.encode(), values, result_format=pq.Format.BINARY))
        types.set_pgresult(result)
        names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
        return types.load_rows(0, result.ntuples, lambda values: Row.make(names, values))

    def row(self, query: str, *args: Any) -> Row:
        """The only row."""
        (row,) = self.rows(query, *args)
        return row

    def value(self, query: str, *args: Any) -> Any:
        """The first column of the first row, or ``None``."""
        rows = self.rows(query, *args)
        return rows[0][0] if rows and rows[0] else None

    def values(self, query: str, *args: Any) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self.rows(query, *args)]

    def do(self, statement: str, *args: Any) -> None:
        """Run a statement without results, or several without parameters."""
        if args:
            self.rows(statement, *args)
        else:
            self._checked(self.connection.pgconn.exec_(statement.encode()))

    def copy(self, table: str, columns: Sequence[str], records: Sequence[Sequence[Any]]) -> None:
        """Add rows with COPY."""
        with (
            self.connection.cursor() as cursor,
            cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin".encode()) as copy,
        ):
            for record in records:
                copy.write_row(record)

    def prepare(self, query: str) -> None:
        """Let the server parse and check a query."""
        self._checked(self.connection.pgconn.prepare(b"", query.encode()))

    def start(self, query: str, *args: Any) -> "Statement":
        """Begin a statement that may have to wait for another session."""
        thread = ThreadPoolExecutor(1)
        try:
            return Statement(thread.submit(self.rows, query, *args))
        finally:
            thread.shutdown(wait=False)

    def listen(self) -> None:
        """Collect the notifications of the server's channel from now on."""
        self.do("listen seatsync")

    def received_until(self, last: str) -> list[str]:
        """The notifications before the one with the payload ``last``."""
        payloads: list[str] = []
        for notification in self.connection.notifies(timeout=10):
            if notification.payload == last:
                return payloads
            payloads.append(notification.payload)
        raise AssertionError(f"the notification {last} has not come after {payloads}")

    def _checked(self, result: pq.abc.PGresult) -> pq.abc.PGresult:
        """The result of a statement; raises its error."""
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        return result


@define(eq=False)
class Statement:
    """A running statement."""

    _rows: Future[list[Row]]

    def result(self) -> list[Row]:
        """Wait for its rows."""
        return self._rows.result(10)


def at_once(*functions: Callable[[], None]) -> None:
    """Run functions, each with sessions of its own, in threads, to their ends; raises the first error of one."""
    with ThreadPoolExecutor(len(functions)) as threads:
        for running in [threads.submit(function) for function in functions]:
            running.result(PATIENCE_S)


@define(eq=False)
class World(Session):
    """A fresh database with a session of its owner, and more of them on demand."""

    dsn: str = field(kw_only=True)
    _listener: Session | None = field(kw_only=True)
    _others: list[Session] = field(factory=list)
    _probes: Iterator[int] = field(factory=count)

    @property
    def commits(self) -> bool:
        """Its changes are committed."""
        return self._listener is not None

    def session(self) -> Session:
        """One more session of the owner."""
        assert self.commits, COMMITS
        session = Session.connect(self.dsn)
        self._others.append(session)
        return session

    def payloads(self) -> list[str]:
        """The notifications since the last call, in order, each with its tag."""
        assert self._listener is not None, COMMITS
        probe = f"probe {next(self._probes)}"
        self.value("select pg_notify('seatsync', $1)", probe)
        return self._listener.received_until(probe)

    def notifications(self) -> list[str]:
        """The bodies of the notifications since the last call, all tagged; of those of halls without the epoch."""
        key = FeedKey((self.value("select key from feed_key"),))
        bodies = [key.verify(payload) for payload in self.payloads()]
        assert None not in bodies
        return [re.sub(r"^(hall [0-9]+) \S+-[0-9A-F]{8} ", r"\1 ", body or "") for body in bodies]

    def wait_for_lock(self, session: Session) -> None:
        """Wait until another session is waiting for a lock."""
        pid, deadline = session.connection.info.backend_pid, monotonic() + 10
        while not self.value("select cardinality(pg_blocking_pids($1)) > 0", pid):
            assert monotonic() < deadline, "the session waits for no lock"

    def close(self) -> None:
        """Close all sessions."""
        for session in filter(None, (self, self._listener, *self._others)):
            session.connection.close()

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


@define(eq=False)
class RolledBackWorld(World):
    """A world in transactions that are rolled back, on a database that tests share.

    As outside of one, a statement that fails is undone alone, and constraints are checked at the end of each statement.
    There are no notifications, which come with a commit, and no other sessions, which would not see its changes.
    """

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Roll back what the block does."""
        self._run(b"begin; set constraints all immediate; savepoint statement")
        try:
            yield self
        finally:
            self._run(b"rollback to savepoint statement; rollback")

    def _checked(self, result: pq.abc.PGresult) -> pq.abc.PGresult:
        failed = result.status == pq.ExecStatus.FATAL_ERROR
        self._run(b"rollback to savepoint statement" if failed else b"release savepoint statement; savepoint statement")
        return super()._checked(result)

    def _run(self, statements: bytes) -> None:
        result = self.connection.pgconn.exec_(statements)
        assert result.status == pq.ExecStatus.COMMAND_OK, f"{COMMITS}: {result.error_message!r}"


@contextmanager
def open_world(dsn: str) -> Iterator[World]:
    """Sessions of a database; notifications are collected from the start."""
    listener = Session.connect(dsn)
    listener.listen()
    world = World(Session.connect(dsn).connection, dsn=dsn, listener=listener)
    try:
        yield world
    finally:
        world.close()


def updates(notifications: Sequence[str]) -> list[dict[str, Any]]:
    """The data of the notifications with data."""
    return [json.loads(text.split(" ", 3)[3]) for text in notifications if text.endswith("}")]
