"""Databases for tests: a server, and cheap copies of a template on it.

Plain asyncio and asyncpg reach them, so that the tests' foundation does not depend on the tested code.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
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

    def url(self, database: str) -> str:
        """Return the DSN of another database of the server."""
        return urlsplit(self.dsn)._replace(path=f"/{database}").geturl()

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Copy a database and drop it at the end, with its open connections; yields its name.

        The template must have no connection. To copy its files is the fastest way on a server without fsync.
        """
        name = f"seatsync_test_{os.getpid()}_{next(self._numbers)}"
        self._session.do(f"create database {name} template {template} strategy file_copy")
        try:
            yield name
        finally:
            self._session.do(f"drop database {name} with (force)")


@contextmanager
def open_database_server(dsn: str) -> Iterator[DatabaseServer]:
    """The server at that address, for the length of the block."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        session = Session(runner, runner.run(asyncpg.connect(dsn)))
        try:
            yield DatabaseServer(dsn, session)
        finally:
            runner.run(session.connection.close())


def execute(dsn: str, statement: str) -> None:
    """Run one statement outside of any transaction."""
    asyncio.run(_with_connection(dsn, lambda connection: connection.execute(statement)))


def fetchval(dsn: str, query: str) -> Any:
    """The first column of the first row."""
    return asyncio.run(_with_connection(dsn, lambda connection: connection.fetchval(query)))


async def _with_connection(dsn: str, use: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await use(connection)
    finally:
        await connection.close()
