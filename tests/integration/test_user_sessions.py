"""A user's sessions: shown, ended, noted as in use, and ended when they are not."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import trio
from structlog.testing import capture_logs

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.timing import Timing
from seatsync.user.last_seen import LastSeen
from tests.support.browser import Browser
from tests.support.client import Client, http, open_client
from tests.support.halls import make_hall
from tests.support.proxy import proxy_to
from tests.support.server import RunningServer, running_server
from tests.support.waiting import eventually

GUEST = {"status": "guest"}
REVOKED = 4001
FIELDS = ["id", "created_at", "last_seen_at", "expires_at", "address", "user_agent", "current"]

quick = pytest.mark.parametrize("timing", [Timing(login_close_s=0.1, revoked_wait_s=0.1)], ids=[""])
"""Closes after 0.2 instead of 1.5 seconds."""


@pytest.fixture
async def other(database_url: str, timing: Timing) -> AsyncIterator[RunningServer]:
    """A second server on the database of the first."""
    async with running_server(database_url, timing=timing) as other:
        yield other


async def post(server: RunningServer, token: str, method: str, data: Any = None, **headers: str) -> Any:
    """The answer of a method over HTTP."""
    fields = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return (await http(server.port, "POST", f"/api/user/{method}", data, fields)).json()


async def sessions(server: RunningServer, token: str) -> list[dict[str, Any]]:
    """What ``user.sessions`` shows."""
    found: list[dict[str, Any]] = (await post(server, token, "sessions"))["data"]
    return found


# Shown


async def test_sessions_of_the_user_alone(server: RunningServer) -> None:
    """Each of the user's has all fields, the newest first; nobody else's is among them, nor one that has ended."""
    await server.token("bert")
    tokens = [await server.token("anna") for _ in range(3)]
    gone, one, two = await server.rows(
        "select s.id::text from session s join app_user u on u.id = s.user_id where username = 'anna' "
        "order by s.created_at"
    )
    await server.sql(f"update session set expires_at = now() where id = '{gone['id']}'")
    async with server.client(tokens[2]) as client:
        for found in (await client.data("user.sessions"), await sessions(server, tokens[2])):
            assert [list(session) for session in found] == [FIELDS] * 2
            assert [session["id"] for session in found] == [two["id"], one["id"]]
            assert [session["current"] for session in found] == [True, False]
            assert all(session["expires_at"] > session["created_at"] for session in found)


async def test_where_a_session_was_used(server: RunningServer) -> None:
    """Address and user agent, also of a session that has only just begun elsewhere, and of a socket."""
    browser = Browser(server)
    await browser.register("anna")
    token, agent = await server.token("anna"), "till/2 \xff" + "x" * 400
    headers = [(b"Authorization", f"Bearer {token}".encode()), (b"User-Agent", agent.encode("latin-1"))]
    async with open_client(server.ws_port, headers) as client:
        newest, first = await client.data("user.sessions")
    assert newest["user_agent"] == agent[:256]
    assert {newest["address"], first["address"]} <= {"127.0.0.1", "::1"}
    assert first["user_agent"] is None
    found = (await post(server, await server.token("anna"), "sessions", User_Agent="Lynx"))["data"]
    assert [session["user_agent"] for session in found] == ["Lynx", agent[:256], None]


@pytest.mark.parametrize("method", ["sessions", "end_sessions"])
async def test_guests_have_none(server: RunningServer, method: str) -> None:
    """Unauthorized, over HTTP and a socket."""
    async with server.client() as client:
        assert (await client.call(f"user.{method}"))["error"] == "Unauthorized"
    answer = await http(server.port, "POST", f"/api/user/{method}")
    assert (answer.status, answer.json()["error"]) == (401, "Unauthorized")


# Ended


@quick
@pytest.mark.parametrize("data", [{}, {"ids": None}])
async def test_all_but_this_one(server: RunningServer, other: RunningServer, data: dict[str, Any]) -> None:
    """Their sockets are closed with 4001 on every server, and their tokens are refused; those of others are not."""
    mine, away, stale, strangers = [await server.token(name) for name in ("anna", "anna", "anna", "bert")]
    async with (
        server.client(mine) as here,
        other.client(mine) as also_mine,
        other.client(away) as there,
        server.client(strangers) as stranger,
    ):
        assert await here.data("user.end_sessions", data) == {"ended": 2}
        assert (await there.closed())[0] == REVOKED
        for client, name in ((here, "anna"), (also_mine, "anna"), (stranger, "bert")):
            assert (await client.data("user.status"))["username"] == name
    assert (await post(server, stale, "sessions"))["error"] == "SessionExpired"


@quick
async def test_those_that_are_named(server: RunningServer, other: RunningServer) -> None:
    """Over HTTP: the user's own among the ids, the caller's too; others are passed over."""
    mine, away, kept, strangers = [await server.token(name) for name in ("anna", "anna", "anna", "bert")]
    strange = (await sessions(server, strangers))[0]["id"]
    by_age = [session["id"] for session in reversed(await sessions(server, mine))]
    async with other.client(away) as there, server.client(mine) as here, server.client(kept) as keeper:
        ids = [by_age[1], strange, "0", "", "x" * 5000, str(UUID(int=0)), "a\0b", "\\", "{}", '"']
        assert (await post(server, kept, "end_sessions", {"ids": ids}))["data"] == {"ended": 1}
        assert (await there.closed())[0] == REVOKED
        assert (await here.data("user.end_sessions", {"ids": [by_age[0], by_age[0]]})) == {"ended": 1}
        assert (await here.closed())[0] == REVOKED
        assert await keeper.data("user.end_sessions", {"ids": []}) == {"ended": 0}
        assert (await keeper.data("user.status"))["username"] == "anna"
    assert (await post(server, strangers, "sessions"))["error"] is None


async def test_ending_nothing_is_no_line(server: RunningServer) -> None:
    """A user who does so a thousand times fills no log; what does end has a line."""
    tokens = [await server.token("anna") for _ in range(2)]
    with capture_logs() as logs:
        for _ in range(3):
            await post(server, tokens[0], "end_sessions")
    assert [line["sessions"] for line in logs if line["event"] == "sessions_ended"] == [1]


@pytest.mark.parametrize("ids", [7, "x", [7], [None], {"a": 1}, ["x"] * 1001])
async def test_ids_are_strings(server: RunningServer, ids: Any) -> None:
    """Anything else is a ValidationError that names the field, and ends nothing."""
    tokens = [await server.token("anna") for _ in range(2)]
    answer = await post(server, tokens[0], "end_sessions", {"ids": ids})
    assert answer["error"] == "ValidationError"
    assert answer["message"].startswith("ids")
    assert len(await sessions(server, tokens[0])) == 2


# Noted


@pytest.mark.parametrize("timing", [Timing(seen_write_s=0.3)], ids=[""])
async def test_handshake_does_not_wait_for_the_note(server: RunningServer) -> None:
    """A session whose row is locked connects all the same, and is noted once it is free."""
    token = await server.token("anna")
    await server.sql("update session set last_seen_at = now() - interval '10 minutes'")
    async with server.db.transaction(timeout=30) as session:
        await session.script("select from session for update")
        with trio.fail_after(2):
            async with server.client(token) as client:
                assert (await client.data("user.status"))["username"] == "anna"
                assert len(await client.data("user.sessions")) == 1
    fresh = "select address is not null from session where last_seen_at > now() - interval '1 minute'"
    async with server.client(token):
        await eventually(lambda: server.value(fresh))


@pytest.mark.parametrize("timing", [Timing(seen_write_s=0.02, seen_open_s=0.05, prune_s=0.05)], ids=[""])
async def test_open_socket_is_a_use(server: RunningServer) -> None:
    """It keeps its session alive for as long as it is open; another, which nobody uses, is removed."""
    token, idle = await server.token("anna"), await server.token("bert")
    fresh = "select true from session where last_seen_at > now() - interval '1 minute'"
    set_back = "update session set last_seen_at = now() - interval"
    async with server.client(token) as client:
        await eventually(lambda: server.value("select true from session where address is not null"))
        for ago in ("47 hours", "10 minutes", "48 hours 4 minutes"):
            await server.sql(f"{set_back} '{ago}'")
            await eventually(lambda: server.value(fresh))
        await server.sql(f"{set_back} '49 hours' where address is null")
        await eventually(lambda: server.value("select count(*) = 1 from session"))
        assert (await client.data("user.status"))["username"] == "anna"
    assert (await post(server, idle, "sessions"))["error"] == "SessionExpired"


async def test_a_note_is_written_every_four_minutes(server: RunningServer) -> None:
    """Not for each use: the row stays as it is in between."""
    await server.token("anna")
    session_id = await server.value("select id from session")
    seen = LastSeen(server.db, 48)
    rows = "select xmin::text, address, last_seen_at from session"
    for age, is_written in (("1 minute", True), ("3 minutes", False), ("5 minutes", True)):
        await server.sql(f"update session set last_seen_at = now() - interval '{age}'")
        before = await server.rows(rows)
        seen.note(session_id, "192.0.2.7", "till/2")
        await seen.write()
        assert (await server.rows(rows) != before) == is_written, age
    assert await server.value("select address || ' ' || user_agent from session") == "192.0.2.7 till/2"


@pytest.mark.parametrize("address", ["192.0.2.7", "203.0.113.9"], ids=["same network", "elsewhere"])
async def test_whoever_else_uses_a_session_is_shown(server: RunningServer, address: str) -> None:
    """At once, though it was seen a moment ago: else a thief stays unseen beside a socket that is open."""
    await server.token("anna")
    session_id = await server.value("select id from session")
    seen = LastSeen(server.db, 48)
    for where, agent in (("192.0.2.7", "till/2"), (address, "thief/1"), (address, None), ("192.0.2.7", "till/2")):
        seen.note(session_id, where, agent)
        await seen.write()
        (row,) = await server.rows("select address, user_agent from session")
        assert (row["address"], row["user_agent"]) == (where, agent)


async def test_a_note_revives_nothing(server: RunningServer) -> None:
    """A session that is over before its note is written stays so."""
    await server.token("anna")
    session_id = await server.value("select id from session")
    seen = LastSeen(server.db, 48)
    seen.note(session_id, "192.0.2.7", None)
    await server.sql("update session set last_seen_at = now() - interval '49 hours'")
    await seen.write()
    assert await server.value("select last_seen_at < now() - interval '48 hours' from session")


async def test_notes_outlast_the_database(database_url: str, server: RunningServer) -> None:
    """They are written when it is back; a rejected one, and one of a session that has gone, hold nothing up."""
    await server.token("anna")
    session_id = await server.value("select id from session")
    async with proxy_to(database_url) as proxy, Database.open(proxy.url, size=1) as db:
        seen = LastSeen(db, 48)
        proxy.cut()
        seen.note(UUID(int=7), "192.0.2.7", None)
        seen.note(session_id, "192.0.2.7", "till/2")
        await seen.write()
        proxy.restore()

        async def written() -> bool:
            await seen.write()
            return bool(await server.value("select address = '192.0.2.7' from session"))

        await eventually(written)
        seen.note(session_id, "192.0.2.8", "\0")
        await seen.write()
        assert seen._noted == {}


async def test_socket_that_was_never_checked_is_no_use(database_url: str) -> None:
    """A handshake without the database, with the token of a session that is over: the socket does not revive it."""
    timing = Timing(seen_write_s=0.02, seen_open_s=0.02)
    async with (
        proxy_to(database_url) as proxy,
        running_server(proxy.url, timing=timing, LISTEN_URL=database_url) as server,
    ):
        token = await server.token("anna")
        await server.sql("update session set last_seen_at = now() - interval '49 hours'")
        other = await server.token("bert")
        proxy.cut()
        async with server.client(token) as idle, server.client(other) as client:
            proxy.restore()
            await eventually(lambda: is_user(client))
            await eventually(lambda: server.value("select true from session where address is not null"))
            await server.sql("update session set last_seen_at = now() - interval '1 hour' where address is not null")
            fresh = "select true from session where last_seen_at > now() - interval '1 minute' and address is not null"
            await eventually(lambda: server.value(fresh))
            overdue = "select last_seen_at < now() - interval '48 hours' from session where address is null"
            assert await server.value(overdue)
            assert await idle.data("user.status") == GUEST


async def is_user(client: Client) -> bool:
    """The client is signed in, and the database is there to say so."""
    return (await client.call("user.status"))["error"] is None


# Idle


async def test_idle_session_is_over(server: RunningServer) -> None:
    """After 48 hours: a guest over a socket, and SessionExpired for what needs a user; a minute before it is good."""
    hall = await make_hall(server)
    token = await server.token("anna")
    await server.sql("update session set last_seen_at = now() - interval '47 hours 59 minutes'")
    assert (await post(server, token, "status"))["data"]["username"] == "anna"
    await server.sql("update session set last_seen_at = now() - interval '48 hours 1 second'")
    assert (await post(server, token, "sessions"))["error"] == "SessionExpired"
    async with server.client(token) as client:
        assert await client.data("user.status") == GUEST
        write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        assert (await client.call("hall.update_seat_status", write))["error"] == "SessionExpired"
    fresh = await server.token("anna")
    assert len(await sessions(server, fresh)) == 1
    assert (await post(server, fresh, "end_sessions"))["data"] == {"ended": 0}


@pytest.mark.parametrize(("hours", "outcome"), [("0", None), ("72", None), ("1", "SessionExpired")])
async def test_the_idle_time_is_a_setting(database_url: str, hours: str, outcome: str | None) -> None:
    """0 means that no session ends for being idle."""
    async with running_server(database_url, SESSION_IDLE_HOURS=hours) as server:
        token = await server.token("anna")
        await server.sql("update session set last_seen_at = now() - interval '49 hours'")
        assert (await post(server, token, "sessions"))["error"] == outcome


async def test_idle_sessions_are_removed(server: RunningServer) -> None:
    """In batches, once an open socket would have been noted; none with 0 hours."""
    for _ in range(4):
        await server.token("anna")
    await server.sql("update session set last_seen_at = now() - interval '48 hours 4 minutes'")
    prune = load("user")["prune_idle"]
    assert await server.db.fetchval(prune, 3, 48) == 0
    await server.sql("update session set last_seen_at = now() - interval '48 hours 6 minutes'")
    assert [await server.db.fetchval(prune, 3, hours) for hours in (0, 49, 48, 48, 48)] == [0, 0, 3, 1, 0]
