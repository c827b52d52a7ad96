"""Administration of users by the command line."""

import pyotp
import pytest

from seatsync import errors
from seatsync.user.accounts import create_user, session_tokens, set_role
from tests.support.people import House

STATUS = {"status": "user", "username": "ada", "role": "admin"}


async def test_a_created_user_logs_in_with_the_uri(house: House) -> None:
    """The URI enrols an authenticator; the role is the given one."""
    created = await create_user(house.db, "ada", "admin")
    parsed = pyotp.parse_uri(created.uri)
    assert isinstance(parsed, pyotp.TOTP)
    browser = house.browser()
    await browser("user.login", username="ada", code=parsed.at(int(house.clock.now)))
    assert await browser("user.status") == STATUS


async def test_a_created_users_phrase_is_in_force(house: House) -> None:
    """It needs no saving."""
    created = await create_user(house.db, "ada", "admin")
    answer = await house.browser()("user.recover", username="ada", phrase=created.phrase)
    assert answer["status"] == "candidate"


async def test_a_taken_name_is_refused(house: House) -> None:
    """Compared without case; the existing user is not touched."""
    await create_user(house.db, "ada", "admin")
    with pytest.raises(errors.UserAlreadyExists):
        await create_user(house.db, "ADA", "viewer")
    assert await house.value("select count(*) from app_user") == 1


@pytest.mark.parametrize(("name", "error"), [("", errors.RequiredUsername), ("a b", errors.InvalidUsername)])
async def test_a_bad_name_is_refused(house: House, name: str, error: type[errors.SeatSyncError]) -> None:
    """The sentence describes a valid name, for users and tokens alike."""
    with pytest.raises(error):
        await create_user(house.db, name, "viewer")
    with pytest.raises(error):
        await session_tokens(house.db, house.tokens, name, create=True)


async def test_a_role_is_set(house: House) -> None:
    """And the user's sessions end."""
    browser = house.browser()
    await house.register("ada", browser)
    await set_role(house.db, "ADA", "viewer")
    assert await house.value("select role::text from app_user") == "viewer"
    assert await browser("user.status") == {"status": "guest"}


async def test_the_role_of_nobody_cannot_be_set(house: House) -> None:
    """`UserNotFound`."""
    with pytest.raises(errors.UserNotFound):
        await set_role(house.db, "ada", "viewer")


async def test_tokens_are_sessions(house: House) -> None:
    """The given number, each a session of its own."""
    await create_user(house.db, "ada", "admin")
    tokens = await session_tokens(house.db, house.tokens, "ada", count=3)
    assert len(set(tokens)) == 3
    for token in tokens:
        client = await house.browser().client(f"Bearer {token}")
        assert client.username == "ada"


async def test_tokens_of_nobody_need_create(house: House) -> None:
    """`UserNotFound` without, an operator with."""
    with pytest.raises(errors.UserNotFound):
        await session_tokens(house.db, house.tokens, "ada")
    (token,) = await session_tokens(house.db, house.tokens, "ada", create=True)
    identity = (await house.browser().client(f"Bearer {token}")).identity
    assert identity is not None
    assert identity.role == "operator"


async def test_create_leaves_an_existing_user_as_it_is(house: House) -> None:
    """It only makes who is missing."""
    await create_user(house.db, "ada", "admin")
    (token,) = await session_tokens(house.db, house.tokens, "ada", create=True, role="viewer")
    identity = (await house.browser().client(f"Bearer {token}")).identity
    assert identity is not None
    assert identity.role == "admin"


async def test_secrets_stay_out_of_reprs(house: House) -> None:
    """A logged result shows neither secret nor phrase."""
    created = await create_user(house.db, "ada", "admin")
    assert created.phrase not in repr(created)
    assert "otpauth" not in repr(created)
