"""Recovery phrases: `user.recovery_phrase`, `user.save_recovery_phrase`, `user.recover`."""

from functools import partial

import pytest

from seatsync import errors
from seatsync.user.accounts import create_user
from tests.support.people import Browser, House, Phone, outcome, outcomes

PHRASE, SAVE, RECOVER = "user.recovery_phrase", "user.save_recovery_phrase", "user.recover"
REGISTER, LOGIN, STATUS = "user.register", "user.login", "user.status"
GUEST = {"status": "guest"}
WRONG = "babab babab babab babab babab"


async def with_phrase(house: House, browser: Browser) -> tuple[Phone, str]:
    """Ada, signed in there, with a phrase that is in force."""
    phone = await house.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    await browser(SAVE, phrase=phrase)
    house.clock.next_code()
    return phone, phrase


async def test_a_phrase_lets_a_new_authenticator_in(house: House) -> None:
    """Phrase, QR code, a code from it: signed in."""
    _, phrase = await with_phrase(house, house.browser())
    browser = house.browser()
    answer = await browser(RECOVER, username="ADA", phrase=phrase)
    assert list(answer) == ["status", "username", "qr_url", "qr_code"]
    assert (answer["status"], answer["username"]) == ("candidate", "ada")
    await browser(REGISTER, username="ada", code=Phone.scan(house.clock, answer).code())
    assert (await browser(STATUS))["username"] == "ada"


async def test_a_phrase_may_be_typed_carelessly(house: House) -> None:
    """Case and spaces do not matter."""
    _, phrase = await with_phrase(house, house.browser())
    typed = "  " + phrase.upper().replace(" ", "   ")
    assert (await house.browser()(RECOVER, username="ada", phrase=typed))["status"] == "candidate"


async def test_recovering_changes_nothing_before_it_is_confirmed(house: House) -> None:
    """The old authenticator and the open sessions go on until a code from the new one is seen."""
    browser = house.browser()
    phone, phrase = await with_phrase(house, browser)
    await house.browser()(RECOVER, username="ada", phrase=phrase)
    assert (await browser(STATUS))["username"] == "ada"
    assert await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.code())) == "success"
    assert await outcome(partial(house.browser(), RECOVER, username="ada", phrase=phrase)) == "success"


async def test_a_confirmed_recovery_ends_everything_old(house: House) -> None:
    """Old sessions, old secret and the phrase are gone."""
    browser = house.browser()
    old_phone, phrase = await with_phrase(house, browser)
    thief_proof = house.browser()
    phone = Phone.scan(house.clock, await thief_proof(RECOVER, username="ada", phrase=phrase))
    await thief_proof(REGISTER, username="ada", code=phone.code())
    house.clock.next_code()
    assert await browser(STATUS) == GUEST
    assert await outcome(partial(house.browser(), LOGIN, username="ada", code=old_phone.code())) == "InvalidCode"
    assert await outcome(partial(house.browser(), LOGIN, username="ada", code=phone.code())) == "success"
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await house.browser()(RECOVER, username="ada", phrase=phrase)


async def test_a_recovery_keeps_name_and_role(house: House) -> None:
    """It is the same user afterwards."""
    phrase = (await create_user(house.db, "Ada", "admin")).phrase
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await browser(REGISTER, username="ada", code=phone.code())
    assert await browser(STATUS) == {"status": "user", "username": "Ada", "role": "admin"}


async def test_a_recovery_is_confirmed_by_who_began_it(house: House) -> None:
    """Another client has nothing to confirm."""
    _, phrase = await with_phrase(house, house.browser())
    phone = Phone.scan(house.clock, await house.browser()(RECOVER, username="ada", phrase=phrase))
    with pytest.raises(errors.UserAlreadyExists):
        await house.browser()(REGISTER, username="ada", code=phone.code())


async def test_a_recovery_ends_after_five_minutes(house: House) -> None:
    """As a registration does."""
    _, phrase = await with_phrase(house, house.browser())
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await house.sql("update registration set expires_at = now()")
    with pytest.raises(errors.RegistrationExpired):
        await browser(REGISTER, username="ada", code=phone.code())


async def test_recovering_again_shows_a_new_authenticator(house: House) -> None:
    """The newest is the one that counts, and it has its own five minutes."""
    _, phrase = await with_phrase(house, house.browser())
    browser = house.browser()
    first = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await house.sql("update registration set expires_at = now()")
    second = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    assert await outcome(partial(browser, REGISTER, username="ada", code=first.code())) == "InvalidCode"
    assert await outcome(partial(browser, REGISTER, username="ada", code=second.code())) == "success"


async def test_a_recovery_can_be_reset(house: House) -> None:
    """`user.auth_reset` drops it; the phrase stays good."""
    _, phrase = await with_phrase(house, house.browser())
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await browser("user.auth_reset", username="ada")
    with pytest.raises(errors.UserAlreadyExists):
        await browser(REGISTER, username="ada", code=phone.code())
    assert await outcome(partial(browser, RECOVER, username="ada", phrase=phrase)) == "success"


async def test_of_two_recoveries_one_is_confirmed(house: House) -> None:
    """A phrase is used once, also at the same moment."""
    _, phrase = await with_phrase(house, house.browser())
    attempts = []
    for _ in range(4):
        browser = house.browser()
        phone = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
        attempts.append(partial(browser, REGISTER, username="ada", code=phone.code()))
    found = await outcomes(attempts)
    assert found.count("success") == 1
    assert set(found) <= {"success", "RegistrationNotInProgress", "UserAlreadyExists"}


async def test_recovering_works_while_registration_is_closed(house: House) -> None:
    """A closed house lets its own people back in."""
    _, phrase = await with_phrase(house, house.browser())
    browser = house.evolve_settings(registration="closed").browser()
    phone = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_recovering_ends_the_session_it_came_with(house: House) -> None:
    """The browser's session of another user ends."""
    _, phrase = await with_phrase(house, house.browser())
    browser = house.browser()
    await house.register("bob", browser)
    old = dict(browser.cookies)
    phone = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await browser(REGISTER, username="ada", code=phone.code())
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_a_wrong_phrase_is_invalid(house: House) -> None:
    """`InvalidRecoveryPhrase`; also for a user who has none."""
    await with_phrase(house, house.browser())
    await house.register("bob")
    for username in ("ada", "bob"):
        with pytest.raises(errors.InvalidRecoveryPhrase):
            await house.browser()(RECOVER, username=username, phrase=WRONG)


async def test_recovering_nobody_is_not_found(house: House) -> None:
    """`UserNotFound`."""
    with pytest.raises(errors.UserNotFound):
        await house.browser()(RECOVER, username="ada", phrase=WRONG)


async def test_guesses_at_a_phrase_are_throttled(house: House) -> None:
    """Five at once are looked at, then even the right one has to wait; hashing is not begun for the others."""
    _, phrase = await with_phrase(house, house.browser())
    attempts = [partial(house.browser(), RECOVER, username="ada", phrase=WRONG) for _ in range(12)]
    assert await outcomes(attempts) == ["InvalidRecoveryPhrase"] * 5 + ["TooManyValidationAttempts"] * 7
    with pytest.raises(errors.TooManyValidationAttempts) as caught:
        await house.browser()(RECOVER, username="ada", phrase=phrase)
    assert caught.value.retry_after is not None
    assert 25 <= caught.value.retry_after <= 30


async def test_guesses_from_one_address_are_throttled(house: House) -> None:
    """Thirty a minute, at however many users: each costs a hash."""
    for number in range(4):
        await house.sql("insert into app_user (username, totp_secret) values ($1, 'JBSWY3DPEHPK3PXP')", f"user{number}")
    for attempt in range(30):
        await outcome(partial(house.browser(), RECOVER, username=f"user{attempt % 4}", phrase=WRONG))
    await house.sql("delete from throttle where subject !~ '[.]'")
    assert await outcome(partial(house.browser(), RECOVER, username="user0", phrase=WRONG)) == (
        "TooManyValidationAttempts"
    )
    other = partial(house.browser("198.51.100.1"), RECOVER, username="user0", phrase=WRONG)
    assert await outcome(other) == "InvalidRecoveryPhrase"


async def test_strangers_cannot_lock_a_known_visitor_out_of_recovering(house: House) -> None:
    """A browser that has signed in as that user before counts apart."""
    browser = house.browser()
    _, phrase = await with_phrase(house, browser)
    for _ in range(6):
        await outcome(partial(house.browser(), RECOVER, username="ada", phrase=WRONG))
    assert await outcome(partial(browser, RECOVER, username="ada", phrase=phrase)) == "success"


async def test_wrong_codes_count_for_a_recovery(house: House) -> None:
    """As for a registration."""
    _, phrase = await with_phrase(house, house.browser())
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(RECOVER, username="ada", phrase=phrase))
    for _ in range(5):
        assert await outcome(partial(browser, REGISTER, username="ada", code=phone.wrong_code())) == "InvalidCode"
    with pytest.raises(errors.TooManyValidationAttempts):
        await browser(REGISTER, username="ada", code=phone.code())


# getting a phrase


@pytest.mark.parametrize(("method", "data"), [(PHRASE, {"code": "123456"}), (SAVE, {"phrase": WRONG})])
async def test_guests_get_no_phrase(house: House, method: str, data: dict[str, str]) -> None:
    """`Unauthorized`."""
    with pytest.raises(errors.Unauthorized):
        await house.browser()(method, **data)


async def test_an_ended_session_gets_no_phrase(house: House) -> None:
    """A socket whose session has been revoked, and that does not know it yet, cannot make a way back in."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    client = await browser.client()
    await house.sql("delete from session")
    with pytest.raises(errors.SessionExpired):
        await browser.call(PHRASE, {"code": phone.code()}, client)
    with pytest.raises(errors.SessionExpired):
        await browser.call(SAVE, {"phrase": WRONG}, client)


async def test_a_phrase_needs_a_fresh_code(house: House) -> None:
    """Neither a wrong code nor a used one: a session left open makes no phrase."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    assert await outcome(partial(browser, PHRASE, code=phone.wrong_code())) == "InvalidCode"
    assert await outcome(partial(browser, PHRASE, code=phone.code())) == "success"
    assert await outcome(partial(browser, PHRASE, code=phone.code())) == "InvalidCode"
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "InvalidCode"


async def test_guesses_for_a_phrase_count_with_those_to_log_in(house: House) -> None:
    """One secret, one counter."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    for _ in range(5):
        await outcome(partial(browser, PHRASE, code=phone.wrong_code()))
    assert await outcome(partial(browser, PHRASE, code=phone.code())) == "TooManyValidationAttempts"
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"


async def test_a_good_code_for_a_phrase_forgives(house: House) -> None:
    """As a login does."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    for _ in range(4):
        await outcome(partial(browser, PHRASE, code=phone.wrong_code()))
    await browser(PHRASE, code=phone.code())
    assert await house.value("select count(*) from throttle where scope = 'code'") == 0


async def test_a_phrase_is_not_in_force_until_saved(house: House) -> None:
    """Shown is not kept."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await house.browser()(RECOVER, username="ada", phrase=phrase)


async def test_saving_needs_the_phrase_that_was_shown(house: House) -> None:
    """Another one proves nothing; the shown one may still be saved."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=WRONG)
    assert await browser(SAVE, phrase=phrase.upper()) == {"success": True}


async def test_saving_what_was_never_shown_is_invalid(house: House) -> None:
    """A user cannot choose a phrase."""
    browser = house.browser()
    await house.register("ada", browser)
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=WRONG)


async def test_an_offer_ends_after_fifteen_minutes(house: House) -> None:
    """Then a new one is needed."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    assert await house.value("select offered_until - now() > interval '14 minutes' from recovery")
    await house.sql("update recovery set offered_until = now()")
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=phrase)


async def test_a_saved_phrase_takes_the_place_of_the_old_one(house: House) -> None:
    """There is one phrase a user, and recoveries begun with the old one are void."""
    browser, other = house.browser(), house.browser()
    phone, old = await with_phrase(house, browser)
    began = Phone.scan(house.clock, await other(RECOVER, username="ada", phrase=old))
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    assert await outcome(partial(house.browser(), RECOVER, username="ada", phrase=old)) == "success"
    await browser(SAVE, phrase=phrase)
    assert await outcome(partial(other, REGISTER, username="ada", code=began.code())) == "UserAlreadyExists"
    assert await outcome(partial(house.browser(), RECOVER, username="ada", phrase=old)) == "InvalidRecoveryPhrase"
    assert await outcome(partial(house.browser(), RECOVER, username="ada", phrase=phrase)) == "success"


async def test_saving_twice_saves_once(house: House) -> None:
    """The second time nothing is on offer."""
    browser = house.browser()
    phone = await house.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    await browser(SAVE, phrase=phrase)
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=phrase)


async def test_guesses_at_an_offered_phrase_are_throttled(house: House) -> None:
    """Each costs a hash."""
    browser = house.browser()
    await house.register("ada", browser)
    attempts = [partial(browser, SAVE, phrase=WRONG)] * 8
    assert await outcomes(attempts) == ["InvalidRecoveryPhrase"] * 5 + ["TooManyValidationAttempts"] * 3


async def test_the_tables_hold_no_phrase(house: House) -> None:
    """Only hashes, each with its salt and parameters."""
    await with_phrase(house, house.browser())
    stored = await house.value("select phrase_hash from recovery")
    assert stored.startswith("scrypt$15$8$1$")
