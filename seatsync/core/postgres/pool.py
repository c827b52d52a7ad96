"""A small pool of sessions, with a deadline on everything.

A session that was cancelled, timed out or left inside a transaction is reset in the background; one that is gone is
closed. Connections are made in the background too: a query that cannot wait for one leaves it to the next, so that the
second of two hosts is reached although the first takes longer than a query may.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from typing import Any

import trio

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseGone, DatabaseRejected, DatabaseTooSlow, DatabaseUnavailable
from seatsync.core.postgres.queries import Query
from seatsync.core.postgres.session import Row, Session
from seatsync.core.timing import Timing

_KEPT = Query("kept", "select current_setting('seatsync.session', true)")


async def pools_transactions(dsn: str, *, timing: Timing = Timing()) -> bool:
    """Return whether the address is that of a pooler that may use another connection for every transaction.

    Neither LISTEN nor a prepared statement outlives a transaction there. While a second session keeps the connection
    busy that the first one used, the first finds its own setting gone. Raises `DatabaseGone` and, for a pooler that has
    no second connection too, `DatabaseTooSlow`.
    """
    connect = partial(Session.connect, dsn, application_name="seatsync start")
    with closing(await connect()) as first, closing(await connect()) as second:
        with trio.move_on_after(timing.query_s):
            try:
                await first.script("set seatsync.session = 'kept'")
                await second.script("begin; select 1")
                return bool(await first.fetchval(_KEPT) != "kept")
            except DatabaseRejected:
                return True
            except DatabaseGone:  # a pooler of statements ends the session that begins a transaction, and takes others
                with closing(await connect()):
                    return True
    raise DatabaseTooSlow("PostgreSQL accepts connections and does not answer.")


class Database:
    """A pool of at most ``size`` sessions; the newest idle one is used first.

    Every query takes at most ``timeout`` seconds (`Timing.query_s` unless given) and raises `DatabaseUnavailable`,
    which is passed to ``report`` too, or `DatabaseRejected`. After a cancellation or a timeout, the outcome of the
    statement is unknown; it is cancelled on the server.
    """

    def __init__(
        self, dsn: str, size: int, timing: Timing, nursery: trio.Nursery, report: Callable[[DatabaseUnavailable], None]
    ) -> None:
        self.dsn = dsn
        self.size = size
        self.in_use = 0
        """Sessions in use."""
        self._timing = timing
        self._nursery = nursery
        self._report = report
        self._open = 0  # idle, in use, connecting or being reset
        self._idle: list[Session] = []
        self._offered, self._wanted = trio.open_memory_channel[Session | DatabaseUnavailable](0)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        size: int = 8,
        *,
        timing: Timing = Timing(),
        report: Callable[[DatabaseUnavailable], None] = lambda _: None,
    ) -> AsyncIterator["Database"]:
        """Open a pool for the block. It connects when it needs to."""
        try:
            async with trio.open_nursery() as nursery:
                database = cls(dsn, size, timing, nursery, report)
                yield database
                nursery.cancel_scope.cancel()
        finally:
            database.close()

    def close(self) -> None:
        """Close the idle sessions. Later queries connect anew."""
        while self._idle:
            self._drop(self._idle.pop())

    @asynccontextmanager
    async def session(self, timeout: float | None = None) -> AsyncIterator[Session]:  # noqa: ASYNC109 - the one place that turns it into a scope
        """Acquire a session for the block; ``timeout`` covers both."""
        try:
            with trio.move_on_after(self._timing.query_s if timeout is None else timeout) as scope:
                session = await self._acquire()
                self.in_use += 1
                try:
                    yield session
                except DatabaseGone:
                    session.close()
                    raise
                finally:
                    self.in_use -= 1
                    self._release(session)
            if scope.cancelled_caught:
                raise DatabaseTooSlow("PostgreSQL has not answered in time.")
        except DatabaseUnavailable as fault:
            self._report(fault)
            raise

    async def _acquire(self) -> Session:
        while self._idle:
            session = self._idle.pop()
            if session.silent:
                return session
            self._drop(session)
        self._connect_more(arriving=1)
        outcome = await self._wanted.receive()
        if isinstance(outcome, Session):
            return outcome
        raise outcome

    def _connect_more(self, *, arriving: int = 0) -> None:
        """Connect for a task that waits, or is about to, unless the pool is full."""
        if self._open < self.size and arriving + self._wanted.statistics().tasks_waiting_receive:
            self._open += 1
            self._nursery.start_soon(self._connect)

    async def _connect(self) -> None:
        try:
            session = await Session.connect(self.dsn, application_name="seatsync")
        except DatabaseUnavailable as error:
            self._open -= 1
            with suppress(trio.WouldBlock):
                self._offered.send_nowait(error)
            self._connect_more()
        else:
            self._offer(session)

    def _offer(self, session: Session) -> None:
        """Give the session to the task that has waited longest, or keep it."""
        try:
            self._offered.send_nowait(session)
        except trio.WouldBlock:
            self._idle.append(session)

    def _drop(self, session: Session) -> None:
        session.close()
        self._open -= 1
        self._connect_more()

    def _release(self, session: Session) -> None:
        if session.idle:
            self._offer(session)
        else:
            self._nursery.start_soon(self._reset, session)

    async def _reset(self, session: Session) -> None:
        with trio.move_on_after(self._timing.cancel_s, shield=True):
            await session.reset()
        if session.idle:
            self._offer(session)
        else:
            self._drop(session)

    @asynccontextmanager
    async def transaction(self, timeout: float | None = None) -> AsyncIterator[Session]:  # noqa: ASYNC109 - see session
        """Run the block in a transaction on a `session`: commit at its end, roll back if it raises or is cancelled.

        A cancellation during the commit leaves its outcome unknown.
        """
        async with self.session(timeout) as session:
            await session.script("begin")
            try:
                yield session
            except Exception:
                with suppress(errors.SeatSyncError):
                    await session.script("rollback")
                raise
            if session.failed:
                raise DatabaseRejected("25P02", "The transaction has failed and cannot be committed.")
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
