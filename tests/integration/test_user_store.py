"""State that changes between a check and the write that relies on it: the write checks again, in one statement."""

import pytest
from attrs import evolve

from seatsync import errors
from seatsync.user.accounts import create_user
from seatsync.user.phrases import hash_phrase
from seatsync.user.store import Enrolment, Proof, UserStore, Visit, digest
from tests.support.people import House

SECRET = "JBSWY3DPEHPK3PXP"
VISITOR, NETWORK = digest("visitor"), "192.0.2.1"
VISIT = Visit("visitor", next_visitor="visitor")


@pytest.fixture
def store(house: House) -> UserStore:
    """The store of that house."""
    return UserStore(house.db)


async def begun(store: UserStore, username: str) -> Enrolment:
    """A registration that waits for its code."""
    return await store.start_registration(username, VISITOR, NETWORK, SECRET, allowed=True)


async def user(house: House, store: UserStore) -> Proof:
    """A user, and what a code has to match."""
    await create_user(house.db, "ada", "viewer")
    proof = await store.begin_login("ada", VISITOR)
    assert proof is not None
    return proof


async def test_a_name_taken_since_is_taken(house: House, store: UserStore) -> None:
    """`UserAlreadyExists`, from the constraint itself."""
    enrolment = await begun(store, "ada")
    await create_user(house.db, "Ada", "viewer")
    with pytest.raises(errors.UserAlreadyExists):
        await store.create_account(enrolment, 1, VISIT, role="operator", local=False)


@pytest.mark.parametrize(
    "change",
    [
        "delete from registration",
        "update registration set expires_at = now()",
        "update registration set totp_secret = 'AAAAAAAAAAAAAAAA'",
    ],
)
async def test_a_registration_gone_since_makes_nobody(house: House, store: UserStore, change: str) -> None:
    """Deleted, expired or begun anew: the code that was checked confirms nothing."""
    enrolment = await begun(store, "ada")
    await house.sql(change)
    assert await store.create_account(enrolment, 1, VISIT, role="operator", local=False) is None
    assert await house.value("select count(*) from app_user") == 0


async def test_a_secret_replaced_since_logs_nobody_in(house: House, store: UserStore) -> None:
    """A recovery in between wins."""
    proof = await user(house, store)
    await house.sql("update app_user set totp_secret = $1", SECRET)
    assert await store.log_in(proof, 1, VISIT) is None
    assert await house.value("select count(*) from session") == 0


async def test_a_phrase_replaced_since_recovers_nobody(house: House, store: UserStore) -> None:
    """The phrase that was checked has to be the one in force."""
    proof = evolve(await user(house, store), phrase_hash=await hash_phrase("babab"))
    assert await store.start_recovery(proof, VISITOR, NETWORK, SECRET) is None
    assert await house.value("select count(*) from registration") == 0


async def test_an_offer_replaced_since_is_not_saved(house: House, store: UserStore) -> None:
    """The phrase that was checked has to be the one on offer."""
    proof = await user(house, store)
    stale = evolve(proof, phrase_hash=await hash_phrase("babab"))
    assert await store.offer_phrase(proof, 1, await hash_phrase("dadad"), VISITOR)
    before = await house.value("select phrase_hash from recovery")
    assert not await store.save_phrase(stale)
    assert await house.value("select phrase_hash from recovery") == before


async def test_a_fault_of_the_database_is_none_of_the_clients(house: House, store: UserStore) -> None:
    """Another violation is not reported as a duplicate name."""
    enrolment = await begun(store, "ada")
    await house.sql("alter table app_user add constraint nobody check (false)")
    with pytest.raises(errors.ServerFault):
        await store.create_account(enrolment, 1, VISIT, role="operator", local=False)
