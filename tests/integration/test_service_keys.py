"""Service keys: bearer tokens of programs, on a real server."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.timing import Timing
from seatsync.user import keys
from seatsync.user.accounts import session_tokens, set_role
from seatsync.user.encryption import encrypt_plain, rotate
from seatsync.user.keyring import Keyring
from tests.fuzz.strategies import METHODS
from tests.support.browser import Browser
from tests.support.client import http
from tests.support.halls import make_hall, status_of
from tests.support.people import create_user
from tests.support.proxy import proxy_to
from tests.support.raw_socket import raw_websocket
from tests.support.server import RunningServer, running_server
from tests.support.service_keys import service_key
from tests.support.waiting import eventually

SERVICE = {"status": "user", "username": "door-3", "role": "operator"}
GUEST = {"status": "guest"}
REVOKED = 4001
ALLOWED = {"user.status", "user.subscribe"}

quick = pytest.mark.parametrize("timing", [Timing(login_close_s=0.1, revoked_wait_s=0.1, tick_s=0.02)], ids=[""])
"""Closes after 0.2 instead of 1.5 seconds."""


@pytest.fixture
async def other(database_url: str, timing: Timing) -> AsyncIterator[RunningServer]:
    """A second server on the database of the first."""
    async with running_server(database_url, timing=timing) as other:
        yield other


async def post(server: RunningServer, key: str, method: str, data: Any = None) -> Any:
    """The answer of a method over HTTP."""
    headers = {"Authorization": f"Bearer {key}"}
    return (await http(server.port, "POST", f"/api/{method.replace('.', '/')}", data, headers)).json()


# Who has one


async def test_key_signs_in(server: RunningServer) -> None:
    """As a bearer token of a handshake or a request, and among the subprotocols, which are not echoed."""
    key = await service_key(server.db)
    async with server.client(key) as client:
        assert await client.data("user.status") == SERVICE
        assert (await client.call("user.subscribe", eid="u"))["data"] == SERVICE
    assert (await post(server, key, "user.status"))["data"] == SERVICE
    offer = {"Sec-WebSocket-Protocol": f"seatsync.v1, seatsync.bearer.{key}"}
    async with raw_websocket(server.ws_port, offer) as raw:
        assert raw.header("sec-websocket-protocol") == "seatsync.v1"
        assert key not in str(raw.headers)
        await raw.send_frame(0x1, b'{"type":"user.status","eid":"s"}')
        assert json.loads(await raw.receive_text())["data"] == SERVICE


@pytest.mark.parametrize("timing", [Timing(seen_write_s=0.1)], ids=[""])
async def test_the_database_has_the_hash_alone(server: RunningServer) -> None:
    """256 random bits behind `ssk_`, of which no table has more than the SHA-256; it says when it was first used."""
    key = await service_key(server.db)
    assert len(key) == len("ssk_") + 43
    (row,) = await server.rows("select key_hash, last_seen_at, expires_at = 'infinity' as for_ever from session")
    assert row["key_hash"] == hashlib.sha256(key.encode()).digest()
    assert (row["last_seen_at"], row["for_ever"]) == (None, True)
    assert await server.value("select count(*) from session s where s::text like '%' || $1 || '%'", key[4:]) == 0
    assert (await post(server, key, "user.status"))["data"] == SERVICE
    first_use = "select true from session where last_seen_at > now() - interval '1 minute' and address is not null"
    await eventually(lambda: server.value(first_use))


@pytest.mark.parametrize(("role", "outcome"), [("viewer", "Forbidden"), ("operator", None), ("admin", None)])
async def test_a_service_writes_by_its_role(server: RunningServer, role: Any, outcome: str | None) -> None:
    """Over HTTP and a socket; the history has its name."""
    hall = await make_hall(server)
    key = await service_key(server.db, role=role)
    async with server.client(key) as client:
        ways: list[Callable[[str, Any], Awaitable[Any]]] = [client.call, partial(post, server, key)]
        for seat, way in zip(hall.seats, ways, strict=False):
            write = {"hall_id": hall.id, "seat_id": seat, "status": "OCCUPIED"}
            assert (await way("hall.update_seat_status", write))["error"] == outcome
            assert await status_of(server, seat) == ("OCCUPIED" if outcome is None else "VACANT")
    names = await server.rows("select distinct username from seat_event join app_user u on u.id = by")
    assert [row["username"] for row in names] == ([] if outcome else ["door-3"])


async def test_of_user_it_may_call_two(server: RunningServer) -> None:
    """Everything else of `user.*` is Forbidden, whatever its data, over HTTP too, and does nothing."""
    key = await service_key(server.db)
    refused = [method for method in METHODS if method.name.startswith("user.") and method.name not in ALLOWED]
    assert len(refused) > 10
    async with server.client(key) as client:
        for method in refused:
            assert (await client.call(method.name, {"username": "eve", "code": "123456"}))["error"] == "Forbidden"
            if method.over_http:
                answer = await http(
                    server.port,
                    "POST",
                    f"/api/{method.name.replace('.', '/')}",
                    headers={"Authorization": f"Bearer {key}"},
                )
                assert (answer.status, answer.json()["error"]) == (403, "Forbidden"), method.name
                assert "seatsync" not in answer.cookies()
        assert await client.data("user.status") == SERVICE
    assert await server.value("select count(*) from registration") == 0


async def test_a_key_has_no_idle_end(server: RunningServer) -> None:
    """A sensor may be silent for a month."""
    key = await service_key(server.db)
    await server.sql("update session set last_seen_at = now() - interval '30 days'")
    assert (await post(server, key, "user.status"))["data"] == SERVICE


# Who has none


async def test_what_is_no_key_is_a_guest(server: RunningServer) -> None:
    """A damaged one is TokenInvalid; one that there is not, and that may have been revoked, SessionExpired."""
    key = await service_key(server.db)
    swapped = key.swapcase().replace("SSK_", "ssk_")
    for token, code in (
        *((bad, "TokenInvalid") for bad in ("ssk_", key[:-1], key + "x", key.upper(), key[:-1] + "=", "ssk_" + key)),
        *((bad, "SessionExpired") for bad in (keys.new_key(), swapped)),
    ):
        async with server.client(token) as client:
            assert await client.data("user.status") == GUEST
            assert (await client.call("user.sessions"))["error"] == code
        assert (await post(server, token, "user.sessions"))["error"] == code


async def test_a_key_in_the_cookie_is_none(server: RunningServer) -> None:
    """Whoever plants one there keeps nobody from signing in, or out."""
    browser = Browser(server)
    browser.cookies["seatsync"] = await service_key(server.db)
    assert await browser.call("user.status") == GUEST
    assert (await browser.post("user.sessions")).json()["error"] == "TokenInvalid"
    assert (await browser.register("anna"))["username"] == "anna"
    assert (await browser.call("user.status"))["username"] == "anna"
    browser.cookies["seatsync"] = await service_key(server.db, "door-4")
    assert await browser.call("user.logout") == {"success": True}
    assert "seatsync" not in browser.cookies


async def test_half_of_a_hash_is_not_enough(server: RunningServer) -> None:
    """The session's id is a part of the hash; the rest of it is compared, too."""
    key = await service_key(server.db)
    await server.sql("update session set key_hash = overlay(key_hash placing '\\x00' from 32)")
    assert (await post(server, key, "user.status"))["data"] == GUEST
    await server.sql("update session set key_hash = null")
    assert (await post(server, key, "user.status"))["data"] == GUEST


@quick
async def test_revoked_key_closes_its_sockets(server: RunningServer, other: RunningServer) -> None:
    """On every server, with 4001; from the commit on its writes are refused, and the key is no more."""
    hall = await make_hall(server)
    key, kept = await service_key(server.db), await service_key(server.db, "door-4")
    write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
    async with server.client(key) as here, other.client(key) as there, other.client(kept) as neighbour:
        assert await keys.revoke_key(server.db, "DOOR-3") == "door-3"
        for client in (here, there):
            assert (await client.call("hall.update_seat_status", write))["error"] == "SessionExpired"
        for client in (here, there):
            assert (await client.closed())[0] == REVOKED
        assert (await neighbour.data("user.status"))["username"] == "door-4"
    assert (await post(server, key, "hall.update_seat_status", write))["error"] == "SessionExpired"
    assert await status_of(server, hall.seats[0]) == "VACANT"
    assert await server.value("select count(*) from app_user where username = 'door-3'") == 1


@quick
async def test_key_that_expires_on_an_open_socket(server: RunningServer) -> None:
    """After its days it ends as if it were revoked, though its text does not say when that is."""
    key = await service_key(server.db, days=7)
    assert await server.value("select expires_at - created_at = interval '7 days' from session")
    await server.sql("update session set expires_at = now() + interval '1 second'")
    async with server.client(key) as client:
        assert await client.data("user.status") == SERVICE
        assert (await client.closed())[0] == REVOKED
    assert (await post(server, key, "user.status"))["data"] == GUEST


async def test_handshake_while_the_database_is_away(database_url: str) -> None:
    """The key is checked when the database is back; until then its methods are unavailable, and sign-in is refused."""
    timing = Timing(login_close_s=0.1, revoked_wait_s=0.1)
    async with (
        proxy_to(database_url) as proxy,
        running_server(proxy.url, timing=timing, LISTEN_URL=database_url) as server,
    ):
        key = await service_key(server.db)
        proxy.cut()
        async with server.client(key) as client:
            assert (await client.call("user.status"))["error"] == "ServiceUnavailable"
            assert (await client.call("user.auth_start", {"username": "eve"}))["error"] == "Forbidden"
            proxy.restore()
            assert await eventually(lambda: _status(client)) == SERVICE
            await keys.revoke_key(server.db, "door-3")
            assert (await client.closed())[0] == REVOKED


async def _status(client: Any) -> Any:
    return (await client.call("user.status"))["data"]


async def test_encryption_passes_services_over(server: RunningServer) -> None:
    """They have no secret: at a start, and when the key of the secrets changes."""
    key = await service_key(server.db)
    await server.token("anna")
    await server.sql("update app_user set totp_secret = 'ABCDEFGHIJKLMNOP' where not is_service")
    keyring = Keyring(server.settings.secrets_keys)
    await encrypt_plain(server.db, keyring)
    assert await rotate(server.db, Keyring(["a new key of 32 bytes and of more", *server.settings.secrets_keys])) == 1
    encrypted = await server.rows("select totp_secret like '%:%' as is_encrypted from app_user order by id")
    assert [row["is_encrypted"] for row in encrypted] == [None, True]
    assert (await post(server, key, "user.status"))["data"] == SERVICE


# Nobody signs in as a service


async def test_nobody_signs_in_as_a_service(server: RunningServer) -> None:
    """There is no code, no phrase and no token of a person for it; the name is taken for people."""
    await service_key(server.db)
    async with server.client() as client:
        for method, code in (
            ("auth_start", "UserAlreadyExists"),
            ("register", "UserAlreadyExists"),
            ("login", "UserNotFound"),
            ("recover", "UserNotFound"),
        ):
            data = {"username": "Door-3", "code": "123456", "phrase": "a b c d e"}
            assert (await client.call(f"user.{method}", data))["error"] == code
    with pytest.raises(errors.UserNotFound):
        await session_tokens(server.db, server.settings, "door-3")
    with pytest.raises(errors.UserNotFound):
        await set_role(server.db, "door-3", "admin", force=True)
    with pytest.raises(errors.UserAlreadyExists):
        await create_user(server.db, server.settings, "Door-3", "admin")
    with pytest.raises(DatabaseRejected, match="app_user_service_without_secret"):
        await server.sql("update app_user set totp_secret = 'ABCDEFGHIJKLMNOP'")
    with pytest.raises(DatabaseRejected, match="app_user_service_without_secret"):
        await server.sql("insert into app_user (username) values ('eve')")


async def test_names_of_keys(server: RunningServer) -> None:
    """Those of users: taken, if a user or a key has it; free again for another key, with another role, once revoked."""
    await create_user(server.db, server.settings, "anna", "viewer")
    for name, error in (
        ("ANNA", errors.UserAlreadyExists),
        ("a b", errors.InvalidUsername),
        ("", errors.RequiredUsername),
    ):
        with pytest.raises(error):
            await service_key(server.db, name)
    first = await service_key(server.db, role="viewer")
    with pytest.raises(errors.Failure, match="already"):
        await service_key(server.db, "DOOR-3", "admin")
    assert (await post(server, first, "user.status"))["data"]["role"] == "viewer"
    await keys.revoke_key(server.db, "door-3")
    with pytest.raises(errors.Failure, match="no key"):
        await keys.revoke_key(server.db, "door-3")
    with pytest.raises(errors.Failure, match="no key"):
        await keys.revoke_key(server.db, "anna")
    second = await service_key(server.db)
    assert (await post(server, second, "user.status"))["data"] == SERVICE
    assert (await post(server, first, "user.status"))["data"] == GUEST
    assert [row["username"] for row in await keys.live_keys(server.db)] == ["door-3"]


async def test_one_of_two_at_once(server: RunningServer) -> None:
    """Two administrators add a key of one name: one of them has it."""
    outcomes: list[str] = []

    async def add() -> None:
        try:
            outcomes.append(await service_key(server.db))
        except errors.Failure:
            outcomes.append("taken")

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(add)
    assert outcomes.count("taken") == 3
    assert await server.value("select count(*) from session") == 1
