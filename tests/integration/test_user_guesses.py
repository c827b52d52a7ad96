"""Guesses at a user's code and phrase: nobody has more than his own, and nobody uses up another's."""

from functools import partial

import pytest

from seatsync import errors
from tests.support.people import REMOTE, Browser, Phone, Users, outcome, outcomes

LOGIN, LOGOUT, STATUS, PHRASE, RECOVER = (
    f"user.{name}" for name in ("login", "logout", "status", "recovery_phrase", "recover")
)
WRONG = "babab babab babab babab babab"
ELSEWHERE = "203.0.113.7"
BOTNET = [f"198.51.100.{number}" for number in range(20)]
FREE, MOST = 5, 100

WAIT = "update throttle set blocked_until = now()"
FAILURES = "select coalesce(sum(failures), 0) from lockout"


async def guess(users: Users, phone: Phone, address: str, times: int = FREE) -> list[str]:
    """The outcomes of wrong codes, each by a new browser."""
    wrong = phone.wrong_code()
    return [await outcome(partial(users.browser(address), LOGIN, username="ada", code=wrong)) for _ in range(times)]


async def lock_out(users: Users, phone: Phone) -> None:
    """Use up what all unknown clients have together."""
    for address in BOTNET:
        assert await guess(users, phone, address) == ["InvalidCode"] * FREE
    assert await guess(users, phone, ELSEWHERE, 1) == ["TooManyLoginAttempts"]


async def signs_in(users: Users, phone: Phone, browser: Browser) -> str:
    """The outcome of a right code."""
    users.clock.next_code()
    return await outcome(partial(browser, LOGIN, username="ada", code=phone.code()))


# by network


async def test_guesses_from_one_network_do_not_use_up_anothers(users: Users) -> None:
    """While somebody takes every free guess, a right code from a new device elsewhere signs in."""
    phone = await users.register("ada")
    for _ in range(10):
        await guess(users, phone, BOTNET[0])
        await users.sql(WAIT)
        assert await signs_in(users, phone, users.browser(ELSEWHERE)) == "success"


async def test_guesses_at_a_phrase_from_one_network_do_not_use_up_anothers(users: Users) -> None:
    """While somebody takes every free guess at the phrase, the right one from elsewhere begins a recovery."""
    phrase = (await users.create("ada")).phrase
    guesses = [partial(users.browser(BOTNET[0]), RECOVER, username="ada", phrase=WRONG)] * 8
    assert await outcomes(guesses) == ["InvalidRecoveryPhrase"] * 5 + ["TooManyValidationAttempts"] * 3
    assert await outcome(partial(users.browser(ELSEWHERE), RECOVER, username="ada", phrase=phrase)) == "success"


async def test_a_right_phrase_forgives_the_wrong_ones_of_its_network(users: Users) -> None:
    """Five more wrong phrases are free after a right one."""
    phrase = (await users.create("ada")).phrase
    for given in [WRONG] * 4 + [phrase]:
        await outcome(partial(users.browser(), RECOVER, username="ada", phrase=given))
    assert await users.value("select count(*) from throttle where scope = 'recovery' and subject ~ ':'") == 0


async def test_the_addresses_of_an_ipv6_subscriber_are_one_network(users: Users) -> None:
    """The addresses of an IPv6 /64 have five guesses together; another /64 has its own."""
    phone = await users.register("ada")
    found = [(await guess(users, phone, f"2001:db8::{number}", 1))[0] for number in range(6)]
    assert found == ["InvalidCode"] * 5 + ["TooManyLoginAttempts"]
    assert await guess(users, phone, "2001:db8:0:1::1", 1) == ["InvalidCode"]


# a hundred in a row


async def test_unknown_clients_have_a_hundred_guesses_in_a_row(users: Users) -> None:
    """After a hundred wrong codes no other is looked at, right ones included, however long the client waits."""
    phone = await users.register("ada")
    await lock_out(users, phone)
    await users.sql("delete from throttle")
    users.clock.next_code()
    with pytest.raises(errors.TooManyLoginAttempts, match=r"a device or a network .* or the recovery phrase") as caught:
        await users.browser(ELSEWHERE)(LOGIN, username="ada", code=phone.code())
    assert caught.value.retry_after is None
    assert await users.value(FAILURES) == MOST


async def test_one_network_that_waits_has_a_hundred_guesses_in_a_row(users: Users) -> None:
    """Once the waits have passed, guesses from one address end at a hundred, too."""
    phone = await users.register("ada")
    wrong, found = phone.wrong_code(), []
    for _ in range(MOST + 5):
        await users.sql("delete from throttle")
        found.append(await outcome(partial(users.browser(ELSEWHERE), LOGIN, username="ada", code=wrong)))
    assert found == ["InvalidCode"] * MOST + ["TooManyLoginAttempts"] * 5


async def test_parallel_guesses_are_a_hundred_too(users: Users) -> None:
    """Guesses are counted before they are looked at: of many at once a hundred are."""
    phone = await users.register("ada")
    wrong = phone.wrong_code()
    attempts = [
        partial(users.browser(f"198.51.100.{number % 40}"), LOGIN, username="ada", code=wrong) for number in range(240)
    ]
    found = await outcomes(attempts)
    assert found == ["InvalidCode"] * MOST + ["TooManyLoginAttempts"] * 140
    assert await users.value(FAILURES) == MOST


async def test_a_known_device_signs_in_all_the_same(users: Users) -> None:
    """A device that has signed in is let through in a lockout, from any network; strangers stay locked out."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await browser(LOGOUT)
    await lock_out(users, phone)
    browser.address = ELSEWHERE
    assert await signs_in(users, phone, browser) == "success"
    assert await guess(users, phone, BOTNET[0], 1) == ["TooManyLoginAttempts"]
    assert await users.value(FAILURES) == MOST


async def test_a_known_network_signs_in_all_the_same(users: Users) -> None:
    """A new device is let through in a lockout from where the user has signed in before; strangers stay locked out."""
    phone = await users.register("ada")
    await lock_out(users, phone)
    assert await signs_in(users, phone, users.browser(REMOTE)) == "success"
    assert await guess(users, phone, BOTNET[0], 1) == ["TooManyLoginAttempts"]


async def test_a_network_is_known_for_ninety_days(users: Users) -> None:
    """After that, and to another user, it is unknown; the tables hold its hash."""
    phone = await users.register("ada")
    await users.register("bob", users.browser(ELSEWHERE))
    assert await users.value("select bool_and(expires_at - now() > interval '89 days') from known_network")
    assert await users.value("select count(*) from known_network where network = sha256($1::text::bytea)", REMOTE) == 1
    await users.sql("update known_network set expires_at = now() where user_id = 1")
    await lock_out(users, phone)
    assert await signs_in(users, phone, users.browser(REMOTE)) == "TooManyLoginAttempts"


async def test_the_phrase_ends_a_lockout(users: Users) -> None:
    """A recovery is let through, and unknown clients have their guesses again."""
    created = await users.create("ada")
    await lock_out(users, Phone(users.clock, created.uri.partition("secret=")[2]))
    browser = users.browser(ELSEWHERE)
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=created.phrase))
    assert (await browser("user.register", username="ada", code=phone.code()))["status"] == "user"
    assert await users.value(FAILURES) == 0
    assert await signs_in(users, phone, users.browser("203.0.113.8")) == "success"


async def test_an_administrator_ends_a_lockout(users: Users) -> None:
    """Deleting the row lets unknown clients in."""
    phone = await users.register("ada")
    await lock_out(users, phone)
    await users.sql("delete from lockout where user_id = 1")
    assert await signs_in(users, phone, users.browser(ELSEWHERE)) == "success"


async def test_a_right_code_of_an_unknown_client_starts_the_count_anew(users: Users) -> None:
    """A hundred means a hundred in a row."""
    phone = await users.register("ada")
    for address in BOTNET[1:]:
        await guess(users, phone, address)
    assert await signs_in(users, phone, users.browser(ELSEWHERE)) == "success"
    assert await users.value(FAILURES) == 0


async def test_known_clients_do_not_start_the_count_anew(users: Users) -> None:
    """The user's own sign-ins give strangers no guesses back."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await guess(users, phone, ELSEWHERE)
    assert await signs_in(users, phone, browser) == "success"
    assert await signs_in(users, phone, users.browser(REMOTE)) == "success"
    users.clock.next_code()
    await browser(PHRASE, code=phone.code())
    assert await users.value(FAILURES) == FREE


async def test_wrong_codes_of_known_clients_do_not_lock_strangers_out(users: Users) -> None:
    """A user who mistypes at home can still sign in elsewhere."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await guess(users, phone, REMOTE)
    await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await users.value(FAILURES) == 0
    assert await signs_in(users, phone, users.browser(ELSEWHERE)) == "success"


@pytest.mark.parametrize("table", ["known_visitor", "known_network"])
async def test_a_known_client_has_a_hundred_guesses_in_a_row(users: Users, table: str) -> None:
    """A device or a network with a hundred wrong codes is unknown: what it does counts as strangers' do."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await browser(LOGOUT)
    if table == "known_network":
        browser.cookies.clear()
    else:
        await users.sql("delete from known_network")
    for _ in range(MOST + 1):
        await users.sql("delete from throttle")
        assert await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code())) == "InvalidCode"
    assert await users.value(f"select failures from {table}") == MOST
    assert await users.value(FAILURES) == 1


@pytest.mark.parametrize("table", ["known_visitor", "known_network"])
async def test_a_right_code_forgives_the_wrong_ones_of_a_known_client(users: Users, table: str) -> None:
    """A sign-in, and a code for a phrase, start the count of that device and that network anew."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    if table == "known_network":
        browser.cookies.clear()
    await outcome(partial(browser, LOGIN, username="ada", code=phone.wrong_code()))
    assert await users.value(f"select failures from {table}") == 1
    assert await signs_in(users, phone, browser) == "success"
    assert await users.value(f"select max(failures) from {table}") == 0
    await users.sql(f"update {table} set failures = 3")
    users.clock.next_code()
    await browser(PHRASE, code=phone.code())
    assert await users.value(f"select min(failures) from {table}") == 0


async def test_a_session_from_an_unknown_client_guesses_as_strangers_do(users: Users) -> None:
    """Whoever has a token alone cannot try codes for a phrase in a lockout."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await lock_out(users, phone)
    users.clock.next_code()
    thief = await users.browser(ELSEWHERE).client(f"Bearer {browser.cookies['seatsync']}")
    found = await outcome(partial(browser.call, PHRASE, {"code": phone.code()}, thief))
    assert found == "TooManyValidationAttempts"
    assert await outcome(partial(browser, PHRASE, code=phone.code())) == "success"


# how much is remembered


async def test_devices_and_networks_are_remembered_in_bounds(users: Users) -> None:
    """A hundred devices and twenty networks of a user; the oldest is forgotten first."""
    phone = await users.register("ada")
    await users.sql(
        "insert into known_visitor (user_id, visitor, expires_at)"
        " select 1, sha256(int4send(n)), now() + n * interval '1 day' from generate_series(1, 150) n"
    )
    await users.sql(
        "insert into known_network (user_id, network, expires_at)"
        " select 1, sha256(int4send(n)), now() + n * interval '1 day' from generate_series(1, 50) n"
    )
    assert await signs_in(users, phone, users.browser(ELSEWHERE)) == "success"
    kept = "select min(expires_at) - now() > interval '{} days', count(*) from {}"
    assert [list(row.values()) for row in await users.sql(kept.format(50, "known_visitor"))] == [[True, 100]]
    assert [list(row.values()) for row in await users.sql(kept.format(30, "known_network"))] == [[True, 20]]


async def test_a_recovery_forgets_networks(users: Users) -> None:
    """A confirmed recovery leaves its own network as the only known one."""
    created = await users.create("ada")
    await users.sql("insert into known_network (user_id, network) select id, sha256('x') from app_user")
    browser = users.browser(ELSEWHERE)
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=created.phrase))
    await browser("user.register", username="ada", code=phone.code())
    stored = await users.sql("select network = sha256($1::text::bytea) as own from known_network", ELSEWHERE)
    assert [row["own"] for row in stored] == [True]


async def test_a_lockout_grows_no_tables(users: Users) -> None:
    """In a lockout guesses from ever new networks leave one row each, for a minute."""
    phone = await users.register("ada")
    await lock_out(users, phone)
    before = await users.value("select count(*) from throttle where scope <> 'lookup'")
    for number in range(20):
        await guess(users, phone, f"2001:db8:0:{number}::1", 1)
    assert await users.value("select count(*) from throttle where scope <> 'lookup'") == before
    left = await users.value("select max(expires_at) - now() from throttle where scope = 'lookup'")
    assert left.total_seconds() <= 60
