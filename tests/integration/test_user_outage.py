"""While the database is unreachable a user is not taken for a guest, nor a known name for a new one."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from seatsync import errors
from tests.support.people import Users, outcome

ADA = {"status": "user", "username": "ada", "role": "operator"}


@contextmanager
def outage(users: Users) -> Iterator[None]:
    """The database is unreachable in the block."""
    dsn, users.db.dsn = users.db.dsn, "postgresql://127.0.0.1:1/unreachable"
    users.db.close()
    try:
        yield
    finally:
        users.db.dsn = dsn


async def test_a_token_that_cannot_be_checked_makes_no_guest(users: Users) -> None:
    """A token that cannot be verified is `ServiceUnavailable` until the database is back."""
    browser = users.browser()
    await users.register("ada", browser)
    with outage(users):
        client = await browser.client()
        with pytest.raises(errors.ServiceUnavailable) as caught:
            await browser.call("user.status", {}, client)
        assert caught.value.retry_after is not None
    assert await browser.call("user.status", {}, client) == ADA


async def test_a_session_revoked_meanwhile_makes_a_guest(users: Users) -> None:
    """A session revoked during the outage is a guest afterwards."""
    browser = users.browser()
    await users.register("ada", browser)
    with outage(users):
        client = await browser.client()
    await users.sql("delete from session")
    assert await browser.call("user.status", {}, client) == {"status": "guest"}
    assert await outcome(partial(browser.call, "user.recovery_phrase", {"code": "123456"}, client)) == "SessionExpired"


async def test_a_client_known_before_stays_known(users: Users) -> None:
    """A client authenticated before the outage keeps its user."""
    browser = users.browser()
    await users.register("ada", browser)
    client = await browser.client()
    with outage(users):
        assert await browser.call("user.status", {}, client) == ADA


async def test_guests_and_bad_tokens_need_no_database(users: Users) -> None:
    """A guest without a valid token needs no query."""
    browser = users.browser()
    with outage(users):
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
async def test_methods_that_need_the_database_are_unavailable(users: Users, method: str, data: dict[str, str]) -> None:
    """Methods that need the database end in `ServiceUnavailable`."""
    with outage(users):
        assert await outcome(partial(users.browser(), method, **data)) == "ServiceUnavailable"


async def test_a_logout_during_the_outage_is_unavailable(users: Users) -> None:
    """A logout during the outage ends in `ServiceUnavailable` and keeps the cookie for another attempt."""
    browser = users.browser()
    await users.register("ada", browser)
    with outage(users):
        assert await outcome(partial(browser, "user.logout")) == "ServiceUnavailable"
    assert await browser("user.status") == ADA
