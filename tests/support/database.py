"""Databases for tests: a server, and cheap copies of a template on it.

psycopg reaches them, so that the tests' foundation does not depend on the tested code.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field

from tests.support.sql import Session


@define(eq=False)
class DatabaseServer:
    """A PostgreSQL server on which databases may be created; `dsn` names one that is left alone.

    One connection serves all tests: to connect takes longer than to create a database.
    """

    dsn: str
    _session: Session
    _numbers: Iterator[int] = field(factory=itertools.count)
    _done_with: list[str] = field(factory=list)

    def url(self, database: str) -> str:
        """Return the DSN of another database of the server."""
        return urlsplit(self.dsn)._replace(path=f"/{database}").geturl()

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Copy a database for the block; yields its name.

        The template must have no connection. To copy its files is the fastest way on a server without fsync. The copy
        is dropped, with its open connections, when the next one has been made: as long as a connection that has just
        been closed is ending, PostgreSQL would wait for 100 ms (CountOtherDBBackends in procarray.c).
        """
        name = f"seatsync_test_{os.getpid()}_{next(self._numbers)}"
        self._session.do(f"create database {name} template {template} strategy file_copy")
        self.drop()
        try:
            yield name
        finally:
            self._done_with.append(name)

    def drop(self) -> None:
        """Drop the copies whose blocks have ended."""
        while self._done_with:
            self._session.do(f"drop database {self._done_with.pop()} with (force)")


@contextmanager
def open_database_server(dsn: str) -> Iterator[DatabaseServer]:
    """The server at that address, for the length of the block."""
    with open_session(dsn) as session:
        server = DatabaseServer(dsn, session)
        yield server
        server.drop()


@contextmanager
def open_session(dsn: str) -> Iterator[Session]:
    """A session for the length of the block."""
    session = Session.connect(dsn)
    try:
        yield session
    finally:
        session.connection.close()


def execute(dsn: str, statement: str) -> None:
    """Run one statement outside of any transaction."""
    with open_session(dsn) as session:
        session.do(statement)


def fetchval(dsn: str, query: str) -> Any:
    """The first column of the first row."""
    with open_session(dsn) as session:
        return session.value(query)
