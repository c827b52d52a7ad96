"""State that changes between a check and its write: the write checks again, in one statement."""

import pytest

from seatsync import errors
from seatsync.core.postgres.session import Row
from seatsync.user.phrases import hash_phrase
from seatsync.user.store import QUERIES, begin_attempt, digest, find_enrolment, open_session
from tests.support.people import Users

SECRET = "JBSWY3DPEHPK3PXP"
VISITOR, OWNER, NETWORK = digest("visitor"), digest("owner"), "192.0.2.1"
DEVICE = (VISITOR, NETWORK)
VISIT = (None, VISITOR, *DEVICE, NETWORK)


async def begun(users: Users, username: str) -> Row:
    """A pending registration."""
    args = (username, VISITOR, OWNER, OWNER, NETWORK, SECRET, True)
    return await find_enrolment(users.db, "start_registration", *args)


async def create_account(users: Users, enrolment: Row) -> Row | None:
    """The session of the account that a code has confirmed."""
    confirmed = enrolment["id"], enrolment["secret"], 1
    return await open_session(users.db, "create_account", *confirmed, "operator", False, *VISIT)


async def user(users: Users) -> Row:
    """A user, and what a code has to match."""
    await users.create("ada")
    return await begin_attempt(users.db, "begin_login", "ada", *DEVICE, NETWORK, missing=errors.UserNotFound)


async def test_a_name_taken_since_is_taken(users: Users) -> None:
    """A name taken since the check is `UserAlreadyExists`, by the constraint itself."""
    enrolment = await begun(users, "ada")
    await users.create("Ada")
    with pytest.raises(errors.UserAlreadyExists):
        await create_account(users, enrolment)


@pytest.mark.parametrize(
    "change",
    [
        "delete from registration",
        "update registration set expires_at = now()",
        "update registration set totp_secret = 'AAAAAAAAAAAAAAAA'",
    ],
)
async def test_a_registration_gone_since_creates_no_user(users: Users, change: str) -> None:
    """A registration deleted, expired or begun anew since the check is not confirmed."""
    enrolment = await begun(users, "ada")
    await users.sql(change)
    assert await create_account(users, enrolment) is None
    assert await users.value("select count(*) from app_user") == 0


async def test_a_secret_replaced_since_fails_the_login(users: Users) -> None:
    """A secret replaced since the check fails the login."""
    proof = await user(users)
    await users.sql("update app_user set totp_secret = $1", SECRET)
    assert await open_session(users.db, "log_in", proof["user_id"], proof["secret"], 1, False, *VISIT) is None
    assert await users.value("select count(*) from session") == 0


async def test_a_phrase_replaced_since_fails_the_recovery(users: Users) -> None:
    """A phrase replaced since the check fails the recovery."""
    args = ((await user(users))["user_id"], await hash_phrase("babab"), VISITOR, OWNER, NETWORK, SECRET)
    assert await users.db.fetchval(QUERIES["start_recovery"], *args) is None
    assert await users.value("select count(*) from registration") == 0


async def test_an_offer_replaced_since_is_not_saved(users: Users) -> None:
    """An offered phrase replaced since the check is not saved."""
    proof = await user(users)
    offer = (proof["user_id"], proof["secret"], 1, await hash_phrase("dadad"), *DEVICE, False)
    assert await users.db.fetchrow(QUERIES["offer_phrase"], *offer) is not None
    before = await users.value("select phrase_hash from recovery")
    assert not await users.db.fetchval(QUERIES["save_phrase"], proof["user_id"], await hash_phrase("babab"))
    assert await users.value("select phrase_hash from recovery") == before


async def test_another_constraint_is_not_a_duplicate_name(users: Users) -> None:
    """Another violation is not reported as a duplicate name."""
    enrolment = await begun(users, "ada")
    await users.sql("alter table app_user add constraint never check (false)")
    with pytest.raises(errors.InternalServerError):
        await create_account(users, enrolment)
