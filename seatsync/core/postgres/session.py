"""One session of PostgreSQL: libpq, through psycopg's ``pq`` module, on trio.

psycopg connects, cancels and converts values. The wait for an answer, which happens at every query, is trio's own: a
query is a ``send``, a `trio.lowlevel.wait_readable` and a ``recv`` (PostgreSQL, section 32.4, "Asynchronous Command
Processing").
"""

import os
import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from itertools import count
from typing import Any, NoReturn, Self

import psycopg
import structlog
import trio
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.conninfo import conninfo_to_dict

from seatsync.core.postgres.faults import DatabaseFull, DatabaseGone, DatabaseRejected, DatabaseTooSlow
from seatsync.core.postgres.queries import Query
from seatsync.core.postgres.values import ADAPTERS, array

logger = structlog.get_logger(__name__)

Row = Mapping[str, Any]

#: Seconds for one host to accept a connection, unless the address has its own ``connect_timeout``.
CONNECT_TIMEOUT_S = 2

# SQLSTATE classes of faults of the server: connection exceptions, operator intervention, system errors (PostgreSQL,
# appendix A). 25006 comes from a read-only server, as a primary is after a failover.
_AWAY = ("08", "25006", "57", "58")

#: Insufficient resources: a full disk, no memory.
_RESOURCES = "53"

#: The code of many limits; the one of the notification queue is the only one that passes by itself.
_PROGRAM_LIMIT_EXCEEDED = "54000"

_QUERY_CANCELED = "57014"
_CHARACTER_NOT_IN_REPERTOIRE = "22021"
_DATA_EXCEPTION = "22000"

#: A statement whose plan no longer fits the tables, or that the session has lost: it is prepared anew.
_STALE_STATEMENT = frozenset({"0A000", "26000"})

_COPYING = frozenset({pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH})

#: Between two requests to cancel a statement.
_CANCEL_AGAIN_S = 0.25

#: The values of sslmode that refuse a connection without TLS (PostgreSQL, section 32.19.1).
_WITH_TLS = frozenset({"require", "verify-ca", "verify-full"})

# `public` alone: no other schema can put its tables in the place of ours (PostgreSQL, section 5.10.6).
_SETTINGS = "set search_path = public, pg_temp"


class _Driver(psycopg.Connection[Any]):
    """A connection of psycopg, which connects and cancels in a thread; it closes when a cancelled connect drops it."""

    def __del__(self) -> None:  # type: ignore[override]  # the module-level arguments there are a detail
        self.close()


def address_fault(dsn: str) -> str | None:
    """Return libpq's error message for a malformed address, else ``None``."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.Error as error:
        return str(error).strip()
    return None


def is_readable_on_the_way(dsn: str) -> bool:
    """The address may lead to another machine, and libpq would connect without TLS; the environment counts, too."""
    defaults = {one.keyword.decode(): one.val.decode() for one in pq.Conninfo.get_defaults() if one.val}
    parameters = defaults | {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    hosts = parameters.get("hostaddr") or parameters.get("host", "")
    return parameters.get("sslmode") not in _WITH_TLS and not all(map(_is_on_this_machine, hosts.split(",")))


def _is_on_this_machine(host: str) -> bool:
    """A host of libpq is this machine: a socket, which is the default, or loopback."""
    if host in {"", "localhost"} or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Session:
    """An open connection, and the ways to run a query on it, one at a time.

    Every query raises `DatabaseUnavailable` and `DatabaseRejected`. After a cancellation the outcome of the statement
    is unknown, and the session unusable until `reset`.
    """

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._driver = driver
        self._libpq = driver.pgconn
        self._libpq.nonblocking = 1
        self._fd = self._libpq.socket
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN)
        self._statements: dict[str, bytes] = {}
        self._names = count()
        self._types = Transformer(ADAPTERS)
        self._backlog: deque[pq.PGnotify] = deque()

    @classmethod
    async def connect(cls, dsn: str, *, application_name: str) -> Self:
        """Connect to an address without an `address_fault`; raises `DatabaseGone` and `DatabaseTooSlow`.

        Everything that libpq reads is heeded: parameters, services and variables of the environment. The hosts are
        tried in turn, each for its ``connect_timeout``. A cancellation leaves no connection behind.
        """
        defaults = {"connect_timeout": os.environ.get("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT_S)}
        ours = {"application_name": application_name, "client_encoding": "UTF8"}
        try:
            address: dict[str, Any] = defaults | conninfo_to_dict(dsn) | ours
            connect = partial(_Driver.connect, autocommit=True, **address)
            session = cls(await trio.to_thread.run_sync(connect, abandon_on_cancel=True))
            try:
                await session._set_up()
            except BaseException:
                session.close()
                raise
        except (psycopg.errors.ConnectionTimeout, DatabaseTooSlow) as error:
            raise DatabaseTooSlow(str(error)) from error
        except Exception as error:  # also a host name that is none, no thread to be had, or a first statement refused
            raise DatabaseGone(str(error) or repr(error)) from error
        return session

    async def _set_up(self) -> None:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            await self.script(_SETTINGS)
            encoding = (self._libpq.parameter_status(b"server_encoding") or b"unknown").decode()
            if encoding == "UTF8":
                return
            raise DatabaseGone(f"The database's encoding is {encoding}; it has to be UTF8.")
        raise DatabaseTooSlow("PostgreSQL accepts connections and does not answer.")

    @property
    def server_version(self) -> str:
        """Of PostgreSQL, such as ``18.1``; empty where a pooler does not report it."""
        return (self._libpq.parameter_status(b"server_version") or b"").decode().partition(" ")[0]

    def close(self) -> None:
        """Close the connection. No task may be waiting on it."""
        self._driver.close()

    @property
    def idle(self) -> bool:
        """Connected, without a statement or a transaction under way."""
        return self._libpq.transaction_status == pq.TransactionStatus.IDLE

    @property
    def failed(self) -> bool:
        """In a transaction that can only be rolled back: PostgreSQL answers its COMMIT with ROLLBACK, and no error."""
        return self._libpq.transaction_status == pq.TransactionStatus.INERROR

    @property
    def silent(self) -> bool:
        """Nothing has arrived since the last query: a server that ends its connections sends a message."""
        return not self._readable.poll(0)

    # Queries

    async def fetch(self, query: Query, *args: Any) -> list[Row]:
        """Return all rows.

        Arguments are ``None``, numbers, strings, ``bytes``, UUIDs, times, and lists of these.
        """
        result = await self._execute(query.sql, args)
        names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
        try:
            self._types.set_pgresult(result)
            return self._types.load_rows(0, result.ntuples, lambda values: dict(zip(names, values, strict=True)))
        except (psycopg.Error, UnicodeError) as error:
            raise DatabaseRejected(_DATA_EXCEPTION, f"The result cannot be read: {error}") from None

    async def fetchrow(self, query: Query, *args: Any) -> Row | None:
        """Return the first row, or ``None``."""
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def fetchval(self, query: Query, *args: Any) -> Any:
        """Return the first column of the first row, or ``None``; no other column may have its name."""
        row = await self.fetchrow(query, *args)
        return None if row is None else next(iter(row.values()), None)

    async def execute(self, query: Query, *args: Any) -> None:
        """Run the query and discard its rows."""
        await self._execute(query.sql, args)

    async def script(self, sql: str) -> None:
        """Run several statements without parameters (the simple query protocol)."""
        _check(await self._answer(self._libpq.send_query, sql.encode()))

    async def _execute(self, sql: str, args: Sequence[Any]) -> pq.abc.PGresult:
        """Run a statement, prepared at its first use in this session, with its results in binary format."""
        try:
            values = self._types.dump_sequence([*map(array, args)], [PyFormat.TEXT] * len(args))
        except (psycopg.Error, UnicodeError) as error:
            raise DatabaseRejected(_CHARACTER_NOT_IN_REPERTOIRE, str(error)) from None
        known = sql in self._statements
        if not known:
            name = b"s%d" % next(self._names)
            _check(await self._answer(self._libpq.send_prepare, name, sql.encode()))
            self._statements[sql] = name
        result = await self._answer(
            self._libpq.send_query_prepared, self._statements[sql], values, None, pq.Format.BINARY
        )
        try:
            return _check(result)
        except DatabaseRejected as error:
            if error.sqlstate not in _STALE_STATEMENT:
                raise
            del self._statements[sql]
            if not (known and self.idle):
                raise
        return await self._execute(sql, args)

    async def _answer(self, send: Callable[..., None] | None, *args: Any) -> pq.abc.PGresult | None:
        """Send a command, if there is one, read the answer to its end, and return the last result in it."""
        libpq, result = self._libpq, None
        try:
            if send is not None:
                send(*args)
            while libpq.flush():
                await trio.lowlevel.wait_writable(self._fd)
                libpq.consume_input()
            while True:
                while not libpq.is_busy():  # at once, if the answer has come with the last flush
                    if (another := libpq.get_result()) is None:
                        return result
                    result = another
                    if result.status in _COPYING:
                        raise psycopg.NotSupportedError("COPY needs a client of its own")
                await trio.lowlevel.wait_readable(self._fd)
                libpq.consume_input()
        except psycopg.Error as error:
            self.close()
            raise DatabaseGone(str(error)) from None

    # Notifications

    async def notifications(self, take: Callable[[str], None]) -> NoReturn:
        """Call ``take`` with the payload of each notification, in order, with a checkpoint between any two.

        Raises `DatabaseGone`, and the exceptions of ``take``. After a cancellation nothing is lost: the next call goes
        on, also with what has arrived beside the answer to a query (PostgreSQL, section 32.9).
        """
        while True:
            self._backlog.extend(iter(self._libpq.notifies, None))
            if self._backlog:
                take(self._backlog.popleft().extra.decode())
            if self._backlog:
                await trio.lowlevel.checkpoint()
                continue
            await trio.lowlevel.wait_readable(self._fd)
            try:
                self._libpq.consume_input()
            except psycopg.Error as error:
                self.close()
                raise DatabaseGone(str(error)) from None

    # Cancellation

    async def reset(self) -> None:
        """Make the session `idle` after a cancelled query or inside a transaction, which is rolled back.

        The statement is cancelled on the server, over a connection of its own (PostgreSQL, section 32.7); its answer is
        read to the end. If any of that fails or is cancelled, the session is closed. Raises nothing else.
        """
        try:
            if self._libpq.flush():
                self.close()  # the server discards what it has only half received
            while self._libpq.transaction_status == pq.TransactionStatus.ACTIVE:
                cancel = partial(self._driver.cancel_safe, timeout=CONNECT_TIMEOUT_S)
                await trio.to_thread.run_sync(cancel, abandon_on_cancel=True)
                # A request that arrives before its statement has begun has no effect.
                with trio.move_on_after(_CANCEL_AGAIN_S):
                    await self._answer(None)
            if not self.idle:
                await self.script("rollback")
        except Exception as error:  # noqa: BLE001 - it is closed then, whatever the reason
            logger.debug("session_closed", error=str(error))
        finally:
            if not self.idle:
                self.close()


def _check(result: pq.abc.PGresult | None) -> pq.abc.PGresult:
    """Return a result that is no error; raises the error in place of PostgreSQL's otherwise."""
    if result is None:
        raise DatabaseGone("PostgreSQL has ended the connection.")
    if result.status != pq.ExecStatus.FATAL_ERROR:
        return result
    field = pq.DiagnosticField
    sqlstate, message, detail = (
        (result.error_field(code) or b"").decode(errors="replace")
        for code in (field.SQLSTATE, field.MESSAGE_PRIMARY, field.MESSAGE_DETAIL)
    )
    message = message or result.get_error_message()
    if sqlstate == _QUERY_CANCELED:
        raise DatabaseTooSlow(message, sqlstate)
    if sqlstate.startswith(_RESOURCES) or (sqlstate == _PROGRAM_LIMIT_EXCEEDED and "NOTIFY" in message):
        raise DatabaseFull(f"{message}: {detail}" if detail else message, sqlstate)
    if not sqlstate or sqlstate.startswith(_AWAY):
        raise DatabaseGone(message, sqlstate)
    raise DatabaseRejected(sqlstate, message, detail)
