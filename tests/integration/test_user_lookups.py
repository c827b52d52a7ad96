"""Finding out who has an account here: what names can be asked for, and what the answers and their time betray."""

import time
from functools import partial
from typing import Any

import pytest

from seatsync import errors
from seatsync.user import totp
from seatsync.user.phrases import Cost
from tests.support.people import Phone, Users, outcome, outcomes

START, REGISTER, LOGIN, RECOVER = (f"user.{name}" for name in ("auth_start", "register", "login", "recover"))
WRONG = "babab babab babab babab babab"
ELSEWHERE = "203.0.113.7"
PER_MINUTE = 120

ASKING = [
    (START, {}, "success"),
    (REGISTER, {"code": "123456"}, "RegistrationNotInProgress"),
    (LOGIN, {"code": "123456"}, "UserNotFound"),
    (RECOVER, {"phrase": WRONG}, "UserNotFound"),
]
"""The methods whose answer depends on whether a name is taken, and that answer for a free one."""


async def use_up(users: Users) -> None:
    """Ask for as many names as an address may."""
    await users.sql("delete from throttle where scope = 'lookup'")
    attempts = [partial(users.browser(), LOGIN, username=f"user{n}", code="123456") for n in range(PER_MINUTE)]
    assert await outcomes(attempts) == ["UserNotFound"] * PER_MINUTE


@pytest.mark.parametrize(("method", "data", "answer"), ASKING)
async def test_every_way_to_ask_is_in_one_budget(users: Users, method: str, data: dict[str, str], answer: str) -> None:
    """After 120 names in a minute an address gets no answer about another by any method; other addresses do."""
    await use_up(users)
    with pytest.raises(errors.TooManyRequests) as caught:
        await users.browser()(method, username="eve", **data)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 60
    assert await outcome(partial(users.browser(ELSEWHERE), method, username="eve", **data)) == answer


@pytest.mark.parametrize(("method", "data", "answer"), ASKING)
async def test_every_way_to_ask_takes_from_it(users: Users, method: str, data: dict[str, str], answer: str) -> None:
    """Each question counts, whatever the method, also among many at once."""
    users = users.evolve_settings(lookups_per_minute=3)
    attempts = [partial(users.browser(), method, username=f"user{n}", **data) for n in range(6)]
    assert await outcomes(attempts) == sorted([answer] * 3 + ["TooManyRequests"] * 3)


@pytest.mark.parametrize("open_", [True, False])
async def test_registering_does_not_betray_taken_names(users: Users, open_: bool) -> None:
    """`user.register` without a registration says whether a name is taken, and counts as a question."""
    await users.create("ada")
    users = users.evolve_settings(lookups_per_minute=1, registration="open" if open_ else "closed")
    assert await outcome(partial(users.browser(), REGISTER, username="ada", code="123456")) == "UserAlreadyExists"
    for username in ("ada", "eve"):
        assert await outcome(partial(users.browser(), REGISTER, username=username, code="1" * 6)) == "TooManyRequests"


async def test_confirming_a_registration_is_no_question(users: Users) -> None:
    """Who has begun a registration confirms it whatever others at its address have asked."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    users = browser.users = users.evolve_settings(lookups_per_minute=1)
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_a_class_of_thirty_registers_and_signs_in(users: Users) -> None:
    """Thirty people behind one address register and sign in on another device within a minute."""
    phones = [await users.register(f"pupil{number}") for number in range(30)]
    for number, phone in enumerate(phones):
        browser = users.browser()
        assert (await browser(START, username=f"pupil{number}"))["status"] == "user"
        assert (await browser(LOGIN, username=f"pupil{number}", code=phone.code()))["status"] == "user"


async def test_a_known_device_asks_for_its_user_freely(users: Users) -> None:
    """Neighbours who have used up the questions of an address do not lock a known device out; it may ask for no other
    user.
    """
    browser = users.browser()
    phone = await users.register("ada", browser)
    phrase = (await browser("user.recovery_phrase", code=phone.code()))["phrase"]
    await browser("user.save_recovery_phrase", phrase=phrase)
    await browser("user.logout")
    await users.sql("insert into throttle values ('recovery', '192.0.2.1', 30, now(), now() + interval '1 minute')")
    await use_up(users)
    users.clock.next_code()
    assert (await browser(START, username="ada"))["status"] == "user"
    assert (await browser(RECOVER, username="ada", phrase=phrase))["status"] == "candidate"
    assert await outcome(partial(browser, LOGIN, username="eve", code="123456")) == "TooManyRequests"
    assert (await browser(LOGIN, username="ADA", code=phone.code()))["status"] == "user"


async def test_a_minute_later_questions_are_free_again(users: Users) -> None:
    """The window ends a minute after its first question."""
    users = users.evolve_settings(lookups_per_minute=1)
    ask = partial(users.browser(), LOGIN, username="ada", code="123456")
    assert [await outcome(ask) for _ in range(2)] == ["UserNotFound", "TooManyRequests"]
    assert await users.value("select expires_at - now() > interval '50 seconds' from throttle where scope = 'lookup'")
    await users.sql("update throttle set expires_at = now() where scope = 'lookup'")
    assert await outcome(ask) == "UserNotFound"


@pytest.mark.parametrize("cost", [Cost()], ids=["real cost"])
async def test_the_time_does_not_betray_who_has_a_phrase(users: Users) -> None:
    """A wrong phrase takes as long to refuse where the user has none."""
    await users.create("ada")
    await users.register("bob")

    async def fastest_s(username: str) -> float:
        times = []
        for number in range(4):
            attempt = partial(users.browser(f"203.0.113.{number}"), RECOVER, username=username, phrase=WRONG)
            began = time.perf_counter()
            assert await outcome(attempt) == "InvalidRecoveryPhrase"
            times.append(time.perf_counter() - began)
        return min(times)

    assert await fastest_s("bob") > await fastest_s("ada") / 2


async def test_the_code_for_an_unknown_name_is_checked_too(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login takes the steps of one for a known name."""
    checked: list[str] = []
    real = totp.matching_step

    def matching_step(secret: str, code: str, now: float) -> Any:
        checked.append(code)
        return real(secret, code, now)

    monkeypatch.setattr(totp, "matching_step", matching_step)
    assert await outcome(partial(users.browser(), LOGIN, username="eve", code="123456")) == "UserNotFound"
    assert checked == ["123456"]
