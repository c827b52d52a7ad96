"""Users who are disabled: no way in, and no answer that tells anybody."""

import time
from collections import Counter
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from psycopg.errors import CheckViolation

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query
from seatsync.user import phrases, totp
from seatsync.user.phrases import Cost
from seatsync.user.store import QUERIES, digest, open_session
from tests.support.people import Phone, Users, outcome
from tests.support.sql import World

LOGIN, LOGOUT, STATUS, RECOVER, REGISTER = (
    f"user.{name}" for name in ("login", "logout", "status", "recover", "register")
)
DISABLE = "update app_user set disabled_at = now()"
ENABLE = "update app_user set disabled_at = null"
GUEST = {"status": "guest"}
WRONG = "babab babab babab babab babab"
ELSEWHERE = "203.0.113.7"


async def test_disabling_ends_the_sessions(users: Users) -> None:
    """Also by plain SQL; enabling brings none back."""
    browser = users.browser()
    await users.register("ada", browser)
    await users.sql(DISABLE)
    assert await browser(STATUS) == GUEST
    await users.sql(ENABLE)
    assert await browser(STATUS) == GUEST


@pytest.mark.parametrize("address", ["192.0.2.1", ELSEWHERE], ids=["known", "unknown"])
async def test_a_right_code_is_answered_as_a_wrong_one(users: Users, address: str) -> None:
    """In the same order: it is counted, throttled, and ends in a lockout; afterwards the code signs in."""
    phone = await users.register("ada")
    await users.sql(DISABLE)
    right = partial(users.browser(address), LOGIN, username="ADA", code=phone.code())
    found = [await outcome(right) for _ in range(6)]
    assert found == ["InvalidCode"] * 5 + ["TooManyLoginAttempts"]
    assert await users.value("select count(*) from session") == 0
    await users.sql(ENABLE)
    await users.sql("delete from throttle")
    assert await outcome(right) == "success"


async def test_a_known_device_gets_no_other_answer(users: Users) -> None:
    """A device that has signed in before is one of a user who no longer may."""
    browser = users.browser()
    phone = await users.register("ada", browser)
    await browser(LOGOUT)
    await users.sql(DISABLE)
    assert await outcome(partial(browser, LOGIN, username="ada", code=phone.code())) == "InvalidCode"


async def test_a_right_code_takes_the_steps_of_a_wrong_one(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same queries, and the same check of the code: time tells nothing."""
    steps: Counter[str] = Counter()
    real_step, real_row = totp.matching_step, Database.fetchrow

    def matching_step(*args: Any) -> Any:
        steps["code checked"] += 1
        return real_step(*args)

    async def fetchrow(self: Database, query: Query, *args: Any, **options: Any) -> Any:
        steps[query.name] += 1
        return await real_row(self, query, *args, **options)

    phone = await users.register("ada")
    await users.sql(DISABLE)
    monkeypatch.setattr(totp, "matching_step", matching_step)
    monkeypatch.setattr(Database, "fetchrow", fetchrow)
    taken = []
    for code in (phone.wrong_code(), phone.code()):
        steps.clear()
        assert await outcome(partial(users.browser(), LOGIN, username="ada", code=code)) == "InvalidCode"
        taken.append(dict(steps))
    assert taken[0] == taken[1]
    assert taken[0]["begin_login"] == taken[0]["code checked"] == 1


@pytest.mark.parametrize("cost", [Cost()], ids=["real cost"])
async def test_a_right_phrase_is_answered_as_a_wrong_one(users: Users) -> None:
    """It is hashed all the same, and stays in force for when the user is enabled."""
    phrase = (await users.create("ada")).phrase
    await users.sql(DISABLE)
    times = []
    for given in (WRONG, phrase):
        began = time.perf_counter()
        attempt = partial(users.browser(), RECOVER, username="ada", phrase=given)
        assert await outcome(attempt) == "InvalidRecoveryPhrase"
        times.append(time.perf_counter() - began)
    assert times[1] > times[0] / 2
    await users.sql(ENABLE)
    assert (await users.browser()(RECOVER, username="ada", phrase=phrase))["status"] == "candidate"


async def test_a_recovery_under_way_ends(users: Users) -> None:
    """What was begun before cannot be confirmed, now or once the user is enabled."""
    phrase = (await users.create("ada")).phrase
    browser = users.browser()
    phone = Phone.scan(users.clock, await browser(RECOVER, username="ada", phrase=phrase))
    await users.sql(DISABLE)
    confirm = partial(browser, REGISTER, username="ada", code=phone.code())
    assert await outcome(confirm) == "UserAlreadyExists"
    await users.sql(ENABLE)
    assert await outcome(confirm) == "UserAlreadyExists"


async def test_a_recovery_whose_phrase_was_checked_before_is_not_begun(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is disabled while the phrase is hashed: there is nothing to confirm."""
    phrase = (await users.create("ada")).phrase
    real = phrases.matches

    async def matches(*args: str) -> bool:
        await users.sql(DISABLE)
        return await real(*args)

    monkeypatch.setattr(phrases, "matches", matches)
    await outcome(partial(users.browser(), RECOVER, username="ada", phrase=phrase))
    assert await users.value("select count(*) from registration") == 0


async def test_a_login_whose_code_was_checked_before_opens_no_session(users: Users) -> None:
    """The user is disabled between the check and the session: the answer is that of a wrong code, no fault."""
    await users.register("ada")
    row = (await users.sql("select id, totp_secret, totp_last_step from app_user"))[0]
    await users.sql(DISABLE)
    visitor = digest("visitor")
    checked = row["id"], row["totp_secret"], row["totp_last_step"] + 1, False
    args = (*checked, None, visitor, visitor, "192.0.2.1", "192.0.2.1")
    assert await open_session(users.db, "log_in", *args) is None
    assert await users.value("select count(*) from session") == 0


async def test_no_session_is_made_or_moved(users: Users) -> None:
    """By `seatsync token`, or by plain SQL: the row is left out."""
    await users.register("ada")
    await users.register("bob")
    await users.sql(f"{DISABLE} where username = 'ada'")
    await users.sql("insert into session (user_id) select id from app_user")
    assert await users.db.fetch(QUERIES["add_sessions"], "ada", 3) == []
    await users.sql("update session set user_id = 1")
    assert await users.value("select array_agg(distinct user_id) from session") == [2]


@pytest.mark.usefixtures("database_url")
def test_disabling_waits_for_a_session_that_begins(world: World) -> None:
    """Whichever of the two comes first, no session is left."""
    eve = world.user("eve").id
    world.do("delete from session")
    writer, admin = world.session(), world.session()
    writer.do("begin")
    writer.do("insert into session (user_id) values ($1)", eve)
    disabling = admin.start(f"{DISABLE} where id = $1", eve)
    world.wait_for_lock(admin)
    writer.do("commit")
    disabling.result()
    assert world.value("select count(*) from session") == 0
    admin.do("begin")
    admin.do(f"{ENABLE} where id = $1", eve)
    admin.do(f"{DISABLE} where id = $1", eve)
    beginning = writer.start("insert into session (id, user_id) values ($1, $2)", uuid4(), eve)
    world.wait_for_lock(writer)
    admin.do("commit")
    beginning.result()
    assert world.value("select count(*) from session") == 0


@pytest.mark.parametrize(
    "change",
    ["deleted_at = now()", "deleted_at = now(), disabled_at = null"],
)
def test_who_is_deleted_is_disabled(world: World, change: str) -> None:
    """The table says so, for every writer."""
    world.user("eve")
    with pytest.raises(CheckViolation, match="app_user_deleted_is_disabled"):
        world.do(f"update app_user set {change}")
