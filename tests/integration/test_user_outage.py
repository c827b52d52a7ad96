"""While the database is unreachable no client is taken for another: a user is no guest, a known name no new one."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from seatsync import errors
from tests.support.people import House, outcome

ADA = {"status": "user", "username": "ada", "role": "operator"}


@contextmanager
def outage(house: House) -> Iterator[None]:
    """The database cannot be reached in the block."""
    dsn, house.db.dsn = house.db.dsn, "postgresql://127.0.0.1:1/nobody_listens"
    house.db.close()
    try:
        yield
    finally:
        house.db.dsn = dsn


async def test_a_token_that_cannot_be_checked_makes_no_guest(house: House) -> None:
    """`ServiceUnavailable`, until it can."""
    browser = house.browser()
    await house.register("ada", browser)
    with outage(house):
        client = await browser.client()
        with pytest.raises(errors.ServiceUnavailable) as caught:
            await browser.call("user.status", {}, client)
        assert caught.value.retry_after is not None
    assert await browser.call("user.status", {}, client) == ADA


async def test_a_session_revoked_meanwhile_makes_a_guest(house: House) -> None:
    """The outcome in the database counts."""
    browser = house.browser()
    await house.register("ada", browser)
    with outage(house):
        client = await browser.client()
    await house.sql("delete from session")
    assert await browser.call("user.status", {}, client) == {"status": "guest"}


async def test_a_client_known_before_stays_known(house: House) -> None:
    """An open connection goes on as who it is."""
    browser = house.browser()
    await house.register("ada", browser)
    client = await browser.client()
    with outage(house):
        assert await browser.call("user.status", {}, client) == ADA


async def test_guests_and_bad_tokens_need_no_database(house: House) -> None:
    """A guest without a valid token needs no query."""
    browser = house.browser()
    with outage(house):
        assert await browser("user.status") == {"status": "guest"}
        browser.cookies["seatsync"] = "rubbish"
        assert await browser("user.status") == {"status": "guest"}


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("user.auth_start", {"username": "ada"}),
        ("user.auth_reset", {"username": "ada"}),
        ("user.register", {"username": "ada", "code": "123456"}),
        ("user.login", {"username": "ada", "code": "123456"}),
        ("user.recover", {"username": "ada", "phrase": "babab"}),
    ],
)
async def test_what_needs_the_database_says_so(house: House, method: str, data: dict[str, str]) -> None:
    """No QR code for a name that may be taken, no verdict on a code."""
    with outage(house):
        assert await outcome(partial(house.browser(), method, **data)) == "ServiceUnavailable"


async def test_a_logout_that_cannot_be_done_says_so(house: House) -> None:
    """The session goes on: the browser keeps its cookie and may try again."""
    browser = house.browser()
    await house.register("ada", browser)
    with outage(house):
        assert await outcome(partial(browser, "user.logout")) == "ServiceUnavailable"
    assert await browser("user.status") == ADA
