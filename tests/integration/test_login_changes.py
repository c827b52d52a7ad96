"""Changes of the login state over HTTP: which sockets are notified and closed."""

from typing import Any

import pytest
import trio

from seatsync.core.timing import Timing
from tests.support.browser import Browser
from tests.support.client import Client
from tests.support.server import RunningServer, running_server

ANNA = {"status": "user", "username": "anna", "role": "operator"}
GUEST = {"status": "guest"}


quick = pytest.mark.parametrize("timing", [Timing(login_close_s=0.1)], ids=[""])
"""A notified socket is closed after a tenth of a second."""


async def changed(client: Client, expected: Any, eid: str = "u") -> None:
    """The socket receives that login state, and then is closed."""
    frame = await client.frame()
    assert (frame["type"], frame["status"], frame["eid"]) == ("user.subscribe", "update", eid)
    assert frame["data"] == expected
    assert (await client.closed())[0] == 4001
    assert client.unread == []


async def watch(client: Client, expected: Any) -> None:
    """Subscribe to the login state under the eid ``u``."""
    answer = await client.call("user.subscribe", eid="u")
    assert (answer["status"], answer["data"]) == ("snapshot", expected)


async def make_anna(server: RunningServer) -> Browser:
    """A browser in which anna, who is no administrator, has just registered."""
    await server.token("first", "admin")
    browser = Browser(server)
    await browser.register("anna")
    return browser


async def make_guest(server: RunningServer) -> Browser:
    """Another browser, with anna's authenticator and without a session."""
    return Browser(server, secret=(await make_anna(server)).secret)


async def test_login_notifies_and_closes_after_a_second(server: RunningServer) -> None:
    """A guest's open socket receives its login, is closed with 4001 a second later, and reconnects as the user."""
    browser = await make_guest(server)
    async with browser.socket() as client:
        await watch(client, GUEST)
        await browser.log_in("anna")
        await client.update("u")
        updated_at = trio.current_time()
        code, reason = await client.closed()
        seconds = trio.current_time() - updated_at
    assert (code, reason) == (4001, '{"reason":"login changed","retry_ms":[0,0]}')
    assert 0.9 < seconds < 2.0
    async with browser.socket() as client:
        assert await client.data("user.status") == ANNA


@quick
async def test_every_change_of_the_login_state_notifies(server: RunningServer) -> None:
    """Registering, logging in, recovering and logging out over HTTP each notify the client's sockets."""
    await server.token("first", "admin")
    browser = Browser(server)
    async with browser.socket() as client:
        await watch(client, GUEST)
        await browser.register("anna")
        await changed(client, ANNA)
    async with browser.socket() as client:
        await watch(client, ANNA)
        phrase = (await browser.call("user.recovery_phrase", code=await browser.code()))["phrase"]
        await browser.call("user.save_recovery_phrase", phrase=phrase)
        await browser.call("user.logout")
        await changed(client, GUEST)
    async with browser.socket() as client:
        await watch(client, GUEST)
        await browser.log_in("anna")
        await changed(client, ANNA)
    stranger = Browser(server)
    async with stranger.socket() as client:
        await watch(client, GUEST)
        candidate = await stranger.call("user.recover", username="anna", phrase=phrase)
        stranger.secret = candidate["qr_url"].partition("secret=")[2]
        await stranger.call("user.register", username="anna", code=await stranger.code())
        await changed(client, ANNA)


@quick
async def test_update_does_not_overtake_the_response(server: RunningServer) -> None:
    """The update comes after the response with the cookie: a page would reconnect as a guest otherwise."""
    anna = await make_anna(server)
    order: list[str] = []
    for _ in range(5):
        browser = Browser(server, secret=anna.secret)
        async with browser.socket() as client, trio.open_nursery() as nursery:

            async def listen(client: Client = client) -> None:
                await client.update("u")
                order.append("update")

            await watch(client, GUEST)
            nursery.start_soon(listen)
            await browser.log_in("anna")
            order.append("response")
    assert order == ["response", "update"] * 5


@quick
async def test_every_socket_of_the_client_and_no_other(server: RunningServer) -> None:
    """Only the sockets of that browser are closed; those without user.subscribe get no update."""
    browser, other = await make_guest(server), Browser(server)
    bearer = await server.token("anna")
    async with (
        browser.socket() as one,
        browser.socket() as two,
        browser.socket() as plain,
        other.socket() as stranger,
        server.client(bearer) as program,
    ):
        for client, state in ((one, GUEST), (two, GUEST), (stranger, GUEST), (program, ANNA)):
            await watch(client, state)
        await plain.call("cinemas.subscribe", eid="u")
        await browser.log_in("anna")
        await changed(one, ANNA)
        await changed(two, ANNA)
        assert (await plain.closed())[0] == 4001
        assert plain.unread == []
        for client in (stranger, program):
            await client.heartbeat()
            assert client.unread == []


async def test_closed_at_once_without_public_view(database_url: str) -> None:
    """With PUBLIC_VIEW=false a guest's socket may read nothing: it is notified and closed at once."""
    async with running_server(database_url, PUBLIC_VIEW="false") as server:
        browser = await make_anna(server)
        async with browser.socket() as client:
            await watch(client, ANNA)
            await browser.call("user.logout")
            await client.update("u")
            updated_at = trio.current_time()
            assert (await client.closed())[0] == 4001
            assert trio.current_time() - updated_at < 0.9


@quick
async def test_failed_login_notifies_no_socket(server: RunningServer) -> None:
    """A request that changes no login state notifies no socket."""
    browser = await make_guest(server)
    async with browser.socket() as client:
        await watch(client, GUEST)
        code = str((int(await browser.code()) + 1) % 1_000_000).zfill(6)
        assert (await browser.post("user.login", username="anna", code=code)).json()["error"] == "InvalidCode"
        await browser.call("user.status")
        await browser.call("user.auth_start", username="anna")
        await browser.log_in("anna")  # the first update
        await changed(client, ANNA)


@quick
async def test_login_anew(server: RunningServer) -> None:
    """Logging in anew revokes the session that the request came with; its sockets receive the new one."""
    browser = await make_anna(server)
    before = browser.cookies["seatsync"]
    async with browser.socket() as client:
        await watch(client, ANNA)
        await browser.log_in("anna")
        await changed(client, ANNA)
    assert browser.cookies["seatsync"] != before
    async with server.client(before) as client:
        assert await client.data("user.status") == GUEST


async def test_login_over_websocket_changes_no_connection(server: RunningServer) -> None:
    """Over a WebSocket the token is only in the answer: rights come from the handshake, so the client reconnects."""
    browser = await make_guest(server)
    async with browser.socket() as client, browser.socket() as other:
        for one in (client, other):
            await watch(one, GUEST)
        token = (await client.data("user.login", {"username": "anna", "code": await browser.code()}))["token"]
        for one in (client, other):
            assert await one.data("user.status") == GUEST
            assert one.unread == []
    async with server.client(token) as client:
        assert await client.data("user.status") == ANNA


@quick
async def test_login_state_without_a_subscription(server: RunningServer) -> None:
    """After user.unsubscribe the socket is closed like any other, plain."""
    browser = await make_anna(server)
    async with browser.socket() as client:
        await watch(client, ANNA)
        await client.data("user.unsubscribe", {"sub_eid": "u"})
        await browser.call("user.logout")
        assert (await client.closed())[0] == 4001
        assert client.unread == []
