"""Recovery phrases: `user.recovery_phrase`, `user.save_recovery_phrase`, `user.recover`."""

from functools import partial

import pytest

from seatsync import errors
from seatsync.user.phrases import Cost
from tests.support.people import Browser, Phone, Users, outcome, outcomes

PHRASE, SAVE, RECOVER = "user.recovery_phrase", "user.save_recovery_phrase", "user.recover"
REGISTER, LOGIN, STATUS = "user.register", "user.login", "user.status"
GUEST = {"status": "guest"}
WRONG = "babab babab babab babab babab"


async def with_phrase(users: Users, browser: Browser) -> tuple[Phone, str]:
    """A registered user, signed in on that browser, with a phrase in force."""
    phone = await users.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    await browser(SAVE, phrase=phrase)
    users.clock.next_code()
    return phone, phrase


async def test_a_phrase_lets_a_new_authenticator_in(users: Users) -> None:
    """A phrase gets a QR code; a code from it signs in."""
    _, phrase = await with_phrase(users, users.browser())
    browser = users.browser()
    answer = await browser(RECOVER, username="ADA", phrase=phrase)
    assert list(answer) == ["status", "username", "qr_url", "qr_code"]
    assert (answer["status"], answer["username"]) == ("candidate", "ada")
    await browser(REGISTER, username="ada", code=Phone.scan(users.clock, answer).code())
    assert (await browser(STATUS))["username"] == "ada"


async def test_a_phrase_may_be_typed_carelessly(users: Users) -> None:
    """A phrase matches regardless of case and spaces."""
    _, phrase = await with_phrase(users, users.browser())
    typed = "  " + phrase.upper().replace(" ", "   ")
    assert (await users.browser()(RECOVER, username="ada", phrase=typed))["status"] == "candidate"


async def test_recovering_changes_nothing_before_it_is_confirmed(users: Users) -> None:
    """The old authenticator and the sessions stay valid until a code of the new one confirms."""
    browser = users.browser()
    phone, phrase = await with_phrase(users, browser)
    await users.browser()(RECOVER, username="ada", phrase=phrase)
    assert (await browser(STATUS))["username"] == "ada"
    assert await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.code())) == "success"
    assert await outcome(partial(users.browser(), RECOVER, username="ada", phrase=phrase)) == "success"


async def test_a_confirmed_recovery_ends_everything_old(users: Users) -> None:
    """A confirmed recovery ends the old sessions, the old secret and the phrase."""
    browser = users.browser()
    old_phone, phrase = await with_phrase(users, browser)
    thief_proof = users.browser()
    phone = Phone.scan(users.clock, await thief_proof(RECOVER, username="ada", phrase=phrase))
    await thief_proof(REGISTER, username="ada", code=phone.code())
    users.clock.next_code()
    assert await browser(STATUS) == GUEST
    assert await outcome(partial(users.browser(), LOGIN, username="ada", code=old_phone.code())) == "InvalidCode"
    assert await outcome(partial(users.browser(), LOGIN, username="ada", code=phone.code())) == "success"
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await users.browser()(RECOVER, username="ada", phrase=phrase)


async def test_a_recovery_keeps_name_and_role(users: Users) -> None:
    """A recovered user keeps name and role."""
    phrase = (await users.create("Ada", "admin")).phrase
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await browser(REGISTER, username="ada", code=phone.code())
    assert await browser(STATUS) == {"status": "user", "username": "Ada", "role": "admin"}


async def test_a_recovery_is_confirmed_by_who_began_it(users: Users) -> None:
    """Only the client that began a recovery can confirm it."""
    _, phrase = await with_phrase(users, users.browser())
    phone = Phone.scan(users.clock, await users.browser()(RECOVER, username="ada", phrase=phrase))
    with pytest.raises(errors.UserAlreadyExists):
        await users.browser()(REGISTER, username="ada", code=phone.code())


async def test_a_recovery_ends_after_five_minutes(users: Users) -> None:
    """A recovery expires after five minutes, as a registration does."""
    _, phrase = await with_phrase(users, users.browser())
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await users.sql("update registration set expires_at = now()")
    with pytest.raises(errors.RegistrationExpired):
        await browser(REGISTER, username="ada", code=phone.code())


async def test_recovering_again_shows_a_new_authenticator(users: Users) -> None:
    """The newest recovery replaces the one before and has its own five minutes."""
    _, phrase = await with_phrase(users, users.browser())
    browser = users.browser()
    first = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await users.sql("update registration set expires_at = now()")
    second = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    assert await outcome(partial(browser, REGISTER, username="ada", code=first.code())) == "InvalidCode"
    assert await outcome(partial(browser, REGISTER, username="ada", code=second.code())) == "success"


async def test_a_recovery_can_be_reset(users: Users) -> None:
    """`user.auth_reset` drops it; the phrase stays good."""
    _, phrase = await with_phrase(users, users.browser())
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await browser("user.auth_reset", username="ada")
    with pytest.raises(errors.UserAlreadyExists):
        await browser(REGISTER, username="ada", code=phone.code())
    assert await outcome(partial(browser, RECOVER, username="ada", phrase=phrase)) == "success"


async def test_of_two_recoveries_one_is_confirmed(users: Users) -> None:
    """Of two concurrent recoveries with a phrase one is confirmed."""
    _, phrase = await with_phrase(users, users.browser())
    attempts = []
    for _ in range(4):
        browser = users.browser()
        phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
        attempts.append(partial(browser, REGISTER, username="ada", code=phone.code()))
    found = await outcomes(attempts)
    assert found.count("success") == 1
    assert set(found) <= {"success", "RegistrationNotInProgress", "UserAlreadyExists"}


async def test_recovering_works_while_registration_is_closed(users: Users) -> None:
    """Recovery works while registration is closed."""
    _, phrase = await with_phrase(users, users.browser())
    browser = users.evolve_settings(registration="closed").browser()
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_recovering_ends_the_session_it_came_with(users: Users) -> None:
    """A recovery ends the session that its request came with, another user's too."""
    _, phrase = await with_phrase(users, users.browser())
    browser = users.browser()
    await users.register("bob", browser)
    old = dict(browser.cookies)
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await browser(REGISTER, username="ada", code=phone.code())
    browser.cookies = old
    assert await browser(STATUS) == GUEST


async def test_a_wrong_phrase_is_invalid(users: Users) -> None:
    """A wrong phrase is `InvalidRecoveryPhrase`, for a user without one too."""
    await with_phrase(users, users.browser())
    await users.register("bob")
    for username in ("ada", "bob"):
        with pytest.raises(errors.InvalidRecoveryPhrase):
            await users.browser()(RECOVER, username=username, phrase=WRONG)


async def test_recovering_an_unknown_user_is_not_found(users: Users) -> None:
    """`UserNotFound`."""
    with pytest.raises(errors.UserNotFound):
        await users.browser()(RECOVER, username="ada", phrase=WRONG)


async def test_guesses_at_a_phrase_are_throttled(users: Users) -> None:
    """Of concurrent guesses five are hashed; then the right phrase has to wait too."""
    _, phrase = await with_phrase(users, users.browser())
    attempts = [partial(users.browser(), RECOVER, username="ada", phrase=WRONG) for _ in range(12)]
    assert await outcomes(attempts) == ["InvalidRecoveryPhrase"] * 5 + ["TooManyValidationAttempts"] * 7
    with pytest.raises(errors.TooManyValidationAttempts) as caught:
        await users.browser()(RECOVER, username="ada", phrase=phrase)
    assert caught.value.retry_after is not None
    assert 25 <= caught.value.retry_after <= 30


async def test_guesses_from_one_address_are_throttled(users: Users) -> None:
    """An address has thirty guesses a minute over all users, since each costs a hash."""
    for number in range(4):
        await users.sql("insert into app_user (username, totp_secret) values ($1, 'JBSWY3DPEHPK3PXP')", f"user{number}")
    for attempt in range(30):
        await outcome(partial(users.browser(), RECOVER, username=f"user{attempt % 4}", phrase=WRONG))
    await users.sql("delete from throttle where subject ~ ':'")
    assert await outcome(partial(users.browser(), RECOVER, username="user0", phrase=WRONG)) == (
        "TooManyValidationAttempts"
    )
    other = partial(users.browser("198.51.100.1"), RECOVER, username="user0", phrase=WRONG)
    assert await outcome(other) == "InvalidRecoveryPhrase"


async def test_strangers_cannot_lock_a_known_visitor_out_of_recovering(users: Users) -> None:
    """A browser that has signed in as that user before has a counter of its own."""
    browser = users.browser()
    _, phrase = await with_phrase(users, browser)
    for _ in range(6):
        await outcome(partial(users.browser(), RECOVER, username="ada", phrase=WRONG))
    assert await outcome(partial(browser, RECOVER, username="ada", phrase=phrase)) == "success"


async def test_wrong_codes_count_for_a_recovery(users: Users) -> None:
    """Wrong codes for a recovery are throttled as for a registration."""
    _, phrase = await with_phrase(users, users.browser())
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    for _ in range(5):
        assert await outcome(partial(browser, REGISTER, username="ada", code=phone.wrong_code())) == "InvalidCode"
    with pytest.raises(errors.TooManyValidationAttempts):
        await browser(REGISTER, username="ada", code=phone.code())


# getting a phrase


@pytest.mark.parametrize(("method", "data"), [(PHRASE, {"code": "123456"}), (SAVE, {"phrase": WRONG})])
async def test_guests_get_no_phrase(users: Users, method: str, data: dict[str, str]) -> None:
    """`Unauthorized`."""
    with pytest.raises(errors.Unauthorized):
        await users.browser()(method, **data)


async def test_an_ended_session_gets_no_phrase(users: Users) -> None:
    """A socket with a revoked session gets no phrase, even before it is closed."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    client = await browser.client()
    await users.sql("delete from session")
    with pytest.raises(errors.SessionExpired):
        await browser.call(PHRASE, {"code": phone.code()}, client)
    with pytest.raises(errors.SessionExpired):
        await browser.call(SAVE, {"phrase": WRONG}, client)


async def test_a_phrase_needs_a_fresh_code(users: Users) -> None:
    """A phrase needs an unused valid code, so an unattended session gets none."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    assert await outcome(partial(browser, PHRASE, code=phone.wrong_code())) == "InvalidCode"
    assert await outcome(partial(browser, PHRASE, code=phone.code())) == "success"
    assert await outcome(partial(browser, PHRASE, code=phone.code())) == "InvalidCode"
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "InvalidCode"


async def test_guesses_for_a_phrase_count_with_those_to_log_in(users: Users) -> None:
    """Guesses for a phrase and for a login share a counter."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    for _ in range(5):
        await outcome(partial(browser, PHRASE, code=phone.wrong_code()))
    assert await outcome(partial(browser, PHRASE, code=phone.code())) == "TooManyValidationAttempts"
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "TooManyLoginAttempts"


async def test_a_valid_code_for_a_phrase_resets_the_counter(users: Users) -> None:
    """A valid code for a phrase resets the counter, as a login does."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    for _ in range(4):
        await outcome(partial(browser, PHRASE, code=phone.wrong_code()))
    await browser(PHRASE, code=phone.code())
    assert await users.value("select count(*) from throttle where scope = 'code'") == 0


async def test_a_phrase_is_not_in_force_until_saved(users: Users) -> None:
    """A phrase that was shown but not saved is not in force."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await users.browser()(RECOVER, username="ada", phrase=phrase)


async def test_saving_needs_the_phrase_that_was_shown(users: Users) -> None:
    """Only the phrase that was shown can be saved; a wrong attempt does not void it."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=WRONG)
    assert await browser(SAVE, phrase=phrase.upper()) == {"success": True}


async def test_saving_what_was_never_shown_is_invalid(users: Users) -> None:
    """A phrase that was never shown cannot be saved."""
    browser = users.browser()
    await users.register("ada", browser)
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=WRONG)


async def test_an_offer_ends_after_fifteen_minutes(users: Users) -> None:
    """An offered phrase expires after fifteen minutes."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    assert await users.value("select offered_until - now() > interval '14 minutes' from recovery")
    await users.sql("update recovery set offered_until = now()")
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=phrase)


async def test_a_saved_phrase_takes_the_place_of_the_old_one(users: Users) -> None:
    """A saved phrase replaces the old one and voids recoveries begun with it."""
    browser, other = users.browser(), users.browser()
    phone, old = await with_phrase(users, browser)
    began = Phone.scan(users.clock, await other(RECOVER, username="ada", phrase=old))
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    assert await outcome(partial(users.browser(), RECOVER, username="ada", phrase=old)) == "success"
    await browser(SAVE, phrase=phrase)
    assert await outcome(partial(other, REGISTER, username="ada", code=began.code())) == "UserAlreadyExists"
    assert await outcome(partial(users.browser(), RECOVER, username="ada", phrase=old)) == "InvalidRecoveryPhrase"
    assert await outcome(partial(users.browser(), RECOVER, username="ada", phrase=phrase)) == "success"


async def test_saving_twice_saves_once(users: Users) -> None:
    """A phrase is saved once; after that none is on offer."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    phrase = (await browser(PHRASE, code=phone.code()))["phrase"]
    await browser(SAVE, phrase=phrase)
    with pytest.raises(errors.InvalidRecoveryPhrase):
        await browser(SAVE, phrase=phrase)


async def test_guesses_at_an_offered_phrase_are_throttled(users: Users) -> None:
    """Guesses at an offered phrase are throttled, since each costs a hash."""
    browser = users.browser()
    await users.register("ada", browser)
    attempts = [partial(browser, SAVE, phrase=WRONG)] * 8
    assert await outcomes(attempts) == ["InvalidRecoveryPhrase"] * 5 + ["TooManyValidationAttempts"] * 3


@pytest.mark.parametrize("cost", [Cost()], ids=["real cost"])
async def test_the_tables_hold_no_phrase(users: Users) -> None:
    """The tables hold only hashes of phrases, each with its salt and parameters."""
    await with_phrase(users, users.browser())
    stored = await users.value("select phrase_hash from recovery")
    assert stored.startswith("scrypt$15$8$1$")
