"""Logging in and out: `user.login`, `user.logout`, `user.status`, and the cookies they go by."""

from functools import partial
from itertools import pairwise

import pytest

from seatsync import errors
from tests.support.people import House, outcome, outcomes

LOGIN, LOGOUT, STATUS = "user.login", "user.logout", "user.status"
GUEST = {"status": "guest"}
ADA = {"status": "user", "username": "ada", "role": "operator"}


async def test_a_code_logs_in(house: House) -> None:
    """The answer has the token, the browser its cookie, and is that user from then on."""
    phone, browser = await house.register("ada"), house.browser()
    answer = await browser(LOGIN, username="ada", code=phone.code())
    assert answer == {"status": "user", "username": "ada", "token": browser.cookies["seatsync"]}
    assert await browser(STATUS) == ADA


async def test_logging_in_is_announced(house: House) -> None:
    """The announcement for the visitor's open sockets has the user."""
    phone, browser = await house.register("ada"), house.browser()
    await browser(LOGIN, username="ada", code=phone.code())
    assert browser.last is not None
    assert browser.last[1].announcement == {"status": "user", "username": "ada", "role": "operator"}


async def test_an_unknown_user_is_not_found(house: House) -> None:
    """`UserNotFound`."""
    with pytest.raises(errors.UserNotFound):
        await house.browser()(LOGIN, username="ada", code="123456")


async def test_a_wrong_code_is_invalid(house: House) -> None:
    """`InvalidCode`, and no session is opened."""
    phone, browser = await house.register("ada"), house.browser()
    with pytest.raises(errors.InvalidCode):
        await browser(LOGIN, username="ada", code=phone.wrong_code())
    assert await browser(STATUS) == GUEST


@pytest.mark.parametrize("drift", [-1, 0, 1])
async def test_a_clock_may_be_one_step_off(house: House, drift: int) -> None:
    """The codes before and after the present one are good too."""
    phone = await house.register("ada")
    house.clock.next_code()
    assert await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.code(drift))) == "success"


@pytest.mark.parametrize("drift", [-2, 2])
async def test_a_clock_may_not_be_two_steps_off(house: House, drift: int) -> None:
    """60 seconds are too many."""
    phone = await house.register("ada")
    house.clock.now += 90
    assert await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.code(drift))) == "InvalidCode"


async def test_a_code_logs_in_once(house: House) -> None:
    """A code seen by others is worthless after its use (RFC 6238 §5.2)."""
    phone = await house.register("ada")
    await house.browser()(LOGIN, username="ada", code=phone.code())
    with pytest.raises(errors.InvalidCode):
        await house.browser()(LOGIN, username="ada", code=phone.code())


async def test_an_older_code_than_the_last_is_used_up(house: House) -> None:
    """After the next step's code the present one is refused."""
    phone = await house.register("ada")
    await house.browser()(LOGIN, username="ada", code=phone.code(+1))
    with pytest.raises(errors.InvalidCode):
        await house.browser()(LOGIN, username="ada", code=phone.code())


async def test_a_code_used_many_times_at_once_logs_in_once(house: House) -> None:
    """The step is taken under the user's row lock."""
    phone = await house.register("ada")
    attempts = [partial(house.browser(), LOGIN, username="ada", code=phone.code()) for _ in range(5)]
    assert await outcomes(attempts) == ["InvalidCode"] * 4 + ["success"]


# sessions


async def test_logging_in_anew_ends_the_session_it_came_with(house: House) -> None:
    """One browser has one session."""
    phone, browser = await house.register("ada"), house.browser()
    await browser(LOGIN, username="ada", code=phone.code())
    old = dict(browser.cookies)
    house.clock.next_code()
    await browser(LOGIN, username="ada", code=phone.code())
    assert await browser(STATUS) == ADA
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_logging_in_as_another_ends_the_session_too(house: House) -> None:
    """Also another user's."""
    browser = house.browser()
    await house.register("bob", browser)
    phone = await house.register("ada")
    old = dict(browser.cookies)
    await browser(LOGIN, username="ada", code=phone.code())
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_a_failed_login_ends_nothing(house: House) -> None:
    """The session it came with goes on."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await browser(STATUS) == ADA


async def test_other_browsers_stay_logged_in(house: House) -> None:
    """Other sessions go on."""
    one, other = house.browser(), house.browser()
    phone = await house.register("ada", one)
    await other(LOGIN, username="ada", code=phone.code())
    assert await one(STATUS) == ADA


async def test_logging_out_ends_the_session(house: House) -> None:
    """The cookie is cleared, and a copy of it worth nothing."""
    browser = house.browser()
    await house.register("ada", browser)
    old = dict(browser.cookies)
    assert await browser(LOGOUT) == {"success": True}
    assert await browser(STATUS) == GUEST
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_logging_out_is_announced(house: House) -> None:
    """The announcement for the visitor's open sockets is a guest."""
    browser = house.browser()
    await house.register("ada", browser)
    await browser(LOGOUT)
    assert browser.last is not None
    assert browser.last[1].announcement == GUEST


async def test_a_guest_logs_out_as_well(house: House) -> None:
    """Success, and whatever cookie there was is cleared."""
    browser = house.browser()
    browser.cookies["seatsync"] = "stale"
    assert await browser(LOGOUT) == {"success": True}
    assert browser.cookies["seatsync"] == ""


async def test_a_token_in_the_header_goes_before_the_cookie(house: House) -> None:
    """`Authorization: Bearer` is who the client is; a bad one makes a guest, whatever the cookie."""
    browser = house.browser()
    await house.register("ada", browser)
    token = browser.cookies["seatsync"]
    await house.register("bob", browser)
    other = house.browser()
    await house.register("cleo", other)
    assert (await browser.client()).username == "bob"
    assert (await browser.client(f"Bearer {other.cookies['seatsync']}")).username == "cleo"
    assert (await browser.client(f"bearer  {other.cookies['seatsync']}")).username == "cleo"
    assert (await browser.client(f"Bearer {token}")).identity is None
    assert (await browser.client("Bearer rubbish")).identity is None
    assert (await browser.client("Bearer")).identity is None
    assert (await browser.client("Basic YTpi")).username == "bob"


async def test_an_ended_session_is_a_guest(house: House) -> None:
    """Until its connection is closed, a revoked session counts as none."""
    browser = house.browser()
    await house.register("ada", browser)
    client = await browser.client()
    assert client.session is not None
    client.session.ended = True
    assert await browser.call(STATUS, {}, client) == GUEST


async def test_an_expired_session_is_a_guest(house: House) -> None:
    """The row counts, not the token's expiry."""
    browser = house.browser()
    await house.register("ada", browser)
    await house.sql("update session set expires_at = now()")
    assert await browser(STATUS) == GUEST


async def test_a_token_and_its_session_end_together(house: House) -> None:
    """After five days, on both sides."""
    browser = house.browser()
    await house.register("ada", browser)
    assert await house.value("select expires_at - created_at = interval '5 days' from session")
    claims = house.tokens.verify(browser.cookies["seatsync"])
    assert claims is not None
    assert abs(claims.expires_at - (await house.value("select expires_at from session")).timestamp()) < 1


async def test_a_session_of_another_user_is_no_session(house: House) -> None:
    """A token is worth its session for the user it names, no other."""
    browser = house.browser()
    await house.register("ada", browser)
    claims = house.tokens.verify(browser.cookies["seatsync"])
    assert claims is not None
    browser.cookies["seatsync"] = house.tokens.issue(claims.user_id + 1, claims.session_id, claims.expires_at)
    assert await browser(STATUS) == GUEST


# visitors


async def test_a_visitor_cookie_is_kept(house: House) -> None:
    """A valid one is not made anew."""
    browser = house.browser()
    await browser(STATUS)
    client = await browser.client()
    assert not client.visitor_is_new
    assert client.visitor == (await browser.client()).visitor


async def test_logging_in_changes_the_visitor(house: House) -> None:
    """An id planted before the login is not notified after it; the login is announced to the old id's sockets."""
    phone, browser = await house.register("ada"), house.browser()
    await browser(STATUS)
    before = (await browser.client()).visitor
    await browser(LOGIN, username="ada", code=phone.code())
    assert browser.last is not None
    assert browser.last[0].client.visitor == before
    assert (await browser.client()).visitor not in {before, None}


async def test_over_websocket_the_visitor_stays(house: House) -> None:
    """There is no answer that could bring a cookie: the token is all."""
    phone, browser = await house.register("ada"), house.browser()
    client = await browser.client()
    answer = await browser.call(LOGIN, {"username": "ada", "code": phone.code()}, client, "ws")
    assert house.tokens.verify(answer["token"]) is not None
    assert browser.last is not None
    login = browser.last[1].login
    assert login is not None
    assert login.visitor == client.visitor
    assert client.identity is None


# throttles


async def test_five_wrong_codes_are_free_then_all_wait(house: House) -> None:
    """30 seconds, for the right code too."""
    phone, browser = await house.register("ada"), house.browser()
    for _ in range(5):
        assert await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code())) == "InvalidCode"
    with pytest.raises(errors.TooManyLoginAttempts) as caught:
        await browser(LOGIN, username="ada", code=phone.code())
    assert caught.value.retry_after == 30


async def test_the_wait_doubles_to_fifteen_minutes(house: House) -> None:
    """30 s, 1, 2, 4, 8, 15 and 15 minutes."""
    phone, browser = await house.register("ada"), house.browser()
    waits = []
    for attempt in range(1, 12):
        assert await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code())) == "InvalidCode"
        wait = await house.value("select blocked_until - now() from throttle where scope = 'code'")
        if attempt >= 5:
            waits.append(round(wait.total_seconds()))
        await house.sql("update throttle set blocked_until = now() where scope = 'code'")
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    assert all(before <= after for before, after in pairwise(waits))


async def test_waiting_does_not_prolong_the_wait(house: House) -> None:
    """Attempts that are not let through are not counted."""
    phone, browser = await house.register("ada"), house.browser()
    for _ in range(20):
        await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await house.value("select attempts from throttle where scope = 'code'") == 5


async def test_guesses_at_once_do_not_slip_through(house: House) -> None:
    """However many arrive together, five are looked at."""
    phone = await house.register("ada")
    attempts = [partial(house.browser(), LOGIN, username="ada", code=phone.wrong_code()) for _ in range(30)]
    assert await outcomes(attempts) == ["InvalidCode"] * 5 + ["TooManyLoginAttempts"] * 25


async def test_success_forgives(house: House) -> None:
    """After a login five more wrong codes are free."""
    phone = await house.register("ada")
    for _ in range(4):
        await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    await house.browser()(LOGIN, username="ada", code=phone.code())
    house.clock.next_code()
    for _ in range(5):
        attempt = partial(house.browser(), LOGIN, username="ada", code=phone.wrong_code())
        assert await outcome(attempt) == "InvalidCode"


async def test_a_day_later_all_is_forgotten(house: House) -> None:
    """An unused counter expires after a day."""
    phone, browser = await house.register("ada"), house.browser()
    for _ in range(5):
        await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await house.value("select expires_at - now() > interval '23 hours' from throttle where scope = 'code'")
    await house.sql("update throttle set expires_at = now()")
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "success"


async def test_strangers_cannot_lock_a_known_visitor_out(house: House) -> None:
    """A browser that has signed in as that user before counts apart."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    await browser(LOGOUT)
    for _ in range(9):
        await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    assert await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "success"


async def test_a_known_visitor_is_throttled_too(house: House) -> None:
    """On a counter of its own, which strangers do not feel."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    for _ in range(5):
        await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"
    assert await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.code())) == "success"


async def test_a_visitor_known_to_one_user_is_a_stranger_to_another(house: House) -> None:
    """Having an account of one's own buys no guesses at others."""
    phone, mallory = await house.register("ada"), house.browser()
    await house.register("mallory", mallory)
    for _ in range(5):
        await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    assert await outcome(partial(mallory, LOGIN, username="ada", code=phone.wrong_code())) == "TooManyLoginAttempts"


async def test_the_id_before_a_login_is_not_remembered(house: House) -> None:
    """Only the visitor cookie that the login brought counts apart."""
    phone, browser = await house.register("ada"), house.browser()
    await browser(STATUS)
    planted = dict(browser.cookies)
    await browser(LOGIN, username="ada", code=phone.code())
    house.clock.next_code()
    for _ in range(5):
        await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    browser.cookies = planted
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"


async def test_the_tables_hold_no_visitor_id(house: House) -> None:
    """A copy of the database is no way to become a known visitor."""
    browser = house.browser()
    await house.register("ada", browser)
    visitor = (await browser.client()).visitor
    stored = [row["visitor"] for row in await house.sql("select visitor from known_visitor")]
    assert len(stored) == 1
    assert bytes.fromhex(visitor) not in stored[0]
    assert visitor.encode() not in stored[0]
