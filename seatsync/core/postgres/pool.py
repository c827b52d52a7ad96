"""PostgreSQL from trio: asyncpg through trio-asyncio, a small pool, and a deadline on everything.

Callers see rows, `ServiceUnavailable` (the database did not answer in time, or at all) and `DatabaseRejected` (it
answered with an error), never an asyncpg type. A connection that was cancelled, timed out or failed in the middle of
something is thrown away at once instead of being repaired: nobody waits for that, so it needs no shield. What it was
running is cancelled in the background: PostgreSQL would go on with it for somebody who has gone.

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

Row = Mapping[str, Any]

#: Acquiring a connection and running a query take this long together before the caller hears `ServiceUnavailable`.
DEADLINE_S = 2.0

#: How long a rollback may take before its connection is thrown away.
ROLLBACK_S = 2.0

#: How often a database that was found unreachable is asked whether it is back, in seconds.
WATCH_S = 0.5

#: How long it may take to have a thrown-away connection's statement cancelled.
CANCEL_S = 1.0

logger = structlog.get_logger(__name__)

# SQLSTATE classes that say something of the server, not of the statement: connection exceptions, insufficient
# resources, operator intervention, system errors (PostgreSQL, appendix A). 57014 is a cancelled statement; 25006 comes
# from a server that may only be read, as a primary that has just been replaced.
_AWAY = ("08", "25006", "53", "57", "58")

# Those that say something of the values: data exceptions, integrity constraints, check options, what triggers raise.
_DATA = ("22", "23", "44", "P0")

_FAULTS = (OSError, EOFError, asyncpg.InterfaceError, asyncpg.InternalClientError, ssl.SSLError, TimeoutError)


class DatabaseRejected(errors.ServerFault):
    """PostgreSQL refused a statement."""

    code = "InternalServerError"

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    @property
    def is_about_data(self) -> bool:
        """A value broke a rule of the tables or of a trigger; the same statement may pass with others."""
        return self.sqlstate.startswith(_DATA)


class NoConnection(errors.ServiceUnavailable):
    """PostgreSQL refused a connection: clients hear that the database is away, whoever runs the server hears why."""

    code = "ServiceUnavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(errors.ServiceUnavailable.sentence(), retry_after=1.0)
        self._reason = reason

    def __str__(self) -> str:
        return self._reason


@asynccontextmanager
async def open_loop() -> AsyncIterator[None]:
    """The asyncio loop that asyncpg runs on, for the length of the block.

    Its exception handler only logs: trio-asyncio's own would end the program for a stray callback.
    """
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(_log_stray)
        yield


def _log_stray(_: Any, context: dict[str, Any]) -> None:
    logger.warning("asyncio_stray", what=context.get("message"), error=repr(context.get("exception")))


def translate(error: BaseException) -> errors.SeatSyncError:
    """What a caller is told of an asyncpg error."""
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = error.sqlstate or "XX000"
        if not sqlstate.startswith(_AWAY) and not isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            return DatabaseRejected(sqlstate, str(error))
    return errors.ServiceUnavailable(retry_after=1.0)


async def connect(dsn: str, *, application_name: str) -> asyncpg.Connection:
    """One connection; raises asyncpg's own errors and `OSError`. A cancellation leaves none behind."""
    connection: asyncpg.Connection = await trio_asyncio.aio_as_trio(asyncpg.connect)(
        dsn, timeout=None, server_settings={"application_name": application_name}
    )
    return connection


async def pools_transactions(dsn: str) -> bool:
    """Whether a pooler answers at that address which gives every transaction another of its connections.

    Neither LISTEN nor a prepared statement outlives a transaction there. While a second session keeps the connection
    busy that the first one used, the first finds a setting of its own gone. Raises `ServiceUnavailable`.
    """
    async with _connected(dsn) as first, _connected(dsn) as second:
        with trio.move_on_after(DEADLINE_S):
            try:
                if first.get_server_pid() == await trio_asyncio.aio_as_trio(first.fetchval)("select pg_backend_pid()"):
                    return False
                await trio_asyncio.aio_as_trio(first.execute)("set seatsync.session = 'kept'")
                await trio_asyncio.aio_as_trio(second.execute)("begin; select 1")
                kept = await trio_asyncio.aio_as_trio(first.fetchval)(
                    "select current_setting('seatsync.session', true)"
                )
            except asyncpg.PostgresError:
                return True
            return bool(kept != "kept")
    return True


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for the block, outside any pool. Raises `ServiceUnavailable`."""
    with trio.move_on_after(DEADLINE_S) as scope:
        try:
            connection = await connect(dsn, application_name="seatsync start")
        except (asyncpg.PostgresError, *_FAULTS) as error:
            raise translate(error) from error
    if scope.cancelled_caught:
        raise errors.ServiceUnavailable(retry_after=1.0)
    try:
        yield connection
    finally:
        connection.terminate()


class Session:
    """The four ways to run a query, on one connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        """All rows."""
        rows: list[Row] = await trio_asyncio.aio_as_trio(self._connection.fetch)(query.sql, *args)
        return rows

    async def fetchrow(self, query: Query, *args: Any) -> Row | None:
        """The first row, or ``None``."""
        row: Row | None = await trio_asyncio.aio_as_trio(self._connection.fetchrow)(query.sql, *args)
        return row

    async def fetchval(self, query: Query, *args: Any) -> Any:
        """The first column of the first row, or ``None``."""
        return await trio_asyncio.aio_as_trio(self._connection.fetchval)(query.sql, *args)

    async def execute(self, query: Query, *args: Any) -> None:
        """No rows."""
        await trio_asyncio.aio_as_trio(self._connection.execute)(query.sql, *args)

    async def script(self, sql: str) -> None:
        """Several statements in one go, without parameters (the simple query protocol)."""
        await trio_asyncio.aio_as_trio(self._connection.execute)(sql)


class Database:
    """A pool of at most ``size`` connections; the newest idle one is used first.

    Every method takes ``timeout`` seconds (`DEADLINE_S` unless told, ``None`` for none) and raises
    `ServiceUnavailable` or `DatabaseRejected`. A cancelled or timed-out statement may or may not have happened.
    """

    def __init__(self, dsn: str, size: int) -> None:
        self.dsn = dsn
        self.size = size
        self.reachable = True
        """Whether the last attempt to use it found the database in order."""
        self._idle: list[asyncpg.Connection] = []
        self._leaving: dict[asyncpg.Connection, asyncio.Task[None]] = {}
        self._slots = trio.Semaphore(size)

    @classmethod
    @asynccontextmanager
    async def open(cls, dsn: str, size: int = 8) -> AsyncIterator["Database"]:
        """The pool, inside `open_loop`; connects when first asked, and closes everything at the end."""
        database = cls(dsn, size)
        try:
            yield database
        finally:
            database.close()

    @property
    def in_use(self) -> int:
        """Connections that are running something."""
        return self.size - self._slots.value

    def close(self) -> None:
        """Drop the idle connections; those in use are dropped by who uses them."""
        for connection in [*self._idle, *self._leaving]:
            connection.terminate()
        for task in self._leaving.values():
            task.cancel()
        self._idle.clear()

    async def watch(self) -> None:
        """Find out that an unreachable database is back, also while nobody else asks it anything, until cancelled."""
        alive = load("system")["alive"]
        while True:
            await trio.sleep(WATCH_S)
            if not self.reachable:
                with suppress(errors.SeatSyncError):
                    await self.fetchval(alive)

    @asynccontextmanager
    async def session(self, timeout: float | None = DEADLINE_S) -> AsyncIterator[Session]:  # noqa: ASYNC109 - the one place that turns it into a scope
        """One connection for the block, all of which has to end within ``timeout`` seconds."""
        with trio.move_on_after(float("inf") if timeout is None else timeout) as scope:
            async with self._slots:
                connection = await self._acquire()
                healthy = False
                try:
                    yield Session(connection)
                    healthy = self.reachable = True
                except asyncpg.PostgresError as error:
                    fault = translate(error)
                    healthy = isinstance(fault, DatabaseRejected) and not connection.is_in_transaction()
                    raise fault from error
                except _FAULTS as error:
                    raise translate(error) from error
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
        except (asyncpg.PostgresError, *_FAULTS) as error:
            self.reachable = False
            fault = translate(error)
            raise (NoConnection(str(error)) if isinstance(fault, DatabaseRejected) else fault) from error

    def _release(self, connection: asyncpg.Connection, *, healthy: bool) -> None:
        if healthy and not connection.is_closed():
            self._idle.append(connection)
        else:
            self._leaving[connection] = trio_asyncio.current_loop.get().create_task(self._throw_away(connection))

    async def _throw_away(self, connection: asyncpg.Connection) -> None:
        """Have what the connection runs cancelled, and drop it. Runs on the asyncio loop."""
        try:
            async with asyncio.timeout(CANCEL_S):
                await connection.close()
        except (asyncpg.PostgresError, *_FAULTS):
            logger.debug("connection_dropped")
        finally:
            connection.terminate()
            del self._leaving[connection]

    @asynccontextmanager
    async def transaction(self, timeout: float | None = DEADLINE_S) -> AsyncIterator[Session]:  # noqa: ASYNC109 - see session
        """As `session`, in a transaction: committed at the end of the block, rolled back if that raises.

        A cancellation in the block rolls back; one during the commit leaves its outcome unknown.
        """
        async with self.session(timeout) as session:
            await session.script("begin")
            try:
                yield session
            except BaseException:
                with trio.move_on_after(ROLLBACK_S, shield=True):
                    await _roll_back(session)
                raise
            await session.script("commit")

    async def fetch(self, query: Query, *args: Any, timeout: float | None = DEADLINE_S) -> list[Row]:  # noqa: ASYNC109
        """All rows."""
        async with self.session(timeout) as session:
            return await session.fetch(query, *args)

    async def fetchrow(self, query: Query, *args: Any, timeout: float | None = DEADLINE_S) -> Row | None:  # noqa: ASYNC109
        """The first row, or ``None``."""
        async with self.session(timeout) as session:
            return await session.fetchrow(query, *args)

    async def fetchval(self, query: Query, *args: Any, timeout: float | None = DEADLINE_S) -> Any:  # noqa: ASYNC109
        """The first column of the first row, or ``None``."""
        async with self.session(timeout) as session:
            return await session.fetchval(query, *args)

    async def execute(self, query: Query, *args: Any, timeout: float | None = DEADLINE_S) -> None:  # noqa: ASYNC109
        """No rows."""
        async with self.session(timeout) as session:
            await session.execute(query, *args)


async def _roll_back(session: Session) -> None:
    """Undo; a connection that cannot is thrown away by its session, which PostgreSQL treats the same."""
    try:
        await session.script("rollback")
    except (asyncpg.PostgresError, *_FAULTS):
        logger.debug("rollback_failed")
