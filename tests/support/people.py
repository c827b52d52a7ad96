"""The user domain without sockets: browsers with cookies, programs with tokens, and their authenticators.

Calls take the server's path: cookies → `Authenticator` → `Registry` → the method → PostgreSQL, and the reply's cookies
back into the browser.
"""

import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pyotp
import trio
from attrs import define, evolve, field, frozen

from seatsync import jsontext
from seatsync.config import Role, Settings, load_settings
from seatsync.core.http.cookies import Cookies
from seatsync.core.http.request import Request
from seatsync.core.http.source import Source
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Call, Client, Reply, new_id
from seatsync.core.protocol.registry import Registry, encode
from seatsync.errors import SeatSyncError
from seatsync.user import accounts
from seatsync.user.last_seen import LastSeen
from seatsync.user.login_topic import LoginTopic
from seatsync.user.methods import UserMethods
from seatsync.user.phrases import Cost
from seatsync.user.session_list import SessionMethods
from seatsync.user.sessions import Authenticator
from seatsync.user.tokens import Tokens

JWT_KEY = "a key of 32 bytes that guards no house"
SECRETS_KEY = "a key of 32 bytes that opens no house"
IDLE_HOURS = 48
CHEAP = Cost(log_n=4)
"""For phrases, where neither time nor strength is tested."""
LOCAL, REMOTE = "127.0.0.1", "192.0.2.1"


@frozen
class NewUser:
    """The credentials of a user that a command has added."""

    uri: str
    phrase: str

    @property
    def secret(self) -> str:
        """The authenticator's."""
        return self.uri.partition("secret=")[2]


async def create_user(db: Database, settings: Settings, name: str, role: Role, *, cost: Cost = CHEAP) -> NewUser:
    """Add a user with new credentials, as `seatsync user create` does."""
    shown: list[NewUser] = []
    await accounts.add_user(db, settings, name, role, lambda *parts: shown.append(NewUser(*parts)), cost=cost)
    return shown[0]


async def undrawn(uri: str) -> str:
    """The URI in place of its QR code, which takes longer than the rest of a registration."""
    return f"data:image/svg+xml;base64,{base64.b64encode(uri.encode()).decode()}"


def _settings() -> Settings:
    environ = {
        "SEATSYNC_DATA": str(Path.cwd()),
        "JWT_SECRET": JWT_KEY,
        "SECRETS_KEY": SECRETS_KEY,
        "DEFAULT_ROLE": "operator",
    }
    return load_settings(environ, dotenv=None)


@define
class Clock:
    """A clock that a test moves."""

    now: float = field(factory=time.time)

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def next_code(self) -> None:
        """Advance until authenticators show an unused code."""
        self.now += 30


@define
class Users:
    """A server's user domain on a database."""

    db: Database
    clock: Clock
    tokens: Tokens
    cookies: Cookies
    registry: Registry
    authenticator: Authenticator
    logins: LoginTopic
    seen: LastSeen
    cost: Cost
    settings: Settings = field(factory=_settings)

    def browser(self, address: str = REMOTE) -> "Browser":
        """A browser without cookies."""
        return Browser(self, address)

    def evolve_settings(self, **changes: Any) -> "Users":
        """Replace some settings."""
        settings = evolve(self.settings, **changes)
        methods = UserMethods(
            self.db, self.tokens, settings, self.logins, self.clock, seen=self.seen, phrase_cost=self.cost, draw=undrawn
        )
        return evolve(self, registry=Registry(methods.table(), public_view=True), settings=settings)

    async def sql(self, statement: str, *args: Any) -> list[Row]:
        """Run a statement as a maintainer would."""
        return await self.db.fetch(Query("test", statement), *args)

    async def value(self, statement: str, *args: Any) -> Any:
        """The first column of the first row."""
        return await self.db.fetchval(Query("test", statement), *args)

    async def create(self, username: str, role: Role = "viewer") -> NewUser:
        """A user whom the command line has added."""
        return await create_user(self.db, self.settings, username, role, cost=self.cost)

    async def register(self, username: str, browser: "Browser | None" = None) -> "Phone":
        """Register a user; returns the authenticator that was enrolled."""
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
        """An authenticator that has scanned the QR code of that answer."""
        assert candidate["status"] == "candidate"
        return cls(clock, candidate["qr_url"].partition("secret=")[2])

    def code(self, drift: int = 0) -> str:
        """The code it shows, ``drift`` steps from now."""
        return pyotp.TOTP(self.secret).generate_otp(int(self.clock.now // 30) + drift)

    def wrong_code(self) -> str:
        """Six digits that are no code of the steps around now."""
        near = {self.code(drift) for drift in range(-2, 3)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in near)


@define
class Browser:
    """A client over HTTP that keeps its cookies."""

    users: Users
    address: str
    cookies: dict[str, str] = field(factory=dict)
    last: tuple[Call, Reply] | None = None
    """The newest call and its reply."""

    async def client(self, authorization: str | None = None) -> Client:
        """The client that the server finds for it."""
        headers = {} if authorization is None else {b"authorization": authorization.encode()}
        token = Request("POST", "/", "", b"1.1", headers).bearer()
        return await self.users.authenticator.client(Source(self.address, self.address == LOCAL), token, self.cookies)

    async def __call__(self, name: str, /, **data: Any) -> Any:
        """The answer of a method."""
        return await self.call(name, data, await self.client())

    async def call(
        self, name: str, data: dict[str, Any], client: Client, transport: Literal["http", "ws"] = "http"
    ) -> Any:
        """Call a method as that client; returns its answer."""
        registry, cookies = self.users.registry, self.users.cookies
        method = registry.find(name)
        if client.visitor_is_new and method.makes_visitor and transport == "http":
            self._set(cookies.visitor_cookie(client.visitor, client.enrolment))
        call = Call(client, name, "1", transport)
        reply = await registry.run(method, call, data)
        self.last = call, reply
        if reply.login is not None and transport == "http":
            self._set(cookies.session_cookie(reply.login.token))
            self._set(cookies.visitor_cookie(reply.login.visitor, new_id()))
        if reply.enrolment is not None and transport == "http":
            self._set(cookies.visitor_cookie(client.visitor, reply.enrolment))
        if reply.logged_out:
            self._set(cookies.clear_session_cookie())
        return jsontext.loads(encode(reply.data))

    def _set(self, cookie: str) -> None:
        name, _, value = cookie.partition(";")[0].partition("=")
        self.cookies[name] = value


@asynccontextmanager
async def open_users(database_url: str, cost: Cost) -> AsyncIterator[Users]:
    """Open the user domain on that database, with that cost of phrases."""
    async with Database.open(database_url, size=8) as db, trio.open_nursery() as nursery:
        clock, tokens, cookies = Clock(), Tokens(JWT_KEY), Cookies(JWT_KEY, secure=False)
        logins, seen = LoginTopic(nursery.start_soon), LastSeen(db, IDLE_HOURS)
        methods = UserMethods(db, tokens, _settings(), logins, clock, seen=seen, phrase_cost=cost, draw=undrawn).table()
        registry = Registry([*methods, *SessionMethods(db, seen, IDLE_HOURS).table()], public_view=True)
        authenticator = Authenticator(db, tokens, cookies, nursery.start_soon, seen=seen, idle_hours=IDLE_HOURS)
        yield Users(db, clock, tokens, cookies, registry, authenticator, logins, seen, cost)


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
