"""People at a server without sockets: browsers that keep cookies, programs that do not, and their authenticators.

Calls go the way they go in the server: cookies → `Authenticator` → `Registry` → the method → PostgreSQL, and the
answer's cookies back into the browser.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import orjson
import pyotp
import trio
from attrs import define, evolve, field, frozen

from seatsync.config import Settings, load_settings
from seatsync.core.postgres.pool import Database, Row, open_loop
from seatsync.core.postgres.queries import Query
from seatsync.core.protocol.call import Call, Client
from seatsync.core.protocol.registry import Registry
from seatsync.core.tokens import Tokens
from seatsync.errors import SeatSyncError
from seatsync.user.methods import UserMethods
from seatsync.user.sessions import Authenticator
from seatsync.user.store import UserStore

JWT_KEY = "a key of 32 bytes that guards no house"
LOCAL, REMOTE = "127.0.0.1", "192.0.2.1"


@define
class Clock:
    """A clock that moves when told."""

    now: float = field(factory=time.time)

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def next_code(self) -> None:
        """Go on until authenticators show a code that was not used yet."""
        self.now += 30


@define
class House:
    """A server's user domain on a database."""

    db: Database
    clock: Clock
    tokens: Tokens
    registry: Registry
    authenticator: Authenticator

    def browser(self, address: str = REMOTE) -> "Browser":
        """A browser nobody has used yet."""
        return Browser(self, address)

    def evolve_settings(self, **changes: Any) -> "House":
        """The same house, differently set."""
        methods = UserMethods(self.db, self.tokens, evolve(_settings(), **changes), self.clock)
        return evolve(self, registry=Registry(methods.table(), public_view=True))

    async def sql(self, statement: str, *args: Any) -> list[Row]:
        """Run a statement as a maintainer would."""
        return await self.db.fetch(Query("test", "A test's own.", statement), *args)

    async def value(self, statement: str, *args: Any) -> Any:
        """The first column of the first row."""
        return await self.db.fetchval(Query("test", "A test's own.", statement), *args)

    async def register(self, username: str, browser: "Browser | None" = None) -> "Phone":
        """A user made the usual way, and the authenticator that was enrolled."""
        browser = browser or self.browser()
        phone = Phone.scan(self.clock, await browser("user.auth_start", username=username))
        await browser("user.register", username=username, code=phone.code())
        self.clock.next_code()
        return phone


@frozen
class Phone:
    """An authenticator."""

    clock: Clock
    secret: str

    @classmethod
    def scan(cls, clock: Clock, candidate: dict[str, Any]) -> "Phone":
        """One that has scanned the QR code of that answer."""
        assert candidate["status"] == "candidate"
        return cls(clock, candidate["qr_url"].partition("secret=")[2])

    def code(self, drift: int = 0) -> str:
        """What it shows, or showed or will show so many steps away."""
        return pyotp.TOTP(self.secret).generate_otp(int(self.clock.now // 30) + drift)

    def wrong_code(self) -> str:
        """Six digits that it does not show anywhere near now."""
        near = {self.code(drift) for drift in range(-2, 3)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in near)


@define
class Browser:
    """A client over HTTP that keeps its cookies."""

    house: House
    address: str
    cookies: dict[str, str] = field(factory=dict)
    last: Call | None = None
    """The newest call, with what its answer carried besides data."""

    async def client(self, authorization: str | None = None) -> Client:
        """Who it is for the server just now."""
        return await self.house.authenticator.client(self.address, authorization, self.cookies)

    async def __call__(self, name: str, /, **data: Any) -> Any:
        """The answer of a method."""
        return await self.call(name, data, await self.client())

    async def call(
        self, name: str, data: dict[str, Any], client: Client, transport: Literal["http", "ws"] = "http"
    ) -> Any:
        """The answer of a method to that client."""
        registry, tokens = self.house.registry, self.house.tokens
        if client.visitor_is_new:
            self._set(tokens.visitor_cookie(client.visitor))
        self.last = call = Call(client, registry.find(name), "1", transport)
        answer = orjson.loads(await registry.answer(call, data))
        if call.new_session is not None and transport == "http":
            assert client.visitor_next is not None
            self._set(tokens.session_cookie(call.new_session))
            self._set(tokens.visitor_cookie(client.visitor_next))
        if call.session_ended:
            self._set(tokens.clear_session_cookie())
        return answer

    def _set(self, cookie: str) -> None:
        name, _, value = cookie.partition(";")[0].partition("=")
        self.cookies[name] = value


@asynccontextmanager
async def open_house(database_url: str) -> AsyncIterator[House]:
    """A house on that database."""
    async with open_loop(), Database.open(database_url, size=8) as db, trio.open_nursery() as nursery:
        clock, tokens = Clock(), Tokens(JWT_KEY, cookie_secure=False)
        registry = Registry(UserMethods(db, tokens, _settings(), clock).table(), public_view=True)
        yield House(db, clock, tokens, registry, Authenticator(UserStore(db), tokens, nursery.start_soon))


def _settings() -> Settings:
    return load_settings({"SEATSYNC_DATA": str(Path.cwd())}, dotenv=None)


async def outcome(attempt: Callable[[], Awaitable[Any]]) -> str:
    """The code of the error a call ends in; "success" for none."""
    try:
        await attempt()
    except SeatSyncError as error:
        return error.code
    return "success"


async def outcomes(attempts: Sequence[Callable[[], Awaitable[Any]]]) -> list[str]:
    """The outcomes of calls made at the same time, sorted."""
    found: list[str] = []

    async def run(attempt: Callable[[], Awaitable[Any]]) -> None:
        found.append(await outcome(attempt))

    async with trio.open_nursery() as nursery:
        for attempt in attempts:
            nursery.start_soon(run, attempt)
    return sorted(found)
