"""First visits of many pages: each learns of its sign-in, whatever overtakes what on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pyotp
import pytest
import trio

from tests.fuzz.inputs import rounds
from tests.support.page import Page
from tests.support.server import RunningServer, running_server

COUNT = rounds(40, 200)

#: Visits at a time.
AT_ONCE = 25

#: For a visit, whose parts take 60 ms each at most, with a second for what a handshake has missed.
PATIENCE_S = 10.0

Visit = Callable[[RunningServer, Page, str], Awaitable[None]]


async def registers(_: RunningServer, page: Page, name: str) -> None:
    """Somebody new."""
    await page.register(name)
    await page.opened_as(name)


async def logs_in(server: RunningServer, page: Page, name: str) -> None:
    """Somebody who has an account."""
    await add_user(server, page, name)
    await page.log_in(name)
    await page.opened_as(name)


async def logs_out_at_once(server: RunningServer, page: Page, name: str) -> None:
    """Somebody who logs out before the page has followed the login, and in again."""
    await logs_in(server, page, name)
    await page.call("user.logout")
    await page.opened_as(None)
    await server.rows("update app_user set totp_last_step = 0 where username = $1", name)
    await page.log_in(name)
    await page.call("user.logout")
    await server.rows("update app_user set totp_last_step = 0 where username = $1", name)
    await page.log_in(name)
    await page.opened_as(name)


async def add_user(server: RunningServer, page: Page, name: str) -> None:
    """A user whose authenticator the page's owner has."""
    page.secret = pyotp.random_base32()
    await server.rows("insert into app_user (username, totp_secret) values ($1, $2)", name, page.secret)


VISITS: tuple[Visit, ...] = (registers, logs_in, logs_out_at_once)


@pytest.fixture
async def proxied(database_url: str) -> AsyncIterator[RunningServer]:
    """A server that learns its clients' addresses from a proxy."""
    async with running_server(database_url, TRUSTED_PROXIES="127.0.0.1,::1") as server:
        yield server


@pytest.mark.parametrize("ports", ["one", "two"])
async def test_no_first_visit_hangs(proxied: RunningServer, ports: str) -> None:
    """With the page's handshake and its first request under way together, on one origin and across ports."""
    hung: list[str] = []
    free = trio.CapacityLimiter(AT_ONCE)

    async def run(number: int) -> None:
        async with free:
            port = proxied.ws_port if ports == "one" else proxied.port
            page = Page(port, proxied.ws_port, f"198.51.100.{number}")
            with trio.move_on_after(PATIENCE_S) as scope:
                async with trio.open_nursery() as nursery:
                    await page.open(nursery)
                    await VISITS[number % len(VISITS)](proxied, page, f"visitor_{number}")
                    nursery.cancel_scope.cancel()
            if scope.cancelled_caught:
                hung.append(f"{VISITS[number % len(VISITS)].__name__}: {page.signed_in_as}, {page.sockets}")

    async with trio.open_nursery() as nursery:
        for number in range(COUNT):
            nursery.start_soon(run, number)
    assert hung == []
