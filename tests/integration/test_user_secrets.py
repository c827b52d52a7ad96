"""Authenticators' secrets at rest: what a dump is worth, the encryption of what is plain, and the change of keys."""

import base64
from functools import partial
from pathlib import Path

import pyotp
import pytest
import trio
from attrs import evolve
from structlog.testing import capture_logs

from seatsync import errors
from seatsync.core.timing import Timing
from seatsync.errors import Failure
from seatsync.user import accounts, encryption
from seatsync.user.encryption import check_keys, encrypt_plain, rotate
from seatsync.user.keyring import Keyring, key_id
from tests.support.client import http
from tests.support.database import execute, fetchval, open_session
from tests.support.people import SECRETS_KEY, Browser, Phone, Users, create_user, outcome
from tests.support.process import server_process
from tests.support.readme import SERVE, read_page
from tests.support.server import SECRET, running_server

NEW_KEY = "another key of 32 bytes that opens no house"
OLD, BOTH, NEW = Keyring([SECRETS_KEY]), Keyring([NEW_KEY, SECRETS_KEY]), Keyring([NEW_KEY])

PLAIN = "JBSWY3DPEHPK3PXP" * 2

TABLES = "select tablename from pg_tables where schemaname = 'public'"

KEYS = "select distinct split_part(totp_secret, ':', 1) as key from app_user"


def code(phone: Phone) -> str:
    """An unused code."""
    phone.clock.next_code()
    return phone.code()


async def log_in(users: Users, name: str, phone: Phone) -> str:
    """The outcome of a login with a code of that authenticator, from a new browser."""
    return await outcome(lambda: users.browser()("user.login", username=name, code=code(phone)))


async def add_plain(users: Users, count: int) -> None:
    """Users with a plain secret, as SQL and earlier versions write them."""
    statement = "insert into app_user (username, totp_secret) select 'user' || n, $1 from generate_series(1, $2::int) n"
    await users.sql(statement, PLAIN, count)


async def stored_keys(users: Users) -> list[str]:
    """The ids of the keys in use, and plain secrets."""
    return sorted(row["key"] for row in await users.sql(KEYS))


async def test_a_dump_has_no_secret(users: Users) -> None:
    """Of users, registrations and recoveries under way no row has the secret, in whatever form, nor its parts."""
    ada = await users.register("ada")
    session = users.browser()
    await session("user.login", username="ada", code=code(ada))
    phrase = (await session("user.recovery_phrase", code=code(ada)))["phrase"]
    await session("user.save_recovery_phrase", phrase=phrase)
    bob = Phone.scan(users.clock, await users.browser()("user.auth_start", username="bob"))
    again = Phone.scan(users.clock, await users.browser()("user.recover", username="ada", phrase=phrase))
    assert await users.value("select count(*) from registration") == 2
    dump = ""
    for row in await users.sql(TABLES):
        dump += await users.value(f"select coalesce(string_agg(t::text, ''), '') from {row['tablename']} t")
    assert f"(1,ada,operator,{key_id(SECRETS_KEY)}:" in dump
    for phone in (ada, bob, again):
        raw = base64.b32decode(phone.secret)
        for text in (raw, phone.secret.encode()):
            assert text.hex() not in dump
            assert base64.b64encode(text).decode()[:-2] not in dump
        assert phone.secret not in dump


async def test_another_users_secret_signs_nobody_in(users: Users) -> None:
    """Neither a user's nor a registration's, copied into another row: an error of the server, which logs the reason."""
    ada, eve = await users.register("ada"), await users.register("eve")
    mallory = Phone.scan(users.clock, await users.browser()("user.auth_start", username="mallory"))
    for phone, source in (
        (eve, "select totp_secret from app_user where username = 'eve'"),
        (mallory, "select totp_secret from registration where username = 'mallory'"),
    ):
        await users.sql("delete from throttle")
        before = await users.value("select totp_secret from app_user where username = 'ada'")
        await users.sql(f"update app_user set totp_secret = ({source}) where username = 'ada'")
        with capture_logs() as logs:
            assert await log_in(users, "ada", phone) == "InternalServerError"
            assert await log_in(users, "ada", ada) == "InternalServerError"
        assert {(line["event"], line["user"]) for line in logs} == {("secret_unreadable", "ada")}
        await users.sql("update app_user set totp_secret = $1 where username = 'ada'", before)
        assert await log_in(users, "ada", ada) == "success"


async def test_the_same_registration_shows_the_same_secret(users: Users) -> None:
    """A repeated start finds the pending secret, although each encryption differs."""
    browser = users.browser()
    answers = [await browser("user.auth_start", username=name) for name in ("ada", "ADA")]
    assert answers[0]["qr_url"] == answers[1]["qr_url"]


async def test_the_issuer_is_a_setting(users: Users) -> None:
    """`TOTP_ISSUER` is what apps show."""
    named = users.evolve_settings(totp_issuer="Kino & Söhne")
    answer = await named.browser()("user.auth_start", username="ada")
    assert answer["qr_url"].startswith("otpauth://totp/Kino%20%26%20S%C3%B6hne:ada?issuer=Kino%20%26%20S%C3%B6hne&")


async def test_a_start_encrypts_what_is_plain(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of users and registrations, in batches, also by several servers at once; the authenticators stay good."""
    monkeypatch.setattr(encryption, "BATCH", 10)
    await add_plain(users, 95)
    pending = users.browser()
    phone = Phone.scan(users.clock, await pending("user.auth_start", username="bob"))
    await users.sql("update registration set totp_secret = $1", phone.secret)
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(encrypt_plain, users.db, OLD)
    assert sum(line["count"] for line in logs if line["event"] == "secrets_encrypted") == 96
    assert await stored_keys(users) == [key_id(SECRETS_KEY)]
    assert (await users.value("select totp_secret from registration")).startswith(key_id(SECRETS_KEY))
    assert await log_in(users, "user95", Phone(users.clock, PLAIN)) == "success"
    await pending("user.register", username="bob", code=code(phone))


async def test_a_start_waits_for_nobody(users: Users, database_url: str) -> None:
    """A row that another transaction has locked stays plain, and usable, until a later start."""
    await add_plain(users, 3)
    with open_session(database_url) as other:
        other.do("begin; select from app_user where username = 'user2' for update")
        await encrypt_plain(users.db, OLD)
        assert await stored_keys(users) == sorted([PLAIN, key_id(SECRETS_KEY)])
        other.do("rollback")
    assert await log_in(users, "user2", Phone(users.clock, PLAIN)) == "success"
    await encrypt_plain(users.db, OLD)
    assert await stored_keys(users) == [key_id(SECRETS_KEY)]


async def test_a_missing_key_is_named(users: Users) -> None:
    """One sentence with the key's id and the number of secrets, and nothing is changed."""
    await users.register("ada")
    await add_plain(users, 1)
    await users.browser()("user.auth_start", username="bob")
    for attempt in (check_keys, encrypt_plain, rotate):
        with pytest.raises(Failure, match=rf"lacks the key {key_id(SECRETS_KEY)} \(secrets of authenticators: 2\)"):
            await attempt(users.db, NEW)
    assert PLAIN in await stored_keys(users)
    await check_keys(users.db, BOTH)


async def test_a_wrong_key_that_starts_at_the_same_time_is_noticed(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two servers that begin with different keys on a plain database, the later one refuses to go on."""
    await add_plain(users, 2)
    checks = []

    async def check_late(db: object, keyring: Keyring) -> None:
        checks.append(keyring)
        if len(checks) > 1:
            await check_keys(users.db, keyring)

    monkeypatch.setattr(encryption, "check_keys", check_late)
    await users.sql("update app_user set totp_secret = $1 where username = 'user1'", OLD.encrypt("user1", PLAIN))
    with pytest.raises(Failure, match=key_id(SECRETS_KEY)):
        await encrypt_plain(users.db, NEW)


async def test_no_command_encrypts_under_a_key_of_its_own(users: Users) -> None:
    """A secret under a key that the servers lack would keep them from starting: also one that nobody has."""
    for name in ("ada", "bob"):
        await users.register(name)
    wrong = evolve(users.settings, secrets_keys=(NEW_KEY,))
    for attempt in (
        partial(accounts.delete, users.db, wrong, "bob", force=True),
        partial(accounts.reset, users.db, wrong, "bob", lambda *_: pytest.fail("shown")),
        partial(create_user, users.db, wrong, "eve", "viewer"),
        partial(accounts.session_tokens, users.db, wrong, "eve", create=True),
    ):
        with pytest.raises(Failure, match="lacks the key"):
            await attempt()
    assert await stored_keys(users) == [key_id(SECRETS_KEY)]
    assert await users.value("select count(*) from app_user where deleted_at is null") == 2


async def test_who_was_deleted_meanwhile_is_not_reset(users: Users) -> None:
    """The phrase that was printed is in force for nobody, and the command says so."""
    await users.register("ada")

    def show(*_: object) -> None:
        execute(users.db.dsn, "select delete_user(id, 'JBSWY3DPEHPK3PXP') from app_user")

    with pytest.raises(errors.UserNotFound):
        await accounts.reset(users.db, users.settings, "ada", show)
    assert await users.value("select count(*) from recovery") == 0


async def test_a_rotation_lets_people_sign_in(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users sign in and register before and after it at servers with both keys; the old key can go then."""
    monkeypatch.setattr(encryption, "BATCH", 5)
    ada = await users.register("ada")
    pending = users.browser()
    bob = Phone.scan(users.clock, await pending("user.auth_start", username="bob"))
    await add_plain(users, 50)
    await encrypt_plain(users.db, OLD)
    both = users.evolve_settings(secrets_keys=(NEW_KEY, SECRETS_KEY))
    assert await log_in(both, "ada", ada) == "success"
    assert await rotate(both.db, BOTH) == 52
    assert await rotate(both.db, BOTH) == 0
    assert await stored_keys(users) == [key_id(NEW_KEY)]
    await check_keys(users.db, NEW)
    assert await log_in(both, "ada", ada) == "success"
    new = users.evolve_settings(secrets_keys=(NEW_KEY,))
    assert await log_in(new, "ada", ada) == "success"
    await Browser(new, pending.address, pending.cookies)("user.register", username="bob", code=code(bob))
    assert await log_in(new, "bob", bob) == "success"


async def test_an_interrupted_rotation_is_repeated(users: Users, database_url: str) -> None:
    """What was encrypted stays so, all can sign in meanwhile with both keys, and a repetition does the rest."""
    await add_plain(users, 5)
    await encrypt_plain(users.db, OLD)
    both = users.evolve_settings(secrets_keys=(NEW_KEY, SECRETS_KEY))
    with open_session(database_url) as other:
        other.do("begin; select from app_user where username = 'user3' for update")
        with pytest.raises(Failure, match="in use by other transactions"):
            await rotate(users.db, BOTH, timing=Timing(check_s=0.001))
        assert await stored_keys(users) == sorted([key_id(NEW_KEY), key_id(SECRETS_KEY)])
        other.do("rollback")
    for name in ("user3", "user4"):
        assert await log_in(both, name, Phone(users.clock, PLAIN)) == "success"
    assert await rotate(users.db, BOTH) == 1
    assert await stored_keys(users) == [key_id(NEW_KEY)]


async def test_rotations_at_the_same_time_do_not_harm(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each secret is encrypted once, and still the same."""
    monkeypatch.setattr(encryption, "BATCH", 5)
    await add_plain(users, 40)
    await encrypt_plain(users.db, OLD)
    counts: list[int] = []

    async def run() -> None:
        counts.append(await rotate(users.db, BOTH, timing=Timing(check_s=0.001)))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(run)
    assert sum(counts) == 40
    rows = await users.sql("select username, totp_secret from app_user")
    assert {NEW.decrypt(row["username"], row["totp_secret"]) for row in rows} == {PLAIN}


async def test_a_rotation_names_what_it_cannot_decrypt(users: Users) -> None:
    """A user renamed by SQL has to enrol anew; all other secrets are encrypted with the new key."""
    await users.register("ada")
    await users.register("eve")
    await users.sql("update app_user set username = 'eva' where username = 'eve'")
    with pytest.raises(Failure, match=r"cannot be decrypted.*: eva\.$"):
        await rotate(users.db, BOTH)
    assert await stored_keys(users) == sorted([key_id(NEW_KEY), key_id(SECRETS_KEY)])


async def test_a_lost_key_is_survived(users: Users) -> None:
    """The operators' page has the statements: servers start with another key, and phrases sign people in."""
    ada = users.browser()
    phone = await users.register("ada", ada)
    phrase = (await ada("user.recovery_phrase", code=code(phone)))["phrase"]
    await ada("user.save_recovery_phrase", phrase=phrase)
    await users.browser()("user.auth_start", username="bob")
    (statements,) = read_page(SERVE).code("sql", "Keys")
    async with users.db.session() as session:
        await session.script(statements)
    await encrypt_plain(users.db, NEW)
    new = users.evolve_settings(secrets_keys=(NEW_KEY,))
    assert await log_in(new, "ada", phone) == "InvalidCode"
    browser = new.browser()
    phone = Phone.scan(users.clock, await browser("user.recover", username="ada", phrase=phrase))
    await browser("user.register", username="ada", code=code(phone))
    assert await log_in(new, "ada", phone) == "success"


async def test_a_server_encrypts_when_it_starts(tmp_path: Path, database_url: str) -> None:
    """Before it accepts connections; its keys may be in files, also for its workers.

    They have the role of a demo for new users, too.
    """
    for name in ("JWT_SECRET", "SECRETS_KEY"):
        (tmp_path / name).write_text(f"{SECRETS_KEY}\n")
    environ = {f"{name}_FILE": f"{tmp_path}/{name}" for name in ("JWT_SECRET", "SECRETS_KEY")}
    environ |= {"JWT_SECRET": "", "SECRETS_KEY": "", "WORKERS": "2"}
    execute(database_url, f"insert into app_user (username, totp_secret) values ('ada', '{PLAIN}')")
    async with server_process(tmp_path, database_url, "--demo", up=True, **environ) as server:
        stored = fetchval(database_url, "select totp_secret from app_user")
        assert OLD.decrypt("ada", stored) == PLAIN
        assert stored != PLAIN
        login = {"username": "ada", "code": pyotp.TOTP(PLAIN).now()}
        answer = await http(server.port, "POST", "/api/user/login", login)
        assert answer.json()["status"] == "success"
        start = await http(server.port, "POST", "/api/user/auth_start", {"username": "bob"})
        bob = {"username": "bob", "code": pyotp.TOTP(start.json()["data"]["qr_url"].partition("secret=")[2]).now()}
        cookies = "; ".join(f"{name}={value}" for name, value in start.cookies().items())
        await http(server.port, "POST", "/api/user/register", bob, {"Cookie": cookies})
    assert fetchval(database_url, "select role::text from app_user where username = 'bob'") == "operator"


async def test_a_changed_signing_key_ends_no_session(database_url: str) -> None:
    """With the old key behind the new one a token of before is good, and a browser is known; without it neither."""
    path, bob, cookies = "/api/user/auth_start", {"username": "bob"}, ""
    async with running_server(database_url) as server:
        token = await server.token("ada")
        answer = await http(server.port, "POST", path, bob)
        cookies = "; ".join(f"{key}={value}" for key, value in answer.cookies().items())
    new = "n" * 32
    for jwt_secret, name, error in ((f"{new},{SECRET}", "ada", None), (new, None, "RegistrationInProgress")):
        async with running_server(database_url, JWT_SECRET=jwt_secret) as server, server.client(token) as client:
            assert (await client.data("user.status")).get("username") == name
            again = await http(server.port, "POST", path, bob, {"Cookie": cookies})
            assert again.json()["error"] == error
