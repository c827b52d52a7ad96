"""Registering: `user.auth_start`, `user.auth_reset`, `user.register`."""

from functools import partial

import pytest

from seatsync import errors
from tests.support.people import LOCAL, REMOTE, House, Phone, outcome, outcomes

START, RESET, REGISTER, STATUS = "user.auth_start", "user.auth_reset", "user.register", "user.status"


async def test_a_new_name_is_a_candidate(house: House) -> None:
    """Status, name, URI with the secret last, and its QR code."""
    answer = await house.browser()(START, username="ada")
    assert list(answer) == ["status", "username", "qr_url", "qr_code"]
    assert (answer["status"], answer["username"]) == ("candidate", "ada")
    assert answer["qr_url"].startswith("otpauth://totp/")
    assert answer["qr_code"].startswith("data:image/svg+xml;base64,")


async def test_registering_signs_in(house: House) -> None:
    """A code from the enrolled authenticator makes the user, and the browser is that user from then on."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    answer = await browser(REGISTER, username="ada", code=phone.code())
    assert answer == {"status": "user", "username": "ada", "token": browser.cookies["seatsync"]}
    assert await browser(STATUS) == {"status": "user", "username": "ada", "role": "operator"}


async def test_registering_is_announced(house: House) -> None:
    """The announcement for the visitor's open sockets has the user."""
    browser = house.browser()
    await house.register("ada", browser)
    assert browser.last is not None
    assert browser.last[1].announcement == {"status": "user", "username": "ada", "role": "operator"}


async def test_the_role_is_the_settings(house: House) -> None:
    """`DEFAULT_ROLE` decides."""
    house = house.evolve_settings(default_role="viewer")
    browser = house.browser()
    await house.register("ada", browser)
    assert (await browser(STATUS))["role"] == "viewer"


async def test_a_known_name_is_asked_for_a_code(house: House) -> None:
    """The secret of an existing user is never shown."""
    await house.register("ada")
    assert await house.browser()(START, username="ada") == {"status": "user", "username": "ada"}


async def test_names_are_one_whatever_their_case(house: House) -> None:
    """A look-alike cannot be registered; the name keeps the case of its registration."""
    phone = await house.register("Ada")
    assert await house.browser()(START, username="aDA") == {"status": "user", "username": "Ada"}
    answer = await house.browser()("user.login", username="ADA", code=phone.code())
    assert answer["username"] == "Ada"


async def test_starting_again_goes_on_with_the_same_secret(house: House) -> None:
    """A person who goes back and forth does not have to scan anew."""
    browser = house.browser()
    first = await browser(START, username="ada")
    assert await browser(START, username="ADA") == first


async def test_somebody_else_has_to_wait(house: House) -> None:
    """Another client receives the remaining wait, and no secret."""
    await house.browser()(START, username="ada")
    with pytest.raises(errors.RegistrationInProgress) as caught:
        await house.browser()(START, username="ada")
    assert caught.value.retry_after is not None
    assert 290 < caught.value.retry_after <= 300


async def test_after_five_minutes_the_name_is_free(house: House) -> None:
    """An expired registration is replaced, by another client with another secret."""
    first = await house.browser()(START, username="ada")
    await house.sql("update registration set expires_at = now()")
    second = await house.browser()(START, username="ada")
    assert second["qr_url"] != first["qr_url"]


async def test_the_five_minutes_run_from_the_first_start(house: House) -> None:
    """Starting again does not hold the name any longer."""
    browser = house.browser()
    await browser(START, username="ada")
    before = await house.value("select expires_at from registration")
    await browser(START, username="ada")
    assert await house.value("select expires_at from registration") == before
    assert await house.value("select expires_at - created_at = interval '5 minutes' from registration")


async def test_registering_too_late_says_so(house: House) -> None:
    """`RegistrationExpired`, with the right code too."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    await house.sql("update registration set expires_at = now()")
    with pytest.raises(errors.RegistrationExpired):
        await browser(REGISTER, username="ada", code=phone.code())


async def test_registering_needs_a_start(house: House) -> None:
    """No registration of that name."""
    with pytest.raises(errors.RegistrationNotInProgress):
        await house.browser()(REGISTER, username="ada", code="123456")


async def test_another_client_cannot_confirm(house: House) -> None:
    """Another client cannot confirm, even with the code."""
    phone = Phone.scan(house.clock, await house.browser()(START, username="ada"))
    with pytest.raises(errors.RegistrationNotInProgress):
        await house.browser()(REGISTER, username="ada", code=phone.code())


async def test_a_user_cannot_be_registered_again(house: House) -> None:
    """`UserAlreadyExists`."""
    phone = await house.register("ada")
    with pytest.raises(errors.UserAlreadyExists):
        await house.browser()(REGISTER, username="ADA", code=phone.code())


async def test_a_name_taken_meanwhile_is_taken(house: House) -> None:
    """An account that an administrator adds during a registration is not touched."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    await house.sql("insert into app_user (username, totp_secret) values ('ADA', 'JBSWY3DPEHPK3PXP')")
    with pytest.raises(errors.UserAlreadyExists):
        await browser(REGISTER, username="ada", code=phone.code())
    assert await house.value("select count(*) from app_user") == 1


async def test_reset_forgets_the_registration(house: House) -> None:
    """The name is free at once, and the old secret worth nothing."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    assert await browser(RESET, username="ADA") == {"success": True}
    with pytest.raises(errors.RegistrationNotInProgress):
        await browser(REGISTER, username="ada", code=phone.code())
    assert (await house.browser()(START, username="ada"))["status"] == "candidate"


async def test_reset_of_another_client_changes_nothing(house: House) -> None:
    """It succeeds, and reveals nothing about others."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    assert await house.browser()(RESET, username="ada") == {"success": True}
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_the_code_of_the_registration_is_used_up(house: House) -> None:
    """It cannot log anybody in again."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    await browser(REGISTER, username="ada", code=phone.code())
    with pytest.raises(errors.InvalidCode):
        await house.browser()("user.login", username="ada", code=phone.code())


async def test_a_wrong_code_registers_nobody(house: House) -> None:
    """`InvalidCode`, and the registration goes on."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    with pytest.raises(errors.InvalidCode):
        await browser(REGISTER, username="ada", code=phone.wrong_code())
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_wrong_codes_are_counted(house: House) -> None:
    """Five are free; then the right one has to wait too."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    for _ in range(5):
        assert await outcome(partial(browser, REGISTER, username="ada", code=phone.wrong_code())) == "InvalidCode"
    with pytest.raises(errors.TooManyValidationAttempts) as caught:
        await browser(REGISTER, username="ada", code=phone.code())
    assert caught.value.retry_after == 30


async def test_wrong_codes_of_others_do_not_count(house: House) -> None:
    """Only the client that began a registration can drop it."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    for _ in range(9):
        await outcome(partial(house.browser(), REGISTER, username="ada", code=phone.wrong_code()))
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_two_clients_at_once_get_one_registration(house: House) -> None:
    """One is a candidate, all others have to wait."""
    browsers = [house.browser(f"192.0.2.{number}") for number in range(8)]
    found = await outcomes([partial(browser, START, username="ada") for browser in browsers])
    assert found == ["RegistrationInProgress"] * 7 + ["success"]


async def test_confirming_twice_at_once_makes_one_user(house: House) -> None:
    """A double click is one registration."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    client = await browser.client()
    data = {"username": "ada", "code": phone.code()}
    found = await outcomes([partial(browser.call, REGISTER, data, client)] * 2)
    assert "success" in found
    assert found.count("success") == 1
    assert await house.value("select count(*) from app_user") == 1


# the first user


async def test_the_first_user_is_admin_if_local(house: House) -> None:
    """A person at this machine is trusted with the first account."""
    browser = house.browser(LOCAL)
    await house.register("ada", browser)
    assert (await browser(STATUS))["role"] == "admin"


async def test_the_first_user_from_afar_is_not_admin(house: House) -> None:
    """The network does not get the house for being early."""
    browser = house.browser(REMOTE)
    await house.register("ada", browser)
    assert (await browser(STATUS))["role"] == "operator"


async def test_the_second_user_is_not_admin(house: House) -> None:
    """Local or not."""
    await house.register("ada", house.browser(REMOTE))
    browser = house.browser(LOCAL)
    await house.register("bob", browser)
    assert (await browser(STATUS))["role"] == "operator"


async def test_of_many_first_users_one_is_admin(house: House) -> None:
    """Registrations at the same moment are decided one after the other."""
    attempts = []
    for number in range(5):
        browser = house.browser(LOCAL)
        phone = Phone.scan(house.clock, await browser(START, username=f"user{number}"))
        attempts.append(partial(browser, REGISTER, username=f"user{number}", code=phone.code()))
    assert await outcomes(attempts) == ["success"] * 5
    assert await house.value("select count(*) from app_user where role = 'admin'") == 1


# closed


async def test_closed_registration_shows_no_secret(house: House) -> None:
    """An unknown name ends in an error, a known one needs its code."""
    await house.register("ada")
    house = house.evolve_settings(registration="closed")
    with pytest.raises(errors.RegistrationClosed):
        await house.browser()(START, username="bob")
    assert (await house.browser()(START, username="ada"))["status"] == "user"


async def test_closing_stops_what_was_begun(house: House) -> None:
    """A registration begun before is not confirmed."""
    browser = house.browser()
    phone = Phone.scan(house.clock, await browser(START, username="ada"))
    browser.house = house.evolve_settings(registration="closed")
    with pytest.raises(errors.RegistrationClosed):
        await browser(REGISTER, username="ada", code=phone.code())


# limits


async def test_thirty_starts_a_minute_for_a_client(house: House) -> None:
    """The next has to wait, from wherever that client comes."""
    browser = house.browser()
    for number in range(30):
        browser.address = f"198.51.100.{number}"
        await browser(START, username="ada")
    with pytest.raises(errors.TooManyRequests) as caught:
        await browser(START, username="ada")
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 60


async def test_thirty_starts_a_minute_for_an_address(house: House) -> None:
    """Forgetting one's cookies does not help."""
    await house.register("ada", house.browser(LOCAL))
    for _ in range(30):
        await house.browser()(START, username="ada")
    assert await outcome(partial(house.browser(), START, username="ada")) == "TooManyRequests"
    assert await outcome(partial(house.browser("198.51.100.1"), START, username="ada")) == "success"


async def test_a_minute_later_starts_are_free_again(house: House) -> None:
    """The window ends a minute after its first start."""
    browser = house.browser()
    for _ in range(31):
        await outcome(partial(browser, START, username="ada"))
    await house.sql("update throttle set expires_at = expires_at - interval '1 minute'")
    assert await outcome(partial(browser, START, username="ada")) == "success"


async def test_five_pending_registrations_for_a_client(house: House) -> None:
    """A sixth name has to wait, the five go on."""
    browser = house.browser()
    for number in range(5):
        browser.address = f"198.51.100.{number}"
        await browser(START, username=f"user{number}")
    with pytest.raises(errors.TooManyRequests) as caught:
        await browser(START, username="sixth")
    assert caught.value.retry_after is not None
    assert 290 < caught.value.retry_after <= 300
    assert await outcome(partial(browser, START, username="user0")) == "success"


async def test_five_pending_registrations_for_an_address(house: House) -> None:
    """Also when they arrive together from clients without cookies."""
    attempts = [partial(house.browser(), START, username=f"user{number}") for number in range(8)]
    assert await outcomes(attempts) == ["TooManyRequests"] * 3 + ["success"] * 5


async def test_an_ipv6_subscriber_is_one_address(house: House) -> None:
    """The addresses of a /64 count as one."""
    attempts = [partial(house.browser(f"2001:db8::{number}"), START, username=f"user{number}") for number in range(7)]
    assert await outcomes(attempts) == ["TooManyRequests"] * 2 + ["success"] * 5
