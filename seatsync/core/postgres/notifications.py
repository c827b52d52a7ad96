"""A connection that receives notifications: libpq (through psycopg) on trio.

A notification takes one turn of the event loop here. Through asyncpg and the bridge to asyncio (`pool`) it takes three,
and twice the CPU time; and each node receives every notification. libpq reads the same addresses.
"""

from collections import deque
from collections.abc import Callable
from typing import NoReturn, Self

import psycopg
import trio
from psycopg import pq
from psycopg.conninfo import make_conninfo


class Disconnected(Exception):
    """There is no connection, or none any more; the message is PostgreSQL's or libpq's."""


def address_fault(dsn: str) -> str | None:
    """Return libpq's error message for a malformed address, else ``None``. libpq is stricter than asyncpg."""
    try:
        make_conninfo(dsn)
    except psycopg.Error as error:
        return str(error).strip()
    return None


class Notifications:
    """An open connection. One task calls `run`, another may call `value` (PostgreSQL, chapter 32)."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection
        self._fd = connection.socket
        self._backlog: deque[str] = deque()
        self._result: pq.abc.PGresult | None = None
        self._answered = trio.Event()

    @classmethod
    async def connect(cls, dsn: str, *, application_name: str) -> Self:
        """Connect to an address without an `address_fault`; raises `Disconnected`.

        A cancellation leaves no connection behind.
        """
        address = make_conninfo(dsn, application_name=application_name, client_encoding="UTF8")
        # In a thread, because it looks up the host name.
        connection = await trio.to_thread.run_sync(pq.PGconn.connect_start, address.encode(), abandon_on_cancel=True)
        try:
            await _connected(connection)
            return cls(connection)
        except BaseException as error:
            connection.finish()
            if isinstance(error, psycopg.Error):
                raise Disconnected(str(error)) from None
            raise

    def close(self) -> None:
        """Close the connection; `run` has ended."""
        self._connection.finish()

    async def run(self, take: Callable[[str], None]) -> NoReturn:
        """Call ``take`` with the payload of each notification, in order, with a checkpoint before each.

        Raises `Disconnected`, and the exceptions of ``take``. After a cancellation the connection is unusable.
        """
        while True:
            if self._backlog:
                await trio.lowlevel.checkpoint()
            else:
                await self._readable()
            self._read()
            if self._backlog:
                take(self._backlog.popleft())

    async def _readable(self) -> None:
        try:
            await trio.lowlevel.wait_readable(self._fd)
        except trio.ClosedResourceError:
            raise Disconnected("the connection is closed") from None

    def _read(self) -> None:
        try:
            self._connection.consume_input()
        except psycopg.Error as error:
            raise Disconnected(str(error)) from None
        while (notification := self._connection.notifies()) is not None:
            self._backlog.append(notification.extra.decode())
        while not (self._answered.is_set() or self._connection.is_busy()):
            result = self._connection.get_result()
            if result is None:
                self._answered.set()
            else:
                self._result = result

    async def value(self, query: str, *args: str) -> str:
        """Return the first column of a query's first row as text, ``""`` if there is none, while `run` is running.

        Raises `Disconnected`, also if the query fails. After a cancellation the connection is unusable.
        """
        self._result, self._answered = None, trio.Event()
        try:
            self._connection.send_query_params(query.encode(), [arg.encode() for arg in args])
            while self._connection.flush():
                await trio.lowlevel.wait_writable(self._fd)
        except psycopg.Error as error:
            trio.lowlevel.notify_closing(self._fd)  # libpq may have closed it, and its number may be reused
            raise Disconnected(str(error)) from None
        await self._answered.wait()
        result = self._result
        if result is None or result.status not in {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK}:
            raise Disconnected("no answer" if result is None else result.get_error_message())
        value = result.get_value(0, 0) if result.ntuples else None
        return "" if value is None else value.decode()


async def _connected(connection: pq.abc.PGconn) -> None:
    """Poll until the connection is open (PostgreSQL, section 32.1)."""
    while connection.status != pq.ConnStatus.BAD:
        match connection.connect_poll():
            case pq.PollingStatus.OK:
                connection.nonblocking = 1
                return
            case pq.PollingStatus.READING:
                await trio.lowlevel.wait_readable(connection.socket)
            case pq.PollingStatus.WRITING:
                await trio.lowlevel.wait_writable(connection.socket)
            case _:
                break
    raise Disconnected(connection.get_error_message())
