"""The user of a socket: its handshake's token, and the session behind it."""

import json
import time
from functools import partial

import pyotp
import pytest
import trio
from trio_websocket import open_websocket

from seatsync.core.timing import Timing
from seatsync.user.tokens import Tokens
from tests.support.browser import Browser
from tests.support.client import Client, http, open_client
from tests.support.database import DatabaseServer, execute
from tests.support.halls import make_hall, status_of
from tests.support.proxy import proxy_to
from tests.support.raw_socket import raw_tcp, raw_websocket
from tests.support.server import SECRET, RunningServer, running_server
from tests.support.waiting import eventually, metric_is

GUEST = {"status": "guest"}
REVOKED = 4001


QUICK = Timing(login_close_s=0.1, revoked_wait_s=0.1, tick_s=0.02)
quick = pytest.mark.parametrize("timing", [QUICK], ids=[""])
"""Closes after 0.2 instead of 1.5 seconds."""


def user(name: str, role: str = "operator") -> dict[str, str]:
    """The login state of a user."""
    return {"status": "user", "username": name, "role": role}


async def short_lived_token(server: RunningServer, name: str, seconds: float) -> str:
    """A token of that user which expires after that time; its session does not."""
    await server.token(name)
    (row,) = await server.rows("select id, user_id from session order by created_at desc limit 1")
    return Tokens(SECRET).issue(row["user_id"], row["id"], time.time() + seconds)


async def test_handshake_authenticates_by_its_token(server: RunningServer) -> None:
    """A valid token authenticates the connection: as a bearer or a cookie; the bearer takes precedence."""
    anna, bert = await server.token("anna"), await server.token("bert", "viewer")
    for headers, state in (
        ([(b"Authorization", f"Bearer {anna}")], user("anna")),
        ([(b"authorization", f"bearer {anna}")], user("anna")),
        ([(b"Cookie", f"other=1; seatsync={anna}")], user("anna")),
        ([(b"Authorization", f"Bearer {bert}"), (b"Cookie", f"seatsync={anna}")], user("bert", "viewer")),
        ([(b"Authorization", "Basic YTpi"), (b"Cookie", f"seatsync={anna}")], user("anna")),
        ([], GUEST),
    ):
        async with open_client(server.ws_port, [(name, value.encode()) for name, value in headers]) as client:
            assert await client.data("user.status") == state, headers


async def test_token_among_the_subprotocols(server: RunningServer, capfd: pytest.CaptureFixture[str]) -> None:
    """A page without cookies signs its socket in with a subprotocol; it is neither echoed nor logged."""
    anna, bert = await server.token("anna"), await server.token("bert", "viewer")
    for headers, state in (
        ({"Cookie": f"seatsync={bert}"}, user("anna")),
        ({"Authorization": f"Bearer {bert}"}, user("bert", "viewer")),
    ):
        offers = {"Sec-WebSocket-Protocol": f"seatsync.v1, seatsync.bearer.{anna}"}
        async with raw_websocket(server.ws_port, offers | headers) as raw:
            assert raw.header("sec-websocket-protocol") == "seatsync.v1"
            assert anna not in str(raw.headers)
            await raw.send_frame(0x1, b'{"type":"user.status","eid":"s"}')
            assert json.loads(await raw.receive_text())["data"] == state
    async with raw_websocket(server.ws_port, {"Sec-WebSocket-Protocol": f"chat, seatsync.bearer.{anna}"}) as raw:
        assert raw.header("sec-websocket-protocol") is None
    logged = "".join(capfd.readouterr())
    assert anna not in logged


async def test_page_of_another_site_signs_in_over_its_socket(server: RunningServer) -> None:
    """It gets no cookie; all steps are on one connection, and the token of the reply signs the next one in."""
    await server.token("first", "admin")
    open_socket = partial(open_websocket, "localhost", server.ws_port, "/ws", use_ssl=False)
    cross_site = [(b"Sec-Fetch-Site", b"cross-site")]
    async with open_socket(subprotocols=["seatsync.v1"], extra_headers=cross_site) as ws:
        client = Client(ws)
        assert b"set-cookie" not in dict(ws.handshake_headers)
        start = await client.data("user.auth_start", {"username": "carl"})
        code = pyotp.TOTP(start["qr_url"].partition("secret=")[2]).now()
        token = (await client.data("user.register", {"username": "carl", "code": code}))["token"]
    protocols = ["seatsync.v1", f"seatsync.bearer.{token}"]
    async with open_socket(subprotocols=protocols, extra_headers=cross_site) as ws:
        assert ws.subprotocol == "seatsync.v1"
        assert (await Client(ws).data("user.status"))["username"] == "carl"


async def test_bad_token_is_a_guest(server: RunningServer) -> None:
    """A garbled, forged or expired token, or one of an ended session, makes a guest and is not refused."""
    good, expired = await server.token("anna"), await short_lived_token(server, "anna", -1)
    gone = await server.token("anna")
    await server.sql("delete from session where created_at = (select max(created_at) from session)")
    forged = Tokens("x" * 32)
    for token in ("", "x", "a.b.c", "x" * 5000, good[:-2], "é", expired, gone):
        async with raw_tcp(server.ws_port) as raw:
            assert await raw.handshake(headers={"Authorization": f"Bearer {token}"}) == 101, token
    async with server.client(gone) as client:
        assert await client.data("user.status") == GUEST
    (row,) = await server.rows("select id, user_id from session limit 1")
    async with server.client(forged.issue(row["user_id"], row["id"], time.time() + 100)) as client:
        assert await client.data("user.status") == GUEST
    async with server.client(expired) as client:
        assert await client.data("user.status") == GUEST


async def bad_tokens(server: RunningServer) -> dict[str, str]:
    """Tokens with one fault each, by the error that names it."""
    ended = await server.token("anna")
    await server.sql("delete from session")
    return {
        "TokenInvalid": "not.a.token",
        "TokenExpired": await short_lived_token(server, "anna", -1),
        "SessionExpired": ended,
    }


@pytest.mark.parametrize("kind", ["bearer", "cookie"])
async def test_what_is_wrong_with_a_token_is_named(server: RunningServer, kind: str) -> None:
    """Methods that need a user name it, over WebSocket and HTTP (401); all others go on as for a guest.

    Without a token, and with an empty one, it is Unauthorized.
    """
    hall = await make_hall(server)
    write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
    needing_a_user = {"hall.update_seat_status": write, "user.recovery_phrase": {"code": "123456"}}
    for code, token in {**await bad_tokens(server), "Unauthorized": ""}.items():
        bearer, cookie = ("Authorization", f"Bearer {token}".strip()), ("Cookie", f"seatsync={token}")
        name, value = bearer if kind == "bearer" else cookie
        async with open_client(server.ws_port, [(name.encode(), value.encode())]) as client:
            for method, data in needing_a_user.items():
                assert (await client.call(method, data))["error"] == code, method
                answer = await http(server.port, "POST", f"/api/{method.replace('.', '/')}", data, {name: value})
                assert (answer.status, answer.json()["error"]) == (401, code)
            assert await client.data("user.status") == GUEST
            assert (await client.call("user.subscribe", eid="u"))["data"] == GUEST
            assert (await client.data("hall.get", {"id": hall.id}))["rev"] == 1
            assert await client.data("user.logout") == {"success": True}


async def test_what_is_wrong_with_a_token_is_named_to_readers(database_url: str) -> None:
    """Without PUBLIC_VIEW reads need a user, too."""
    async with running_server(database_url, PUBLIC_VIEW="false") as server:
        hall = await make_hall(server)
        for code, token in (await bad_tokens(server)).items():
            async with server.client(token) as client:
                for method in ("hall.get", "hall.subscribe", "cinemas.get_cinemas"):
                    assert (await client.call(method, {"id": hall.id}))["error"] == code
                assert await client.data("user.status") == GUEST


async def test_handshake_makes_a_visitor(server: RunningServer) -> None:
    """A handshake without a valid visitor cookie sets one, HttpOnly and SameSite; a valid one is kept."""
    async with raw_websocket(server.ws_port) as raw:
        cookie = raw.header("set-cookie") or ""
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} < parts
    pair = cookie.partition(";")[0]
    name, _, value = pair.partition("=")
    async with raw_websocket(server.ws_port, {"Cookie": pair}) as raw:
        assert raw.header("set-cookie") is None
    for other in ("", "x", value[:-1], "0" * 32 + value[32:]):
        async with raw_websocket(server.ws_port, {"Cookie": f"{name}={other}"}) as raw:
            assert (raw.header("set-cookie") or pair).partition(";")[0] != pair


async def test_revoked_session_is_closed_in_two_seconds(server: RunningServer) -> None:
    """A deleted session's sockets lose their rights at once, are notified, and are closed with 4001 within 2 s."""
    assert Timing().revoked_wait_s + Timing().login_close_s <= 1.5  # half a second is left for the notification
    hall = await make_hall(server)
    data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
    async with server.client(await server.token("anna")) as anna, server.client(await server.token("bert")) as bert:
        await anna.call("user.subscribe", eid="u")
        await server.sql("delete from session where user_id = (select id from app_user where username = 'anna')")
        assert (await anna.call("hall.update_seat_status", data))["error"] == "SessionExpired"
        assert (await anna.call("hall.get", {"id": hall.id}))["error"] is None
        assert await anna.update("u") == GUEST
        assert await anna.data("user.status") == GUEST
        assert (await anna.call("hall.update_seat_status", data))["error"] == "SessionExpired"
        assert (await anna.closed())[0] == REVOKED
        assert await status_of(server, hall.seats[0]) == "VACANT"
        await bert.data("hall.update_seat_status", data)


@quick
@pytest.mark.parametrize(
    "statement",
    [
        "delete from session",
        "truncate session",
        "update session set expires_at = now()",
        "update app_user set role = 'viewer'",
        "update app_user set role = 'admin'",
        "delete from app_user",
    ],
)
async def test_every_way_to_revoke(server: RunningServer, statement: str) -> None:
    """A session ended by its own row, its user's role or its user's deletion has its sockets closed."""
    hall = await make_hall(server)
    data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
    async with server.client(await server.token("anna")) as anna, server.client() as guest:
        await server.sql(statement)
        assert (await anna.call("hall.update_seat_status", data))["error"] == "SessionExpired"
        assert (await anna.closed())[0] == REVOKED
        await guest.heartbeat()


@quick
async def test_only_the_sockets_of_that_session(server: RunningServer) -> None:
    """Another session of the same user keeps its sockets."""
    one, two = await server.token("anna"), await server.token("anna")
    async with server.client(one) as first, server.client(one) as also_first, server.client(two) as second:
        await server.sql("delete from session where created_at = (select min(created_at) from session)")
        for client in (first, also_first):
            assert (await client.closed())[0] == REVOKED
        assert await second.data("user.status") == user("anna")


@quick
async def test_logout_over_websocket(server: RunningServer) -> None:
    """user.logout on a socket revokes its session: its sockets are closed, and its token is invalid."""
    token = await server.token("anna")
    async with server.client(token) as one, server.client(token) as two:
        assert await one.data("user.logout") == {"success": True}
        for client in (one, two):
            assert (await client.closed())[0] == REVOKED
    async with server.client(token) as client:
        assert await client.data("user.status") == GUEST
        assert await client.data("user.logout") == {"success": True}


@quick
async def test_token_that_expires_on_an_open_socket(server: RunningServer) -> None:
    """A token's expiry ends an open socket like a revocation: no more writes, an update, and 4001."""
    hall = await make_hall(server)
    data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
    async with server.client(await short_lived_token(server, "anna", 1.2)) as anna:
        await anna.call("user.subscribe", eid="u")
        await anna.data("hall.update_seat_status", data)
        assert await anna.update("u") == GUEST
        assert (await anna.call("hall.update_seat_status", data))["error"] == "SessionExpired"
        assert (await anna.closed())[0] == REVOKED


async def expect_unavailable(client: Client, hall_id: int, seat_id: int) -> None:
    """Requests that depend on the user end in ServiceUnavailable."""
    write = {"hall_id": hall_id, "seat_id": seat_id, "status": "OCCUPIED"}
    for method, data in (("user.status", {}), ("hall.update_seat_status", write)):
        answer = await client.call(method, data)
        assert answer["error"] == "ServiceUnavailable", method
        assert answer["retry_after"] > 0


async def test_handshake_while_the_database_is_away(database_url: str) -> None:
    """The connection is accepted; requests that depend on its user fail until the database is back."""
    async with (
        proxy_to(database_url) as proxy,
        running_server(proxy.url, timing=QUICK, LISTEN_URL=database_url) as server,
    ):
        hall = await make_hall(server)
        token = await server.token("anna")
        proxy.cut()
        async with server.client(token) as anna, server.client() as guest:
            await expect_unavailable(anna, hall.id, hall.seats[0])
            assert await guest.data("user.status") == GUEST
            proxy.restore()
            assert await anna.data("user.status") == user("anna")
            write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
            await anna.data("hall.update_seat_status", write)
            await server.sql("delete from session")
            assert (await anna.closed())[0] == REVOKED
            await guest.heartbeat()


async def test_database_that_ends_every_connection(server: RunningServer) -> None:
    """After PostgreSQL has ended all of its connections the server opens new ones, and no client has to reconnect."""
    hall = await make_hall(server)
    write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
    async with server.client(await server.token("anna")) as anna:
        await anna.call("hall.subscribe", {"id": hall.id}, eid="h")
        await server.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'seatsync%' and datname = current_database() and pid <> pg_backend_pid()"
        )

        async def is_written() -> bool:
            return (await anna.call("hall.update_seat_status", write))["error"] is None

        await eventually(is_written)
        assert (await anna.update("h"))["rev"] == 2
        assert (await anna.data("hall.get", {"id": hall.id}))["rev"] == 2


async def test_database_that_takes_no_connections(server: RunningServer, database_server: DatabaseServer) -> None:
    """A database that refuses new connections for any reason counts as unavailable."""
    hall = await make_hall(server)
    name = await server.value("select current_database()")
    refuse = f"alter database {name} with allow_connections false"
    end = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    async with server.client() as client:
        for statement in (refuse, end):
            await trio.to_thread.run_sync(execute, database_server.dsn, statement)
        await metric_is(server.port, "feed_live", 0)
        assert (await client.call("hall.get", {"id": hall.id}))["error"] == "ServiceUnavailable"
        await trio.to_thread.run_sync(execute, database_server.dsn, refuse.replace("false", "true"))
        assert (await client.data("hall.get", {"id": hall.id}))["rev"] == 1


async def test_database_away_on_an_open_socket(database_url: str) -> None:
    """Reads and writes end in ServiceUnavailable while the database is away; subscriptions wait for it."""
    async with proxy_to(database_url) as proxy, running_server(proxy.url, LISTEN_URL=database_url) as server:
        hall = await make_hall(server)
        write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        browser = Browser(server)
        async with server.client(await server.token("anna")) as anna:
            proxy.cut()
            for method, data in (
                ("hall.get", {"id": hall.id}),
                ("cinemas.get_cinemas", {}),
                ("hall.update_seat_status", write),
            ):
                assert (await anna.call(method, data, eid="e"))["error"] == "ServiceUnavailable", method
            assert (await browser.post("hall.get", id=hall.id)).status == 503
            for method in ("hall.subscribe", "cinemas.subscribe"):
                await anna.send(method, {"id": hall.id}, eid="e")
            proxy.restore()
            for _ in range(2):
                assert (await anna.answer("e"))["status"] == "snapshot"
            await anna.data("hall.update_seat_status", write)
            assert (await anna.update("e"))["id"] == hall.id
