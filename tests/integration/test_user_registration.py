"""Registering: `user.auth_start`, `user.auth_reset`, `user.register`."""

import os
from functools import partial

import pytest

from seatsync import errors
from tests.support.people import LOCAL, REMOTE, Phone, Users, outcome, outcomes, undrawn
from tests.support.sql import World

START, RESET, REGISTER, STATUS = "user.auth_start", "user.auth_reset", "user.register", "user.status"


async def test_a_new_name_is_a_candidate(users: Users) -> None:
    """A new name gets status, name, a URI with the secret last, and its QR code."""
    answer = await users.browser()(START, username="ada")
    assert list(answer) == ["status", "username", "qr_url", "qr_code"]
    assert (answer["status"], answer["username"]) == ("candidate", "ada")
    assert answer["qr_url"].startswith("otpauth://totp/")
    assert answer["qr_code"] == await undrawn(answer["qr_url"])


async def test_registering_signs_in(users: Users) -> None:
    """A code of the enrolled authenticator creates the user and signs the browser in."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    answer = await browser(REGISTER, username="ada", code=phone.code())
    assert answer == {"status": "user", "username": "ada", "token": browser.cookies["seatsync"]}
    assert await browser(STATUS) == {"status": "user", "username": "ada", "role": "operator"}


async def test_registering_is_announced(users: Users) -> None:
    """The announcement for the visitor's open sockets has the user."""
    browser = users.browser()
    await users.register("ada", browser)
    assert browser.last is not None
    assert browser.last[1].announcement == {"status": "user", "username": "ada", "role": "operator"}


async def test_the_role_is_the_settings(users: Users) -> None:
    """A new user has the role `DEFAULT_ROLE`."""
    users = users.evolve_settings(default_role="viewer")
    browser = users.browser()
    await users.register("ada", browser)
    assert (await browser(STATUS))["role"] == "viewer"


async def test_a_known_name_needs_a_code(users: Users) -> None:
    """The secret of an existing user is never shown."""
    await users.register("ada")
    assert await users.browser()(START, username="ada") == {"status": "user", "username": "ada"}


async def test_names_are_one_whatever_their_case(users: Users) -> None:
    """A look-alike cannot be registered; the name keeps the case of its registration."""
    phone = await users.register("Ada")
    assert await users.browser()(START, username="aDA") == {"status": "user", "username": "Ada"}
    answer = await users.browser()("user.login", username="ADA", code=phone.code())
    assert answer["username"] == "Ada"


async def test_starting_again_goes_on_with_the_same_secret(users: Users) -> None:
    """Starting again within a registration keeps the secret."""
    browser = users.browser()
    first = await browser(START, username="ada")
    assert await browser(START, username="ADA") == first


async def test_an_earlier_cookie_begins_anew(users: Users) -> None:
    """The same client without the cookie of its start (a lost answer, a double click) has a new secret and time."""
    browser = users.browser()
    await outcome(partial(browser, REGISTER, username="ada", code="123456"))
    before = dict(browser.cookies)
    first = Phone.scan(users.clock, await browser(START, username="ada"))
    for _ in range(5):
        await outcome(partial(browser, REGISTER, username="ada", code=first.wrong_code()))
    await users.sql("update registration set expires_at = now() + interval '1 minute'")
    browser.cookies = before
    second = Phone.scan(users.clock, await browser(START, username="ada"))
    assert second.secret != first.secret
    assert await users.value("select expires_at - now() > interval '299 s' from registration")
    assert await outcome(partial(browser, REGISTER, username="ada", code=first.code())) == "InvalidCode"
    assert await outcome(partial(browser, REGISTER, username="ada", code=second.code())) == "success"


async def test_wrong_codes_with_an_earlier_cookie_do_not_count(users: Users) -> None:
    """Whoever has an earlier cookie of the client, as one who planted it has, uses up none of its attempts."""
    planter = users.browser()
    await outcome(partial(planter, REGISTER, username="ada", code="123456"))
    browser = users.browser()
    browser.cookies = dict(planter.cookies)
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    for _ in range(9):
        found = await outcome(partial(planter, REGISTER, username="ada", code=phone.wrong_code()))
        assert found == "RegistrationNotInProgress"
    assert await planter(RESET, username="ada") == {"success": True}
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_another_client_has_to_wait(users: Users) -> None:
    """Another client receives the remaining wait, and no secret."""
    await users.browser()(START, username="ada")
    with pytest.raises(errors.RegistrationInProgress) as caught:
        await users.browser()(START, username="ada")
    assert caught.value.retry_after is not None
    assert 290 < caught.value.retry_after <= 300


async def test_after_five_minutes_the_name_is_free(users: Users) -> None:
    """An expired registration is replaced, by another client with another secret."""
    first = await users.browser()(START, username="ada")
    await users.sql("update registration set expires_at = now()")
    second = await users.browser()(START, username="ada")
    assert second["qr_url"] != first["qr_url"]


async def test_the_five_minutes_run_from_the_first_start(users: Users) -> None:
    """Starting again does not extend the five minutes."""
    browser = users.browser()
    await browser(START, username="ada")
    before = await users.value("select expires_at from registration")
    await browser(START, username="ada")
    assert await users.value("select expires_at from registration") == before
    assert await users.value("select expires_at - created_at = interval '5 minutes' from registration")


async def test_registering_too_late_is_refused(users: Users) -> None:
    """An expired registration ends in `RegistrationExpired`, with the right code too."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    await users.sql("update registration set expires_at = now()")
    with pytest.raises(errors.RegistrationExpired):
        await browser(REGISTER, username="ada", code=phone.code())


async def test_registering_needs_a_start(users: Users) -> None:
    """Without a started registration the error is `RegistrationNotInProgress`."""
    with pytest.raises(errors.RegistrationNotInProgress):
        await users.browser()(REGISTER, username="ada", code="123456")


async def test_another_client_cannot_confirm(users: Users) -> None:
    """Another client cannot confirm, even with the code."""
    phone = Phone.scan(users.clock, await users.browser()(START, username="ada"))
    with pytest.raises(errors.RegistrationNotInProgress):
        await users.browser()(REGISTER, username="ada", code=phone.code())


async def test_a_user_cannot_be_registered_again(users: Users) -> None:
    """A registered name is `UserAlreadyExists`, in any case of its letters."""
    phone = await users.register("ada")
    with pytest.raises(errors.UserAlreadyExists):
        await users.browser()(REGISTER, username="ADA", code=phone.code())


async def test_a_name_taken_meanwhile_is_taken(users: Users) -> None:
    """An account that an administrator adds during a registration is not touched."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    await users.sql("insert into app_user (username, totp_secret) values ('ADA', 'JBSWY3DPEHPK3PXP')")
    with pytest.raises(errors.UserAlreadyExists):
        await browser(REGISTER, username="ada", code=phone.code())
    assert await users.value("select count(*) from app_user") == 1


async def test_reset_forgets_the_registration(users: Users) -> None:
    """A reset frees the name at once and voids the secret."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    assert await browser(RESET, username="ADA") == {"success": True}
    with pytest.raises(errors.RegistrationNotInProgress):
        await browser(REGISTER, username="ada", code=phone.code())
    assert (await users.browser()(START, username="ada"))["status"] == "candidate"


async def test_reset_of_another_client_changes_nothing(users: Users) -> None:
    """A reset by another client succeeds without an effect and reveals nothing."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    assert await users.browser()(RESET, username="ada") == {"success": True}
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_the_code_of_the_registration_is_used_up(users: Users) -> None:
    """The code of the registration cannot be used again for a login."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    await browser(REGISTER, username="ada", code=phone.code())
    with pytest.raises(errors.InvalidCode):
        await users.browser()("user.login", username="ada", code=phone.code())


async def test_a_wrong_code_registers_no_user(users: Users) -> None:
    """A wrong code is `InvalidCode`, and the registration stays pending."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    with pytest.raises(errors.InvalidCode):
        await browser(REGISTER, username="ada", code=phone.wrong_code())
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_wrong_codes_are_counted(users: Users) -> None:
    """After five wrong codes the right one has to wait too."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    for _ in range(5):
        assert await outcome(partial(browser, REGISTER, username="ada", code=phone.wrong_code())) == "InvalidCode"
    with pytest.raises(errors.TooManyValidationAttempts) as caught:
        await browser(REGISTER, username="ada", code=phone.code())
    assert caught.value.retry_after == 30


async def test_wrong_codes_of_others_do_not_count(users: Users) -> None:
    """Wrong codes of other clients do not count against a registration."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    for _ in range(9):
        await outcome(partial(users.browser(), REGISTER, username="ada", code=phone.wrong_code()))
    assert (await browser(REGISTER, username="ada", code=phone.code()))["status"] == "user"


async def test_two_clients_at_once_get_one_registration(users: Users) -> None:
    """Of concurrent starts for a name one gets the registration, the others have to wait."""
    browsers = [users.browser(f"192.0.2.{number}") for number in range(8)]
    found = await outcomes([partial(browser, START, username="ada") for browser in browsers])
    assert found == ["RegistrationInProgress"] * 7 + ["success"]


async def test_confirming_twice_at_once_makes_one_user(users: Users) -> None:
    """Of two concurrent confirmations one creates the user."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    client = await browser.client()
    data = {"username": "ada", "code": phone.code()}
    found = await outcomes([partial(browser.call, REGISTER, data, client)] * 2)
    assert "success" in found
    assert found.count("success") == 1
    assert await users.value("select count(*) from app_user") == 1


# the first user


async def test_the_first_user_is_admin_if_local(users: Users) -> None:
    """The first user is an admin if it registers from this machine."""
    browser = users.browser(LOCAL)
    await users.register("ada", browser)
    assert (await browser(STATUS))["role"] == "admin"


async def test_the_first_user_from_afar_is_not_admin(users: Users) -> None:
    """The first user is no admin if it registers from another machine."""
    browser = users.browser(REMOTE)
    await users.register("ada", browser)
    assert (await browser(STATUS))["role"] == "operator"


async def test_the_second_user_is_not_admin(users: Users) -> None:
    """The second user is no admin, even from this machine."""
    await users.register("ada", users.browser(REMOTE))
    browser = users.browser(LOCAL)
    await users.register("bob", browser)
    assert (await browser(STATUS))["role"] == "operator"


async def test_of_many_first_users_one_is_admin(users: Users) -> None:
    """Of concurrent first registrations one is an admin."""
    attempts = []
    for number in range(5):
        browser = users.browser(LOCAL)
        phone = Phone.scan(users.clock, await browser(START, username=f"user{number}"))
        attempts.append(partial(browser, REGISTER, username=f"user{number}", code=phone.code()))
    assert await outcomes(attempts) == ["success"] * 5
    assert await users.value("select count(*) from app_user where role = 'admin'") == 1


# closed


async def test_closed_registration_shows_no_secret(users: Users) -> None:
    """Closed registration refuses unknown names; known ones need their code."""
    await users.register("ada")
    users = users.evolve_settings(registration="closed")
    with pytest.raises(errors.RegistrationClosed):
        await users.browser()(START, username="bob")
    assert (await users.browser()(START, username="ada"))["status"] == "user"


async def test_closing_stops_what_was_begun(users: Users) -> None:
    """A registration begun before the closing cannot be confirmed."""
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(START, username="ada"))
    browser.users = users.evolve_settings(registration="closed")
    with pytest.raises(errors.RegistrationClosed):
        await browser(REGISTER, username="ada", code=phone.code())


# limits


async def test_thirty_starts_a_minute_for_a_client(users: Users) -> None:
    """A client has thirty starts a minute, from any address."""
    browser = users.browser()
    for number in range(30):
        browser.address = f"198.51.100.{number}"
        await browser(START, username="ada")
    with pytest.raises(errors.TooManyRequests) as caught:
        await browser(START, username="ada")
    assert caught.value.retry_after is not None
    assert 50 < caught.value.retry_after <= 60


async def test_a_minute_later_starts_are_free_again(users: Users) -> None:
    """The window ends a minute after its first start."""
    browser = users.browser()
    for _ in range(31):
        await outcome(partial(browser, START, username="ada"))
    await users.sql("update throttle set expires_at = expires_at - interval '1 minute'")
    assert await outcome(partial(browser, START, username="ada")) == "success"


async def test_five_pending_registrations_for_a_client(users: Users) -> None:
    """A client has five pending registrations; a sixth has to wait."""
    browser = users.browser()
    for number in range(5):
        browser.address = f"198.51.100.{number}"
        await browser(START, username=f"user{number}")
    with pytest.raises(errors.TooManyRequests) as caught:
        await browser(START, username="sixth")
    assert caught.value.retry_after is not None
    assert 290 < caught.value.retry_after <= 300
    assert await outcome(partial(browser, START, username="user0")) == "success"


async def test_fifty_pending_registrations_for_an_address(users: Users) -> None:
    """An address has fifty pending registrations, a class and more, also when they start concurrently."""
    await users.sql(
        "insert into registration (username, visitor, address, totp_secret)"
        " select 'pupil' || n, sha256(int4send(n)), $1, 'JBSWY3DPEHPK3PXP' from generate_series(1, 45) n",
        REMOTE,
    )
    attempts = [partial(users.browser(), START, username=f"user{number}") for number in range(8)]
    assert await outcomes(attempts) == ["TooManyRequests"] * 3 + ["success"] * 5


async def test_an_ipv6_subscriber_is_one_address(users: Users) -> None:
    """The addresses of an IPv6 /64 count as one."""
    users = users.evolve_settings(lookups_per_minute=5)
    attempts = [partial(users.browser(f"2001:db8::{number}"), START, username=f"user{number}") for number in range(7)]
    assert await outcomes(attempts) == ["TooManyRequests"] * 2 + ["success"] * 5


async def test_a_stranger_does_not_hold_up_the_first_user(users: Users, world: World) -> None:
    """Any role may take any advisory lock: none is needed to be the first."""
    world.value("select pg_advisory_lock(hashtext('seatsync'), hashtext('first_user'))")
    await users.register("ada", users.browser(LOCAL))
    assert await users.value("select role::text from app_user") == "admin"


async def test_registering_waits_for_nobodys_advisory_lock(users: Users, world: World) -> None:
    """Any role may take any advisory lock, and keep it: no registration needs one."""
    role = f"seatsync_test_stranger_{os.getpid()}"
    world.do(f"create role {role}")
    stranger = world.session()
    try:
        stranger.do(f"set role {role}")
        stranger.value("select pg_advisory_lock(hashtext('seatsync registration'), hashtext($1))", REMOTE)
        assert await outcome(partial(users.browser(REMOTE), START, username="ada")) == "success"
    finally:
        world.do(f"drop role {role}")
