"""A small pool of PostgreSQL connections: asyncpg through trio-asyncio, and a deadline on everything.

Callers see rows, `ServiceUnavailable` (no answer in time, or none at all) and `DatabaseRejected` (the answer is an
error), never an asyncpg type. A connection that was cancelled, timed out or failed during a statement is discarded
without a wait, so it needs no shield; the abandoned statement is cancelled on the server in the background.

A transaction is ``BEGIN`` and ``COMMIT`` as statements: asyncpg's own transaction objects keep stale state when they
are cancelled midway.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog
import trio
import trio_asyncio

from seatsync import errors
from seatsync.core.postgres.queries import Query, load
from seatsync.core.timing import Timing

Row = Mapping[str, Any]

logger = structlog.get_logger(__name__)

# SQLSTATE classes of faults of the server: connection exceptions, insufficient resources, operator intervention, system
# errors (PostgreSQL, appendix A). 57014 is a cancelled statement; 25006 comes from a read-only server, as a primary is
# after a failover.
_AWAY = ("08", "25006", "53", "57", "58")

# Those of faults of the values: data exceptions, integrity constraints, check options, errors raised by triggers.
_DATA = ("22", "23", "44", "P0")

_KEPT = Query("kept", "select current_setting('seatsync.session', true)")

_FAULTS = (OSError, EOFError, asyncpg.InterfaceError, asyncpg.InternalClientError, ssl.SSLError, TimeoutError)


class DatabaseRejected(errors.InternalServerError, code="InternalServerError"):
    """PostgreSQL rejected a statement."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    @property
    def is_about_data(self) -> bool:
        """The values violate a constraint or a trigger's rule; the same statement may succeed with others."""
        return self.sqlstate.startswith(_DATA)


@asynccontextmanager
async def open_loop() -> AsyncIterator[None]:
    """Run the asyncio loop that asyncpg needs during the block.

    Its exception handler only logs: trio-asyncio's own ends the program for a stray callback.
    """
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_log_stray)
        yield


def _log_stray(_: Any, context: dict[str, Any]) -> None:
    logger.warning("asyncio_stray", message=context.get("message"), error=repr(context.get("exception")))


def _translate(error: asyncpg.PostgresError) -> errors.SeatSyncError:
    """Return the error for the caller in place of PostgreSQL's."""
    sqlstate = error.sqlstate or "XX000"
    if sqlstate.startswith(_AWAY):
        return errors.ServiceUnavailable(retry_after=1.0)
    return DatabaseRejected(sqlstate, str(error))


async def connect(dsn: str, *, application_name: str) -> asyncpg.Connection:
    """Open a connection; raises `ServiceUnavailable` from the reason. A cancellation leaves no connection behind."""
    settings = {"application_name": application_name}
    try:
        connection: asyncpg.Connection = await trio_asyncio.aio_as_trio(asyncpg.connect)(
            dsn, timeout=None, server_settings=settings
        )
    except (asyncpg.PostgresError, *_FAULTS) as error:
        raise errors.ServiceUnavailable(retry_after=1.0) from error
    return connection


async def pools_transactions(dsn: str, *, timing: Timing = Timing()) -> bool:
    """Return whether the address is that of a pooler that may use another connection for every transaction.

    Neither LISTEN nor a prepared statement outlives a transaction there. While a second session keeps the connection
    busy that the first one used, the first finds its own setting gone. Raises `ServiceUnavailable`.
    """
    async with _connected(dsn, timing) as first, _connected(dsn, timing) as second:
        with trio.move_on_after(timing.query_s):
            try:
                await first.script("set seatsync.session = 'kept'")
                await second.script("begin; select 1")
                return bool(await first.fetchval(_KEPT) != "kept")
            except asyncpg.PostgresError:
                return True
    return True


@asynccontextmanager
async def _connected(dsn: str, timing: Timing) -> AsyncIterator["Session"]:
    """Open a connection for the block, outside any pool. Raises `ServiceUnavailable`."""
    try:
        with trio.fail_after(timing.query_s):
            connection = await connect(dsn, application_name="seatsync start")
    except trio.TooSlowError:
        raise errors.ServiceUnavailable(retry_after=1.0) from None
    try:
        yield Session(connection)
    finally:
        connection.terminate()


class Session:
    """One connection, and the ways to run a query on it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        """Return all rows."""
        rows: list[Row] = await trio_asyncio.aio_as_trio(self._connection.fetch)(query.sql, *args)
        return rows

    async def fetchrow(self, query: Query, *args: Any) -> Row | None:
        """Return the first row, or ``None``."""
        row: Row | None = await trio_asyncio.aio_as_trio(self._connection.fetchrow)(query.sql, *args)
        return row

    async def fetchval(self, query: Query, *args: Any) -> Any:
        """Return the first column of the first row, or ``None``."""
        return await trio_asyncio.aio_as_trio(self._connection.fetchval)(query.sql, *args)

    async def execute(self, query: Query, *args: Any) -> None:
        """Run the query and discard its rows."""
        await trio_asyncio.aio_as_trio(self._connection.execute)(query.sql, *args)

    async def script(self, sql: str) -> None:
        """Run several statements without parameters (the simple query protocol)."""
        await trio_asyncio.aio_as_trio(self._connection.execute)(sql)


class Database:
    """A pool of at most ``size`` connections; the newest idle one is used first.

    Every query takes at most ``timeout`` seconds (`Timing.query_s` unless given) and raises `ServiceUnavailable` or
    `DatabaseRejected`. After a cancellation or a timeout, the outcome of the statement is unknown.
    """

    def __init__(self, dsn: str, size: int, timing: Timing) -> None:
        self.dsn = dsn
        self.size = size
        self.reachable = True
        """The last query was answered."""
        self._timing = timing
        self._idle: list[asyncpg.Connection] = []
        self._leaving: dict[asyncpg.Connection, asyncio.Task[None]] = {}
        self._slots = trio.Semaphore(size)

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, size: int = 8, *, timing: Timing = Timing()) -> AsyncIterator["Database"]:
        """Open a pool for the block, inside `open_loop`. It connects when it needs to."""
        database = cls(dsn, size, timing)
        try:
            yield database
        finally:
            database.close()

    @property
    def in_use(self) -> int:
        """Connections in use."""
        return self.size - self._slots.value

    def close(self) -> None:
        """Close the idle connections; those in use are discarded by their sessions. Later queries connect anew."""
        for connection in [*self._idle, *self._leaving]:
            connection.terminate()
        for task in self._leaving.values():
            task.cancel()
        self._idle.clear()

    async def recheck(self) -> None:
        """Query an unreachable database now and then until cancelled, so that `reachable` is true when it is back."""
        alive = load("system")["alive"]
        while True:
            await trio.sleep(self._timing.recheck_s)
            if not self.reachable:
                with suppress(errors.SeatSyncError):
                    await self.fetchval(alive)

    @asynccontextmanager
    async def session(self, timeout: float | None = None) -> AsyncIterator[Session]:  # noqa: ASYNC109 - the one place that turns it into a scope
        """Acquire a connection for the block; ``timeout`` covers both."""
        with trio.move_on_after(self._timing.query_s if timeout is None else timeout) as scope:
            async with self._slots:
                connection = await self._acquire()
                healthy = False
                try:
                    yield Session(connection)
                    healthy = self.reachable = True
                except asyncpg.PostgresError as error:
                    fault = _translate(error)
                    healthy = isinstance(fault, DatabaseRejected) and not connection.is_in_transaction()
                    raise fault from error
                except _FAULTS as error:
                    raise errors.ServiceUnavailable(retry_after=1.0) from error
                except errors.SeatSyncError:
                    healthy = not connection.is_in_transaction()
                    raise
                finally:
                    self._release(connection, healthy=healthy)
        if scope.cancelled_caught:
            self.reachable = False
            raise errors.ServiceUnavailable(retry_after=1.0)

    async def _acquire(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        try:
            return await connect(self.dsn, application_name="seatsync")
        except errors.ServiceUnavailable:
            self.reachable = False
            raise

    def _release(self, connection: asyncpg.Connection, *, healthy: bool) -> None:
        if healthy and not connection.is_closed():
            self._idle.append(connection)
        else:
            self._leaving[connection] = trio_asyncio.current_loop.get().create_task(self._discard(connection))

    async def _discard(self, connection: asyncpg.Connection) -> None:
        """Cancel the connection's statement on the server, and close it. Runs on the asyncio loop."""
        try:
            async with asyncio.timeout(self._timing.cancel_s):
                await connection.close()
        except (asyncpg.PostgresError, *_FAULTS):
            logger.debug("connection_dropped")
        finally:
            connection.terminate()
            del self._leaving[connection]

    @asynccontextmanager
    async def transaction(self, timeout: float | None = None) -> AsyncIterator[Session]:  # noqa: ASYNC109 - see session
        """Run the block in a transaction on a `session`: commit at its end, roll back if it raises or is cancelled.

        A cancellation during the commit leaves its outcome unknown.
        """
        async with self.session(timeout) as session:
            await session.script("begin")
            try:
                yield session
            except BaseException:
                # A connection that cannot roll back is discarded by its session, which rolls back as well.
                with (
                    trio.move_on_after(self._timing.rollback_s, shield=True),
                    suppress(asyncpg.PostgresError, *_FAULTS),
                ):
                    await session.script("rollback")
                raise
            await session.script("commit")

    async def fetch(self, query: Query, *args: Any, timeout: float | None = None) -> list[Row]:  # noqa: ASYNC109
        """Return all rows."""
        async with self.session(timeout) as session:
            return await session.fetch(query, *args)

    async def fetchrow(self, query: Query, *args: Any, timeout: float | None = None) -> Row | None:  # noqa: ASYNC109
        """Return the first row, or ``None``."""
        async with self.session(timeout) as session:
            return await session.fetchrow(query, *args)

    async def fetchval(self, query: Query, *args: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Return the first column of the first row, or ``None``."""
        async with self.session(timeout) as session:
            return await session.fetchval(query, *args)

    async def execute(self, query: Query, *args: Any, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Run the query and discard its rows."""
        async with self.session(timeout) as session:
            await session.execute(query, *args)
