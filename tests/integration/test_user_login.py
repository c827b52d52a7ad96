"""Login and logout: `user.login`, `user.logout`, `user.status`, and their cookies."""

from functools import partial
from itertools import pairwise

import pytest

from seatsync import errors
from tests.support.people import Users, outcome, outcomes

LOGIN, LOGOUT, STATUS = "user.login", "user.logout", "user.status"
GUEST = {"status": "guest"}
ADA = {"status": "user", "username": "ada", "role": "operator"}


async def test_a_code_logs_in(users: Users) -> None:
    """A valid code opens a session: the answer has its token, the browser its cookie."""
    phone, browser = await users.register("ada"), users.browser()
    answer = await browser(LOGIN, username="ada", code=phone.code())
    assert answer == {"status": "user", "username": "ada", "token": browser.cookies["seatsync"]}
    assert await browser(STATUS) == ADA


async def test_logging_in_is_announced(users: Users) -> None:
    """The announcement for the visitor's open sockets has the user."""
    phone, browser = await users.register("ada"), users.browser()
    await browser(LOGIN, username="ada", code=phone.code())
    assert browser.last is not None
    assert browser.last[1].announcement == {"status": "user", "username": "ada", "role": "operator"}


async def test_an_unknown_user_is_not_found(users: Users) -> None:
    """`UserNotFound`."""
    with pytest.raises(errors.UserNotFound):
        await users.browser()(LOGIN, username="ada", code="123456")


async def test_a_wrong_code_is_invalid(users: Users) -> None:
    """`InvalidCode`, and no session is opened."""
    phone, browser = await users.register("ada"), users.browser()
    with pytest.raises(errors.InvalidCode):
        await browser(LOGIN, username="ada", code=phone.wrong_code())
    assert await browser(STATUS) == GUEST


@pytest.mark.parametrize("drift", [-1, 0, 1])
async def test_a_clock_may_be_one_step_off(users: Users, drift: int) -> None:
    """The codes before and after the present one are good too."""
    phone = await users.register("ada")
    users.clock.next_code()
    assert await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.code(drift))) == "success"


@pytest.mark.parametrize("drift", [-2, 2])
async def test_a_clock_may_not_be_two_steps_off(users: Users, drift: int) -> None:
    """Codes two steps (60 s) from the present one are refused."""
    phone = await users.register("ada")
    users.clock.now += 90
    assert await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.code(drift))) == "InvalidCode"


async def test_a_code_logs_in_once(users: Users) -> None:
    """A code is accepted once (RFC 6238 §5.2)."""
    phone = await users.register("ada")
    await users.browser()(LOGIN, username="ada", code=phone.code())
    with pytest.raises(errors.InvalidCode):
        await users.browser()(LOGIN, username="ada", code=phone.code())


async def test_an_older_code_than_the_last_is_used_up(users: Users) -> None:
    """After the next step's code the present one is refused."""
    phone = await users.register("ada")
    await users.browser()(LOGIN, username="ada", code=phone.code(+1))
    with pytest.raises(errors.InvalidCode):
        await users.browser()(LOGIN, username="ada", code=phone.code())


async def test_a_code_used_many_times_at_once_logs_in_once(users: Users) -> None:
    """The step is taken under the user's row lock."""
    phone = await users.register("ada")
    attempts = [partial(users.browser(), LOGIN, username="ada", code=phone.code()) for _ in range(5)]
    assert await outcomes(attempts) == ["InvalidCode"] * 4 + ["success"]


# sessions


async def test_logging_in_anew_ends_the_session_it_came_with(users: Users) -> None:
    """One browser has one session."""
    phone, browser = await users.register("ada"), users.browser()
    await browser(LOGIN, username="ada", code=phone.code())
    old = dict(browser.cookies)
    users.clock.next_code()
    await browser(LOGIN, username="ada", code=phone.code())
    assert await browser(STATUS) == ADA
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_logging_in_as_another_ends_the_session_too(users: Users) -> None:
    """A login as another user ends the session it came with."""
    browser = users.browser()
    await users.register("bob", browser)
    phone = await users.register("ada")
    old = dict(browser.cookies)
    await browser(LOGIN, username="ada", code=phone.code())
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_a_failed_login_ends_nothing(users: Users) -> None:
    """A failed login leaves the session of its request open."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await browser(STATUS) == ADA


async def test_other_browsers_stay_logged_in(users: Users) -> None:
    """A login leaves sessions of other browsers open."""
    one, other = users.browser(), users.browser()
    phone = await users.register("ada", one)
    await other(LOGIN, username="ada", code=phone.code())
    assert await one(STATUS) == ADA


async def test_logging_out_ends_the_session(users: Users) -> None:
    """A logout clears the cookie and invalidates copies of it."""
    browser = users.browser()
    await users.register("ada", browser)
    old = dict(browser.cookies)
    assert await browser(LOGOUT) == {"success": True}
    assert await browser(STATUS) == GUEST
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_logging_out_is_announced(users: Users) -> None:
    """The announcement for the visitor's open sockets is a guest."""
    browser = users.browser()
    await users.register("ada", browser)
    await browser(LOGOUT)
    assert browser.last is not None
    assert browser.last[1].announcement == GUEST


async def test_a_guest_logs_out_as_well(users: Users) -> None:
    """A guest's logout succeeds and clears any cookie."""
    browser = users.browser()
    browser.cookies["seatsync"] = "stale"
    assert await browser(LOGOUT) == {"success": True}
    assert browser.cookies["seatsync"] == ""


async def test_a_token_in_the_header_goes_before_the_cookie(users: Users) -> None:
    """`Authorization: Bearer` takes precedence over the cookie; a bad one makes a guest."""
    browser = users.browser()
    await users.register("ada", browser)
    token = browser.cookies["seatsync"]
    await users.register("bob", browser)
    other = users.browser()
    await users.register("cleo", other)
    assert (await browser.client()).username == "bob"
    assert (await browser.client(f"Bearer {other.cookies['seatsync']}")).username == "cleo"
    assert (await browser.client(f"bearer  {other.cookies['seatsync']}")).username == "cleo"
    assert (await browser.client(f"Bearer {token}")).identity is None
    assert (await browser.client("Bearer rubbish")).identity is None
    assert (await browser.client("Bearer")).identity is None
    assert (await browser.client("Basic YTpi")).username == "bob"


async def test_an_ended_session_is_a_guest(users: Users) -> None:
    """A revoked session has no rights while its connection is still open."""
    browser = users.browser()
    await users.register("ada", browser)
    client = await browser.client()
    assert client.session is not None
    client.session.ended = True
    assert await browser.call(STATUS, {}, client) == GUEST


async def test_an_expired_session_is_a_guest(users: Users) -> None:
    """A session expires by its row, not by the token alone."""
    browser = users.browser()
    await users.register("ada", browser)
    await users.sql("update session set expires_at = now()")
    assert await browser(STATUS) == GUEST


async def test_a_token_and_its_session_end_together(users: Users) -> None:
    """A token and its session expire together, after five days."""
    browser = users.browser()
    await users.register("ada", browser)
    assert await users.value("select expires_at - created_at = interval '5 days' from session")
    claims = users.tokens.verify(browser.cookies["seatsync"])
    assert abs(claims.expires_at - (await users.value("select expires_at from session")).timestamp()) < 1


async def test_a_session_of_another_user_is_no_session(users: Users) -> None:
    """A token is valid only for a session of the user that it names."""
    browser = users.browser()
    await users.register("ada", browser)
    claims = users.tokens.verify(browser.cookies["seatsync"])
    browser.cookies["seatsync"] = users.tokens.issue(claims.user_id + 1, claims.session_id, claims.expires_at)
    assert await browser(STATUS) == GUEST


# visitors


async def test_a_visitor_cookie_is_kept(users: Users) -> None:
    """A valid visitor cookie is kept."""
    browser = users.browser()
    await browser("user.auth_start", username="ada")
    client = await browser.client()
    assert not client.visitor_is_new
    assert client.visitor == (await browser.client()).visitor


async def test_logging_in_changes_the_visitor(users: Users) -> None:
    """A login makes a new visitor id and is announced to the old one's sockets; a planted id gets nothing later."""
    phone, browser = await users.register("ada"), users.browser()
    await browser("user.auth_start", username="ada")
    before = (await browser.client()).visitor
    await browser(LOGIN, username="ada", code=phone.code())
    assert browser.last is not None
    assert browser.last[0].client.visitor == before
    assert (await browser.client()).visitor not in {before, None}


async def test_over_websocket_the_visitor_stays(users: Users) -> None:
    """Over a WebSocket no cookie can be set: the visitor stays, and the answer has the token."""
    phone, browser = await users.register("ada"), users.browser()
    client = await browser.client()
    answer = await browser.call(LOGIN, {"username": "ada", "code": phone.code()}, client, "ws")
    assert users.tokens.verify(answer["token"]).user_id == await users.value("select id from app_user")
    assert browser.last is not None
    login = browser.last[1].login
    assert login is not None
    assert login.visitor == client.visitor
    assert client.identity is None


# throttles


async def test_five_wrong_codes_are_free_then_all_wait(users: Users) -> None:
    """After five wrong codes every code waits 30 seconds."""
    phone, browser = await users.register("ada"), users.browser()
    for _ in range(5):
        assert await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code())) == "InvalidCode"
    with pytest.raises(errors.TooManyLoginAttempts) as caught:
        await browser(LOGIN, username="ada", code=phone.code())
    assert caught.value.retry_after == 30


async def test_the_wait_doubles_to_fifteen_minutes(users: Users) -> None:
    """The wait is 30 s, then 1, 2, 4, 8, 15 and 15 minutes."""
    phone, browser = await users.register("ada"), users.browser()
    waits = []
    for attempt in range(1, 12):
        assert await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code())) == "InvalidCode"
        wait = await users.value("select blocked_until - now() from throttle where scope = 'code'")
        if attempt >= 5:
            waits.append(round(wait.total_seconds()))
        await users.sql("update throttle set blocked_until = now() where scope = 'code'")
    assert waits == [30, 60, 120, 240, 480, 900, 900]
    assert all(before <= after for before, after in pairwise(waits))


async def test_waiting_does_not_prolong_the_wait(users: Users) -> None:
    """Attempts during a wait are not counted."""
    phone, browser = await users.register("ada"), users.browser()
    for _ in range(20):
        await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await users.value("select attempts from throttle where scope = 'code'") == 5


async def test_concurrent_guesses_are_throttled(users: Users) -> None:
    """Of many concurrent attempts five are verified."""
    phone = await users.register("ada")
    attempts = [partial(users.browser(), LOGIN, username="ada", code=phone.wrong_code()) for _ in range(30)]
    assert await outcomes(attempts) == ["InvalidCode"] * 5 + ["TooManyLoginAttempts"] * 25


async def test_a_login_resets_the_counter(users: Users) -> None:
    """A login resets the counter: five more wrong codes are free."""
    phone = await users.register("ada")
    for _ in range(4):
        await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    await users.browser()(LOGIN, username="ada", code=phone.code())
    users.clock.next_code()
    for _ in range(5):
        attempt = partial(users.browser(), LOGIN, username="ada", code=phone.wrong_code())
        assert await outcome(attempt) == "InvalidCode"


async def test_a_day_later_all_is_forgotten(users: Users) -> None:
    """An unused counter expires after a day."""
    phone, browser = await users.register("ada"), users.browser()
    for _ in range(5):
        await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await users.value("select expires_at - now() > interval '23 hours' from throttle where scope = 'code'")
    await users.sql("update throttle set expires_at = now()")
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "success"


async def test_strangers_cannot_lock_a_known_visitor_out(users: Users) -> None:
    """A browser that has signed in as that user before has a counter of its own."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await browser(LOGOUT)
    for _ in range(9):
        await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    assert await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "success"


async def test_a_known_visitor_is_throttled_too(users: Users) -> None:
    """A known visitor is throttled on a counter of its own, which does not affect strangers."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    for _ in range(5):
        await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"
    assert await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.code())) == "success"


async def test_a_visitor_known_to_one_user_is_a_stranger_to_another(users: Users) -> None:
    """A visitor known to one user shares the strangers' counter for other users."""
    phone, mallory = await users.register("ada"), users.browser()
    await users.register("mallory", mallory)
    for _ in range(5):
        await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    assert await outcome(partial(mallory, LOGIN, username="ada", code=phone.wrong_code())) == "TooManyLoginAttempts"


async def test_the_id_before_a_login_is_not_remembered(users: Users) -> None:
    """Only the visitor id set by the login has a counter of its own."""
    phone, browser = await users.register("ada"), users.browser()
    await browser(STATUS)
    planted = dict(browser.cookies)
    await browser(LOGIN, username="ada", code=phone.code())
    users.clock.next_code()
    for _ in range(5):
        await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.wrong_code()))
    browser.cookies = planted
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"


async def test_the_tables_hold_no_visitor_id(users: Users) -> None:
    """The tables hold no visitor id: a copy of the database does not make known visitors."""
    browser = users.browser()
    await users.register("ada", browser)
    visitor = (await browser.client()).visitor
    stored = [row["visitor"] for row in await users.sql("select visitor from known_visitor")]
    assert len(stored) == 1
    assert bytes.fromhex(visitor) not in stored[0]
    assert visitor.encode() not in stored[0]
