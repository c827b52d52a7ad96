"""The commands that manage users, against a running server: what its clients and its users see."""

from functools import partial

import pytest
import trio

from seatsync.core.telemetry.logs import configure_logs
from tests.support.browser import Browser
from tests.support.command import run
from tests.support.halls import make_hall
from tests.support.server import SECRET, RunningServer

CLOSED, WITHIN_S = 4001, 2.0
LOCKOUT = "insert into lockout select id, 100 from app_user; truncate known_network"


@pytest.fixture(autouse=True)
def quiet_server(restored_logs: None) -> None:
    """The server is in the process of the commands, which share its logs."""
    configure_logs("warning", "console")


async def seatsync(server: RunningServer, *arguments: str) -> str:
    """What a command prints that succeeds, on the database of that server."""
    environment = {"DATABASE_URL": server.settings.database_url or "", "JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}
    done = await trio.to_thread.run_sync(partial(run, *arguments, **environment))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def out_at_once(server: RunningServer, name: str, *arguments: str) -> str:
    """What a command prints that closes a socket of that user, 2 s after it has ended at most."""
    async with server.client(await server.token(name)) as client, server.client(await server.token("bob")) as other:
        assert (await client.data("user.status"))["username"] == name
        printed = await seatsync(server, *arguments)
        with trio.fail_after(WITHIN_S):
            code, _ = await client.closed()
        assert code == CLOSED
        assert (await other.data("user.status"))["username"] == "bob"
    return printed


async def registered(server: RunningServer) -> Browser:
    """The browser of eve, who is not the first user, and so no admin."""
    await server.token("ada", "admin")
    browser = Browser(server)
    await browser.register("eve")
    return browser


async def error_of(browser: Browser, method: str, **data: str) -> tuple[int, str]:
    """The HTTP status and the code of a call that fails."""
    answer = await browser.post(method, **data)
    return answer.status, answer.json()["error"]


async def test_a_disabled_user_is_out_until_enabled(server: RunningServer) -> None:
    """The sockets close, and a right code is a wrong one, on every device."""
    browser = await registered(server)
    printed = await out_at_once(server, "eve", "user", "disable", "EVE")
    assert printed == "User eve disabled; 2 sessions ended.\n"
    assert await browser.call("user.status") == {"status": "guest"}
    stranger = Browser(server, secret=browser.secret)
    for one in (browser, stranger):
        assert await error_of(one, "user.login", username="eve", code=await one.code()) == (401, "InvalidCode")
    await seatsync(server, "user", "enable", "eve")
    await stranger.log_in("eve")
    assert (await stranger.call("user.status"))["username"] == "eve"


async def test_a_reset_user_enrols_anew(server: RunningServer) -> None:
    """The sockets close, the old authenticator is void, a lockout is over; the phrase enrols a new one, once."""
    browser = await registered(server)
    await server.sql(LOCKOUT)
    printed = await out_at_once(server, "eve", "user", "reset", "eve")
    phrase = printed.splitlines()[1]
    assert await error_of(browser, "user.login", username="eve", code=await browser.code()) == (401, "InvalidCode")
    again = Browser(server)
    candidate = await again.call("user.recover", username="eve", phrase=phrase)
    again.secret = candidate["qr_url"].partition("secret=")[2]
    await again.call("user.register", username="eve", code=await again.code())
    assert await again.call("user.status") == {"status": "user", "username": "eve", "role": "operator"}
    assert await error_of(Browser(server), "user.recover", username="eve", phrase=phrase) == (
        401,
        "InvalidRecoveryPhrase",
    )
    await Browser(server, secret=again.secret).log_in("eve")


async def test_a_deleted_user_is_out_for_good(server: RunningServer) -> None:
    """The sockets close, nobody signs in or registers by that name, and the history has it."""
    browser = await registered(server)
    hall = await make_hall(server)
    async with server.client(await server.token("eve")) as client:
        sale = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        await client.data("hall.update_seat_status", sale)
    await out_at_once(server, "eve", "user", "delete", "eve", "--yes")
    assert await error_of(browser, "user.login", username="eve", code=await browser.code()) == (401, "InvalidCode")
    assert await Browser(server).call("user.auth_start", username="Eve") == {"status": "user", "username": "eve"}
    assert await server.value("select username from seat_event join app_user u on u.id = seat_event.by") == "eve"


async def test_ended_sessions_close(server: RunningServer) -> None:
    """Those of the user; signing in anew works at once."""
    browser = await registered(server)
    printed = await out_at_once(server, "eve", "user", "sessions", "eve", "--end")
    assert printed == "User eve: 2 sessions ended.\n"
    assert await browser.call("user.status") == {"status": "guest"}
    await browser.log_in("eve")


async def test_a_lockout_says_no_time_to_wait(server: RunningServer) -> None:
    """Waiting does not help: programs that obey Retry-After try no more that day."""
    browser = await registered(server)
    await server.sql(LOCKOUT)
    answer = await Browser(server).post("user.login", username="eve", code=await browser.code())
    assert (answer.status, answer.header("Retry-After")) == (429, "86400")
    assert "retry_after" not in answer.json()
