"""Changes of the login state over HTTP: which sockets are notified and closed."""

from typing import Any

import trio
from attrs import evolve

from seatsync.core.timing import Timing
from tests.support.browser import Browser
from tests.support.client import Client, open_client
from tests.support.halls import make_hall, status_of
from tests.support.server import RunningServer

ANNA = {"status": "user", "username": "anna", "role": "operator"}
GUEST = {"status": "guest"}


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


async def test_login_notifies_and_closes_at_once(server: RunningServer) -> None:
    """A guest's open socket receives its login, is closed with 4001 at once, and reconnects as the user."""
    browser = await make_guest(server)
    async with browser.socket() as client:
        await watch(client, GUEST)
        await browser.log_in("anna")
        await client.update("u")
        updated_at = trio.current_time()
        code, reason = await client.closed()
        seconds = trio.current_time() - updated_at
    assert (code, reason) == (4001, '{"reason":"login changed","retry_ms":[0,0]}')
    assert seconds < 0.5
    async with browser.socket() as client:
        assert await client.data("user.status") == ANNA


async def test_writes_in_flight_are_answered_before_the_close(server: RunningServer) -> None:
    """A write that waits for its commit is answered between the update and the close; no later one is started."""
    browser, hall = await make_guest(server), await make_hall(server)
    async with browser.socket():
        pass
    bearer = [(b"Authorization", f"Bearer {await server.token('bert')}".encode()), (b"Cookie", browser.cookie.encode())]
    async with open_client(server.ws_port, bearer) as client, server.db.session() as blocker:
        await client.call("user.subscribe", eid="u")
        await blocker.script(f"begin; select from hall where id = {hall.id} for update")
        data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        write = await client.send("hall.update_seat_status", data)
        await client.heartbeat()
        await browser.log_in("anna")
        assert await client.update("u") == ANNA
        await client.send("hall.update_seat_status", data | {"seat_id": hall.seats[1]})
        await blocker.script("commit")
        assert (await client.answer(write))["error"] is None
        assert (await client.closed())[0] == 4001
        assert client.unread == []
    assert [await status_of(server, seat) for seat in hall.seats[:2]] == ["OCCUPIED", "VACANT"]


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


async def test_logout_that_follows_a_login_finds_the_same_sockets(server: RunningServer) -> None:
    """A logout over HTTP, with the login's new cookie, reaches a socket that was opened before the login."""
    browser = await make_guest(server)
    async with browser.socket():
        pass
    program = [
        (b"Authorization", f"Bearer {await server.token('bert')}".encode()),
        (b"Cookie", browser.cookie.encode()),
    ]
    hall = await make_hall(server)
    async with open_client(server.ws_port, program) as client, server.db.session() as blocker:
        await client.call("user.subscribe", eid="u")
        await blocker.script(f"begin; select from hall where id = {hall.id} for update")
        data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        await client.send("hall.update_seat_status", data)  # while it waits the socket stays open
        await client.heartbeat()
        await browser.log_in("anna")
        assert await client.update("u") == ANNA
        await browser.call("user.logout")
        assert await client.update("u") == GUEST
        await blocker.script("commit")
        assert (await client.closed())[0] == 4001


async def test_two_pages_that_log_in_at_once(server: RunningServer) -> None:
    """The second login comes with the cookie of before the first, and finds the socket that followed that one."""
    page = await make_guest(server)
    async with page.socket() as client:
        await watch(client, GUEST)
        before = dict(page.cookies)
        await page.log_in("anna")
        await changed(client, ANNA)
    async with page.socket() as client:
        await watch(client, ANNA)
        await evolve(page, cookies=before).log_in("anna")
        await changed(client, ANNA)


async def test_handshake_under_way_during_a_login(server: RunningServer) -> None:
    """A handshake with the cookie of before the login receives the update, and 4001 a second later; a newer one not."""
    browser = await make_guest(server)
    async with browser.socket():
        pass
    before = evolve(browser, cookies=dict(browser.cookies))
    await browser.log_in("anna")
    await trio.sleep(2 * Timing().announce_delay_s)
    async with before.socket() as client, browser.socket() as newer:
        opened_at = trio.current_time()
        await watch(client, GUEST)
        assert await client.update("u") == ANNA
        assert trio.current_time() - opened_at < 0.8
        assert (await client.closed())[0] == 4001
        assert 0.9 < trio.current_time() - opened_at < 2.0
        await watch(newer, ANNA)
        await newer.heartbeat()
        assert newer.unread == []


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


async def test_login_state_without_a_subscription(server: RunningServer) -> None:
    """After user.unsubscribe the socket is closed like any other, plain."""
    browser = await make_anna(server)
    async with browser.socket() as client:
        await watch(client, ANNA)
        await client.data("user.unsubscribe", {"sub_eid": "u"})
        await browser.call("user.logout")
        assert (await client.closed())[0] == 4001
        assert client.unread == []
