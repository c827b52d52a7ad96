"""Administration of users by the command line."""

import pyotp
import pytest

from seatsync import errors
from seatsync.user.accounts import session_tokens, set_role
from tests.support.people import Users, create_user

STATUS = {"status": "user", "username": "ada", "role": "admin"}


async def test_a_created_user_logs_in_with_the_uri(users: Users) -> None:
    """The URI enrols an authenticator; the role is the given one."""
    created = await create_user(users.db, users.settings, "ada", "admin")
    parsed = pyotp.parse_uri(created.uri)
    assert isinstance(parsed, pyotp.TOTP)
    browser = users.browser()
    await browser("user.login", username="ada", code=parsed.at(int(users.clock.now)))
    assert await browser("user.status") == STATUS


async def test_a_created_users_phrase_is_in_force(users: Users) -> None:
    """The printed phrase is in force without being saved."""
    created = await create_user(users.db, users.settings, "ada", "admin")
    answer = await users.browser()("user.recover", username="ada", phrase=created.phrase)
    assert answer["status"] == "candidate"


async def test_a_taken_name_is_refused(users: Users) -> None:
    """Compared without case; the existing user is not touched."""
    await create_user(users.db, users.settings, "ada", "admin")
    with pytest.raises(errors.UserAlreadyExists):
        await create_user(users.db, users.settings, "ADA", "viewer")
    assert await users.value("select count(*) from app_user") == 1


@pytest.mark.parametrize(("name", "error"), [("", errors.RequiredUsername), ("a b", errors.InvalidUsername)])
async def test_a_bad_name_is_refused(users: Users, name: str, error: type[errors.SeatSyncError]) -> None:
    """The sentence describes a valid name, for users and tokens alike."""
    with pytest.raises(error):
        await create_user(users.db, users.settings, name, "viewer")
    with pytest.raises(error):
        await session_tokens(users.db, users.settings, name, create=True)


async def test_a_role_is_set(users: Users) -> None:
    """A new role ends the user's sessions."""
    browser = users.browser()
    await users.register("ada", browser)
    await set_role(users.db, "ADA", "viewer", force=True)
    assert await users.value("select role::text from app_user") == "viewer"
    assert await browser("user.status") == {"status": "guest"}


async def test_the_role_of_an_unknown_user_cannot_be_set(users: Users) -> None:
    """`UserNotFound`."""
    with pytest.raises(errors.UserNotFound):
        await set_role(users.db, "ada", "viewer", force=True)


async def test_tokens_are_sessions(users: Users) -> None:
    """Tokens are made in the given number, each of its own session."""
    await create_user(users.db, users.settings, "ada", "admin")
    tokens = await session_tokens(users.db, users.settings, "ada", count=3)
    assert len(set(tokens)) == 3
    for token in tokens:
        client = await users.browser().client(f"Bearer {token}")
        assert client.username == "ada"


async def test_tokens_of_an_unknown_user_need_create(users: Users) -> None:
    """An unknown user is `UserNotFound`, and with ``create`` a new operator."""
    with pytest.raises(errors.UserNotFound):
        await session_tokens(users.db, users.settings, "ada")
    (token,) = await session_tokens(users.db, users.settings, "ada", create=True)
    identity = (await users.browser().client(f"Bearer {token}")).identity
    assert identity is not None
    assert identity.role == "operator"


async def test_create_leaves_an_existing_user_as_it_is(users: Users) -> None:
    """``create`` adds missing users only."""
    await create_user(users.db, users.settings, "ada", "admin")
    (token,) = await session_tokens(users.db, users.settings, "ada", create=True)
    identity = (await users.browser().client(f"Bearer {token}")).identity
    assert identity is not None
    assert identity.role == "admin"
