"""A real server in the test's own nursery, on free ports."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from socket import IPPROTO_TCP, TCP_NOTSENT_LOWAT, socket
from typing import Any

import trio
from attrs import frozen

from seatsync import app
from seatsync.config import Settings, load_settings
from seatsync.core.net.listen import UNSENT_BYTES
from seatsync.core.net.stream import SLOW_BYTES
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query
from seatsync.core.postgres.session import Row
from seatsync.core.timing import Timing
from seatsync.serve.process import open_sockets
from seatsync.user import accounts
from seatsync.user.phrases import Cost
from tests.support.client import Client, open_client
from tests.support.people import CHEAP

SECRET = "tests only: " + 32 * "s"


@frozen
class RunningServer:
    """A server that accepts connections."""

    settings: Settings
    port: int
    """For HTTP."""
    ws_port: int
    """For WebSockets."""
    db: Database
    """A pool of the test's own on the same database."""
    stop: trio.Event
    skip_delay: trio.Event
    """Ends `DRAIN_DELAY`."""

    async def sql(self, statements: str) -> None:
        """Run SQL as in psql."""
        async with self.db.session(timeout=30) as session:
            await session.script(statements)

    async def rows(self, query: str, *args: Any) -> list[Row]:
        """The rows of a query."""
        return await self.db.fetch(Query("test", query), *args, timeout=30)

    async def value(self, query: str, *args: Any) -> Any:
        """The first column of the first row."""
        return await self.db.fetchval(Query("test", query), *args, timeout=30)

    async def token(self, name: str, role: str = "operator") -> str:
        """A session token of that user, which is added if missing."""
        (token,) = await accounts.session_tokens(self.db, self.settings, name, create=True, count=1)
        if role != "operator":
            await accounts.set_role(self.db, name, role, force=True)  # type: ignore[arg-type]  # tests name real roles
            (token,) = await accounts.session_tokens(self.db, self.settings, name, create=False, count=1)
        return token

    @asynccontextmanager
    async def client(self, token: str | None = None, *, cookie: str | None = None) -> AsyncIterator[Client]:
        """A WebSocket client, signed in if it has a token."""
        headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        if cookie:
            headers.append((b"Cookie", cookie.encode()))
        async with open_client(self.ws_port, headers) as client:
            yield client


def server_settings(database_url: str, **overrides: str) -> Settings:
    """Settings of a server for tests, read as from the environment."""
    environment = {
        "DATABASE_URL": database_url,
        "JWT_SECRET": SECRET,
        "SECRETS_KEY": SECRET,
        "PORT": "0",
        "WS_PORT": "0",
        "DB_POOL_SIZE": "4",
        "MAX_CONNECTIONS": "1000",
        "DEFAULT_ROLE": "operator",
        **overrides,
    }
    return load_settings(environment, dotenv=None)


@asynccontextmanager
async def running_server(
    database_url: str,
    *,
    timing: Timing = Timing(),
    slow_bytes: int = SLOW_BYTES,
    phrase_cost: Cost = CHEAP,
    **overrides: str,
) -> AsyncIterator[RunningServer]:
    """A server on that database; it and all its tasks have ended when the block ends."""
    settings = server_settings(database_url, **overrides)
    up, stop, skip_delay = trio.Event(), trio.Event(), trio.Event()

    async def started() -> None:
        up.set()

    async def serve(listening: list[socket]) -> None:
        await app.serve(
            settings,
            listening,
            stop,
            started=started,
            skip_delay=skip_delay,
            timing=timing,
            slow_bytes=slow_bytes,
            phrase_cost=phrase_cost,
        )

    with ExitStack() as sockets:
        listening = open_sockets(settings, sockets)
        for one in listening:
            one.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, min(slow_bytes, UNSENT_BYTES))
        port, ws_port = (one.getsockname()[1] for one in (listening[0], listening[-1]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, listening)
            with trio.fail_after(20):
                await up.wait()
            async with Database.open(database_url, size=4) as db:
                yield RunningServer(settings, port, ws_port, db, stop, skip_delay)
            stop.set()
            skip_delay.set()
