"""State that changes between a check and the write that relies on it: the write checks again, in one statement."""

import pytest

from seatsync import errors
from seatsync.core.postgres.pool import Row
from seatsync.user.accounts import create_user
from seatsync.user.phrases import hash_phrase
from seatsync.user.store import QUERIES, begin_attempt, digest, find_enrolment, open_session
from tests.support.people import House

SECRET = "JBSWY3DPEHPK3PXP"
VISITOR, NETWORK = digest("visitor"), "192.0.2.1"
VISIT = (None, VISITOR, VISITOR)


async def begun(house: House, username: str) -> Row:
    """A registration that waits for its code."""
    return await find_enrolment(house.db, "start_registration", username, VISITOR, NETWORK, SECRET, True)


async def create_account(house: House, enrolment: Row) -> Row | None:
    """The session of the account that a code has confirmed."""
    confirmed = enrolment["id"], enrolment["secret"], 1
    return await open_session(house.db, "create_account", *confirmed, "operator", False, *VISIT)


async def user(house: House) -> Row:
    """A user, and what a code has to match."""
    await create_user(house.db, "ada", "viewer")
    return await begin_attempt(house.db, "begin_login", "ada", VISITOR, missing=errors.UserNotFound)


async def test_a_name_taken_since_is_taken(house: House) -> None:
    """`UserAlreadyExists`, from the constraint itself."""
    enrolment = await begun(house, "ada")
    await create_user(house.db, "Ada", "viewer")
    with pytest.raises(errors.UserAlreadyExists):
        await create_account(house, enrolment)


@pytest.mark.parametrize(
    "change",
    [
        "delete from registration",
        "update registration set expires_at = now()",
        "update registration set totp_secret = 'AAAAAAAAAAAAAAAA'",
    ],
)
async def test_a_registration_gone_since_makes_nobody(house: House, change: str) -> None:
    """Deleted, expired or begun anew: the code that was checked confirms nothing."""
    enrolment = await begun(house, "ada")
    await house.sql(change)
    assert await create_account(house, enrolment) is None
    assert await house.value("select count(*) from app_user") == 0


async def test_a_secret_replaced_since_logs_nobody_in(house: House) -> None:
    """A recovery in between wins."""
    proof = await user(house)
    await house.sql("update app_user set totp_secret = $1", SECRET)
    assert await open_session(house.db, "log_in", proof["user_id"], proof["secret"], 1, *VISIT) is None
    assert await house.value("select count(*) from session") == 0


async def test_a_phrase_replaced_since_recovers_nobody(house: House) -> None:
    """The phrase that was checked has to be the one in force."""
    args = ((await user(house))["user_id"], await hash_phrase("babab"), VISITOR, NETWORK, SECRET)
    assert await house.db.fetchval(QUERIES["start_recovery"], *args) is None
    assert await house.value("select count(*) from registration") == 0


async def test_an_offer_replaced_since_is_not_saved(house: House) -> None:
    """The phrase that was checked has to be the one on offer."""
    proof = await user(house)
    offer = (proof["user_id"], proof["secret"], 1, await hash_phrase("dadad"), VISITOR)
    assert await house.db.fetchrow(QUERIES["offer_phrase"], *offer) is not None
    before = await house.value("select phrase_hash from recovery")
    assert not await house.db.fetchval(QUERIES["save_phrase"], proof["user_id"], await hash_phrase("babab"))
    assert await house.value("select phrase_hash from recovery") == before


async def test_a_fault_of_the_database_is_none_of_the_clients(house: House) -> None:
    """Another violation is not reported as a duplicate name."""
    enrolment = await begun(house, "ada")
    await house.sql("alter table app_user add constraint nobody check (false)")
    with pytest.raises(errors.InternalServerError):
        await create_account(house, enrolment)
