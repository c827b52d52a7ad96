"""The events of accounts by each way: over HTTP, over a WebSocket and by SQL, as rows, as log lines and as metrics.

The server trusts this machine as a proxy, so that each client has the address that it claims.
"""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pyotp
import pytest
from attrs import define, field
from structlog.testing import capture_logs
from structlog.typing import EventDict

from seatsync.core.telemetry.logs import redact
from seatsync.core.timing import Timing
from seatsync.user import accounts, keys
from seatsync.user.auth_events import BATCH
from tests.support.client import Client, http, open_client
from tests.support.server import RunningServer, running_server
from tests.support.service_keys import service_key
from tests.support.waiting import eventually

HOME, ELSEWHERE = "192.0.2.1", "2001:db8::7"
WRONG_PHRASE = "babab babab babab babab babab"
FAST = Timing(auth_log_s=0.02, seen_write_s=0.02)
WAYS = ["http", "ws"]


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[RunningServer]:
    """A server behind a proxy."""
    async with running_server(database_url, timing=FAST, TRUSTED_PROXIES="127.0.0.0/8,::1/128") as server:
        yield server


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """The log lines from now on."""
    with capture_logs() as logs:
        yield logs


@define
class Program:
    """A client at an address, over HTTP with its cookies or over WebSockets with its token."""

    server: RunningServer
    way: str
    sockets: AsyncExitStack
    address: str = HOME
    secret: str = ""
    cookies: dict[str, str] = field(factory=dict)
    socket: Client | None = None

    async def call(self, method: str, **data: Any) -> Any:
        """The data of an answer, or the code of its error."""
        answer = await (self._post if self.way == "http" else self._send)(f"user.{method}", data)
        if answer["error"] is None and "token" in answer["data"]:
            await self.connect(answer["data"]["token"])
        return answer["error"] or answer["data"]

    async def _post(self, method: str, data: dict[str, Any]) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"X-Forwarded-For": self.address, **({"Cookie": cookie} if cookie else {})}
        answer = await http(self.server.port, "POST", f"/api/{method.replace('.', '/')}", data, headers)
        self.cookies |= answer.cookies()
        return answer.json()

    async def _send(self, method: str, data: dict[str, Any]) -> Any:
        if self.socket is None:
            await self.connect()
        assert self.socket is not None
        return await self.socket.call(method, data)

    async def connect(self, token: str | None = None) -> None:
        """Open a WebSocket with that token; nothing over HTTP."""
        if self.way == "ws":
            headers = [(b"X-Forwarded-For", self.address.encode())]
            headers += [(b"Authorization", f"Bearer {token}".encode())] if token else []
            self.socket = await self.sockets.enter_async_context(open_client(self.server.ws_port, headers))

    async def enrol(self, method: str = "auth_start", **data: Any) -> None:
        """Begin an enrolment of ada's and confirm it."""
        candidate = await self.call(method, username="ada", **data)
        self.secret = candidate["qr_url"].partition("secret=")[2]
        assert (await self.call("register", username="ada", code=await self.code()))["status"] == "user"

    async def code(self) -> str:
        """A code that has not been used yet."""
        await self.server.sql("update app_user set totp_last_step = 0")
        return pyotp.TOTP(self.secret).now()

    def wrong_code(self) -> str:
        """Six digits that are no code of the steps around now."""
        totp, step = pyotp.TOTP(self.secret), int(time.time() // 30)
        near = {totp.generate_otp(step + drift) for drift in range(-2, 5)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in near)


@asynccontextmanager
async def signed_in(server: RunningServer, way: str) -> AsyncIterator[Program]:
    """Signed in as ada, who is new."""
    async with AsyncExitStack() as sockets:
        program = Program(server, way, sockets)
        await program.enrol()
        yield program


async def recorded(server: RunningServer) -> list[tuple[str, str]]:
    """Event and reason of all rows, once they are logged."""
    await eventually(partial(server.value, "select not exists (select from auth_event_pending)"))
    return [(row["event"], row["reason"]) for row in await server.rows("select * from auth_event order by id")]


def lines_of(logs: list[EventDict]) -> list[EventDict]:
    """The lines of events, as they are written."""
    return [redact(None, "", line) for line in logs if line["event"].startswith("auth.")]


async def counted(server: RunningServer) -> Counter[tuple[str, str]]:
    """The counters of events, by event and reason."""
    text = (await http(server.port, "GET", "/metrics")).body.decode()
    found = re.findall(r'^seatsync_auth_events_total{event="(.*)",reason="(.*)"} (.*)$', text, re.MULTILINE)
    return Counter({(event, reason): int(float(count)) for event, reason, count in found})


@pytest.mark.parametrize("way", WAYS)
async def test_what_a_user_does(server: RunningServer, way: str, logs: list[EventDict]) -> None:
    """Each event has a row, a line and a count, with the account, the client's own address, its device and a reason."""
    async with signed_in(server, way) as ada:
        assert await ada.call("login", username="ADA", code=ada.wrong_code()) == "InvalidCode"
        assert await ada.call("recovery_phrase", code=ada.wrong_code()) == "InvalidCode"
        assert await ada.call("login", username="nobody", code="123456") == "UserNotFound"
        assert (await ada.call("login", username="ada", code=await ada.code()))["status"] == "user"
        phrase = (await ada.call("recovery_phrase", code=await ada.code()))["phrase"]
        await ada.call("save_recovery_phrase", phrase=phrase)
        assert await ada.call("recover", username="ada", phrase=WRONG_PHRASE) == "InvalidRecoveryPhrase"
        await ada.enrol("recover", phrase=phrase)
        await ada.call("logout")
        rows = await recorded(server)
        assert rows == [
            ("auth.registered", "registration"),
            ("auth.login_failed", "wrong_code"),
            ("auth.login_failed", "wrong_code"),
            ("auth.login_failed", "unknown_user"),
            ("auth.session_ended", "login"),
            ("auth.login_failed", "wrong_phrase"),
            ("auth.recovered", "recovery"),
            ("auth.session_ended", "recovery"),
            ("auth.session_ended", "logout"),
        ]
        kept = await server.rows("select * from auth_event order by id")
        assert [row["username"] for row in kept] == ["ada", "ada", "ada", "nobody", *["ada"] * 5]
        assert [row["user_id"] for row in kept] == [1, 1, 1, None, *[1] * 5]
        assert {row["address"] for row in kept} == {HOME}
        assert all(re.fullmatch("[0-9a-f]{16}", row["device"]) for row in kept)
        lines = lines_of(logs)
        assert [(line["event"], line["reason"], line["user"], line["address"], line["device"]) for line in lines] == [
            (row["event"], row["reason"], row["username"], HOME, row["device"]) for row in kept
        ]
        assert await counted(server) == Counter(rows)


@pytest.mark.parametrize("way", WAYS)
async def test_a_device_is_that_of_the_table_of_known_ones(server: RunningServer, way: str) -> None:
    """It tells whether a device has signed in before, and is no id that anybody could send."""
    async with signed_in(server, way) as ada:
        assert await ada.call("login", username="ada", code=ada.wrong_code()) == "InvalidCode"
        known = await server.value(
            "select encode(visitor, 'hex') like device || '%' from known_visitor, auth_event"
            " where reason = 'wrong_code'"
        )
        assert known == (ada.way == "http")  # each of a program's sockets has another visitor


@pytest.mark.parametrize("way", WAYS)
async def test_attempts_that_are_not_looked_at(server: RunningServer, way: str, logs: list[EventDict]) -> None:
    """Those that have to wait, the lockout, and those in it; the one line of the lockout is a warning."""
    async with signed_in(server, way) as ada:
        stranger = Program(server, ada.way, ada.sockets, ELSEWHERE, ada.secret)
        await server.sql("insert into lockout (user_id, failures) values (1, 95)")
        wrong = ada.wrong_code()
        found = [await stranger.call("login", username="ada", code=wrong) for _ in range(6)]
        assert found == ["InvalidCode"] * 5 + ["TooManyLoginAttempts"]
        await server.sql("update lockout set failures = 99; delete from throttle where scope = 'code'")
        assert await stranger.call("login", username="ada", code=wrong) == "InvalidCode"
        assert (await recorded(server))[1:] == [
            *[("auth.login_failed", "wrong_code")] * 4,
            ("auth.locked", "unknown_clients"),
            ("auth.login_failed", "wrong_code"),
            ("auth.login_failed", "locked_out"),
            ("auth.locked", "unknown_clients"),
            ("auth.login_failed", "wrong_code"),
        ]
        assert {line["address"] for line in lines_of(logs) if line["event"] != "auth.registered"} == {ELSEWHERE}
        assert {line["log_level"] for line in lines_of(logs) if line["event"] == "auth.locked"} == {"warning"}


@pytest.mark.parametrize("way", WAYS)
async def test_a_phrase_that_has_to_wait(server: RunningServer, way: str) -> None:
    """Guesses at a phrase are recorded as guesses at a code are."""
    async with signed_in(server, way) as ada:
        for _ in range(6):
            await ada.call("recover", username="ada", phrase=WRONG_PHRASE)
        assert (await recorded(server))[1:] == [
            *[("auth.login_failed", "wrong_phrase")] * 5,
            ("auth.login_failed", "waiting"),
        ]


@pytest.mark.parametrize("way", WAYS)
async def test_sessions_that_are_ended_from_another(server: RunningServer, way: str) -> None:
    """The event has the client that ends them, or is that of a command."""
    async with signed_in(server, way) as ada:
        await server.sql("insert into session (user_id) values (1)")
        assert await ada.call("end_sessions") == {"ended": 1}
        assert (await recorded(server))[1:] == [("auth.session_ended", "ended")]
        assert await server.value("select address from auth_event where reason = 'ended'") == HOME
    assert await accounts.end_sessions(server.db, {"id": 1}) == 1
    assert (await recorded(server))[2:] == [("auth.session_ended", "command")]


async def test_a_service_key(server: RunningServer, logs: list[EventDict]) -> None:
    """Its first use has the address, and its end says what it was; later uses leave no event."""
    key = await service_key(server.db)
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": HOME}
    used = "select exists (select from auth_event where event = 'auth.key_used_first')"
    await http(server.port, "POST", "/api/user/status", {}, headers)
    await eventually(partial(server.value, used))
    await server.sql("update session set last_seen_at = now() - interval '1 hour'")
    await http(server.port, "POST", "/api/user/status", {}, headers)
    await eventually(partial(server.value, "select last_seen_at > now() - interval '1 minute' from session"))
    await keys.revoke_key(server.db, "door-3")
    rows = await recorded(server)
    assert rows == [
        ("auth.registered", "command"),
        ("auth.key_used_first", "key"),
        ("auth.session_ended", "command"),
    ]
    assert [(line.get("address"), line["user"], line.get("detail")) for line in lines_of(logs)] == [
        (None, "door-3", "operator"),
        (HOME, "door-3", None),
        (None, "door-3", "service key"),
    ]
    assert await counted(server) == Counter(rows)


async def test_what_sql_and_commands_do(server: RunningServer, logs: list[EventDict]) -> None:
    """The server logs and counts them as its own, with the role that was logged in and without a client."""
    await server.token("ada")
    await accounts.set_role(server.db, "ada", "admin", force=True)
    await server.sql("update app_user set role = 'viewer'; insert into session (user_id) values (1), (1)")
    await server.sql("delete from session; insert into session (user_id) values (1); delete from app_user")
    rows = await recorded(server)
    assert rows == [
        ("auth.registered", "command"),
        ("auth.role_changed", "command"),
        ("auth.session_ended", "role"),
        ("auth.role_changed", "sql"),
        ("auth.session_ended", "sql"),
        ("auth.session_ended", "sql"),
        ("auth.deleted", "sql"),
        ("auth.session_ended", "deletion"),
    ]
    lines = lines_of(logs)
    assert [(line["event"], line["reason"]) for line in lines] == rows
    assert {(line["user"], line.get("address"), line.get("device")) for line in lines} == {("ada", None, None)}
    assert {line["db_role"] for line in lines} == {await server.value("select session_user::text")}
    assert [line["detail"] for line in lines if line["event"] == "auth.role_changed"] == [
        "operator to admin",
        "admin to viewer",
    ]
    assert await counted(server) == Counter(rows)


async def test_one_server_logs_an_event(server: RunningServer, database_url: str, logs: list[EventDict]) -> None:
    """Of several: what they count adds up, and lines are written once. What happened while none ran is logged, too."""
    async with running_server(database_url, timing=FAST) as other:
        await server.token("ada")
        await server.sql(
            f"insert into session (user_id) select 1 from generate_series(1, {2 * BATCH}); truncate session"
        )
        rows = await recorded(server)
        assert await counted(server) + await counted(other) == Counter(rows)
    assert len(lines_of(logs)) == len(rows) == 2 * BATCH + 2


async def test_a_flood_has_few_lines(server: RunningServer, logs: list[EventDict]) -> None:
    """Ten rows and lines a minute; the metric counts all, once the minute is over. Sign-in goes on as before."""
    await server.sql("insert into throttle values ('lookup', '192.0.2.1', -1000, now(), 'infinity')")
    headers = {"X-Forwarded-For": HOME}
    guess = {"username": "nobody", "code": "123456"}
    for _ in range(15):
        await http(server.port, "POST", "/api/user/login", guess, headers)
    await server.sql("delete from throttle where scope = 'auth_event'")
    assert await recorded(server) == [("auth.login_failed", "unknown_user")] * 10 + [("auth.login_failed", "flood")]
    assert [line["times"] for line in lines_of(logs) if "times" in line] == [5]
    assert await counted(server) == {("auth.login_failed", "unknown_user"): 10, ("auth.login_failed", "flood"): 5}


@pytest.mark.parametrize("name", ["ada\n2026-01-01 auth.login_failed", "\x1b[31mada", "ada\x00", "ada\u2028"])
@pytest.mark.parametrize("way", WAYS)
async def test_names_with_control_characters(server: RunningServer, way: str, logs: list[EventDict], name: str) -> None:
    """They are no names, and get into no line and no row."""
    async with signed_in(server, way) as ada:
        assert await ada.call("login", username=name, code="123456") == "InvalidUsername"
        assert await recorded(server) == [("auth.registered", "registration")]
        assert all(str(value).isprintable() for line in logs for value in redact(None, "", line).values())


async def test_sql_invents_no_label_and_no_line(server: RunningServer, logs: list[EventDict]) -> None:
    """Reasons that SQL invents are counted as one, and what it claims is printable."""
    await server.token("ada")
    await server.sql(
        "begin; set local seatsync.auth_reason = 'invented'; set local seatsync.auth_device = E'\\r\\x1b[2J';"
        " delete from session; commit;"
        r" insert into auth_event (event, reason, username) values ('auth.invented', 'sql', E'a\nb')"
    )
    await recorded(server)
    assert set(await counted(server)) == {
        ("auth.registered", "command"),
        ("auth.session_ended", "other"),
        ("other", "other"),
    }
    assert all(str(value).isprintable() for line in lines_of(logs) for value in line.values())


@pytest.mark.parametrize("way", WAYS)
async def test_socket_lines_have_the_address(server: RunningServer, way: str, logs: list[EventDict]) -> None:
    """A request that fails over a WebSocket is logged with its client's address, as over HTTP."""
    async with signed_in(server, way) as ada:
        await ada.call("login", username="ada", code=ada.wrong_code())
        lines = [line for line in logs if line["event"] == "request_failed"]
        assert [(line["error"], line["address"]) for line in lines] == [("InvalidCode", HOME)]


async def test_events_that_cannot_be_taken_are_reported(server: RunningServer, logs: list[EventDict]) -> None:
    """A role without the rights of this version, for one; once, and the server goes on."""
    await server.sql("alter function take_auth_events(integer) rename to gone")

    async def reported() -> bool:
        return any(line["event"] == "auth_events_not_logged" for line in logs)

    await eventually(reported)
    await server.sql("alter function gone(integer) rename to take_auth_events")
    await server.token("ada")
    assert await recorded(server) == [("auth.registered", "command")]
    assert len([line for line in logs if line["event"] == "auth_events_not_logged"]) == 1
