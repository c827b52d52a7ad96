"""The events of accounts as the schema records them: by triggers, for every writer, in a table that only grows."""

import pytest
from psycopg import errors

from seatsync.core.postgres.queries import load
from tests.support.sql import World, at_once

USER = load("user")
EVENTS = "select event, reason, username, detail, times from auth_event order by id"
FAIL = "select record_failure(id, 'ada', 'wrong_code') from app_user"
LONG_AGO = "insert into auth_event (event, reason, at) values ('auth.deleted', 'sql', now() - interval '{} days')"


@pytest.fixture(autouse=True)
def ada(world: World) -> None:
    """A viewer with a session, whose beginning is recorded."""
    world.user("ada", "viewer")
    assert events(world) == [("auth.registered", "sql", "ada", "viewer")]


def events(world: World) -> list[tuple[str | None, ...]]:
    """Event, reason, user and detail of all events."""
    return [tuple(row[:4]) for row in world.rows(EVENTS)]


ENDED, DELETED = "auth.session_ended", ("auth.deleted", "sql", "ada", None)


@pytest.mark.parametrize(
    ("statement", "recorded"),
    [
        ("delete from session", [(ENDED, "sql", "ada", None)]),
        ("truncate session", [(ENDED, "sql", "ada", None)]),
        ("update session set expires_at = now()", [(ENDED, "sql", "ada", None)]),
        (
            "update app_user set role = 'admin'",
            [("auth.role_changed", "sql", "ada", "viewer to admin"), (ENDED, "role", "ada", None)],
        ),
        ("delete from app_user", [DELETED, (ENDED, "deletion", "ada", None)]),
        ("delete from app_user; delete from session", [DELETED, (ENDED, "deletion", "ada", None)]),
        (
            "update app_user set disabled_at = now(); update app_user set disabled_at = null",
            [
                ("auth.disabled", "sql", "ada", None),
                (ENDED, "disabled", "ada", None),
                ("auth.enabled", "sql", "ada", None),
            ],
        ),
        (
            "select delete_user(id, '01234567:' || repeat('x', 80)) from app_user",
            [DELETED, (ENDED, "deletion", "ada", None)],
        ),
        (
            "select reset_user(id, '01234567:' || repeat('x', 80), 'x') from app_user",
            [("auth.recovered", "sql", "ada", None), (ENDED, "sql", "ada", None)],
        ),
        ("update app_user set totp_secret = 'AAAAAAAAAAAAAAAA'", [("auth.recovered", "sql", "ada", None)]),
        (
            "insert into lockout (user_id, failures) select id, 100 from app_user",
            [("auth.locked", "unknown_clients", "ada", None)],
        ),
    ],
)
def test_a_change_by_sql_is_recorded(world: World, statement: str, recorded: list[tuple[str | None, ...]]) -> None:
    """With the user's name, also when the user goes, and with the reason of what ends a session."""
    world.do(statement)
    assert events(world)[1:] == recorded


def test_the_end_of_all_users_is_recorded(world: World) -> None:
    """`truncate` has no rows, and is recorded all the same."""
    world.do("truncate app_user cascade")
    assert sorted(events(world)[1:]) == [DELETED, (ENDED, "sql", "ada", None)]


@pytest.mark.parametrize(
    "statement",
    [
        "update app_user set role = role, totp_secret = totp_secret, totp_last_step = 7",
        "update session set expires_at = expires_at + interval '1 day'",
        "delete from session where false",
        "do 'begin delete from app_user; raise sqlstate ''X0000''; exception when sqlstate ''X0000'' then null; end'",
        "insert into lockout (user_id, failures) select id, 99 from app_user",
        "insert into throttle values ('code', '1:x', 9, now(), now()); delete from throttle",
    ],
)
def test_what_changes_nothing_is_not_recorded(world: World, statement: str) -> None:
    """A change that ends or opens nothing leaves no event."""
    world.do(statement)
    assert len(events(world)) == 1


def test_a_secret_encrypted_anew_is_no_recovery(world: World) -> None:
    """Encryption takes another key; a new secret under the same key, or a plain one, is a new authenticator."""
    world.do("alter table app_user drop constraint if exists app_user_totp_secret_base32")
    world.do("alter table app_user drop constraint if exists app_user_totp_secret_format")
    for secret in (f"00000000:{'x' * 60}", f"11111111:{'y' * 60}"):
        world.do("update app_user set totp_secret = $1", secret)
    assert len(events(world)) == 1
    world.do("update app_user set totp_secret = $1", f"11111111:{'z' * 60}")
    world.do("update app_user set totp_secret = $1, totp_last_step = 9", f"22222222:{'z' * 60}")
    assert [event for event, *_ in events(world)[1:]] == ["auth.recovered"] * 2


def test_who_was_logged_in_is_recorded(world: World) -> None:
    """The database role cannot be chosen, also where somebody else's client is claimed; that is printable."""
    claim = r"set local seatsync.auth_address = E'\x1b[31m\n'; set local seatsync.auth_reason = 'X y'"
    world.do(f"{claim}; delete from session")
    row = world.row(
        f"select reason, address, device, db_role = session_user as own from auth_event where event = '{ENDED}'"
    )
    assert (row["reason"], row["address"], row["device"], row["own"]) == ("sql", "?[31m?", None, True)


def test_an_expired_session_is_recorded_when_it_is_pruned(world: World) -> None:
    """Its end has no other cause."""
    world.do("alter table session disable trigger user; update session set expires_at = now()")
    world.do("alter table session enable trigger user")
    world.value(USER["prune"].sql, 10)
    assert events(world)[1:] == [(ENDED, "expiry", "ada", None)]


def test_an_idle_session_is_recorded_when_it_is_pruned(world: World) -> None:
    """Its end has no other cause either."""
    world.do("update session set last_seen_at = now() - interval '3 days'")
    world.value(USER["prune_idle"].sql, 10, 48)
    assert events(world)[1:] == [(ENDED, "idle", "ada", None)]


@pytest.mark.parametrize("table", ["known_visitor", "known_network"])
def test_a_device_that_becomes_unknown_is_recorded(world: World, table: str) -> None:
    """With its hundredth failure, once."""
    column = table.removeprefix("known_")
    world.do(f"insert into {table} (user_id, {column}, failures) select id, sha256('x'), 98 from app_user")
    for _ in range(3):
        world.do(f"update {table} set failures = failures + 1")
    reason = {"known_visitor": "device", "known_network": "network"}[table]
    assert events(world)[1:] == [("auth.locked", reason, "ada", None)]


def test_the_first_use_of_a_key_is_recorded(world: World) -> None:
    """Once, with the address; other sessions and the making of a key are none."""
    world.do("insert into app_user (username, is_service) values ('gate', true)")
    key = "insert into session (user_id, key_hash, last_seen_at) select id, sha256('x'), null from app_user"
    world.do(f"{key} where is_service")
    assert len(events(world)) == 2
    for _ in range(2):
        world.do("update session set last_seen_at = now(), address = '192.0.2.9'")
    rows = world.rows("select event, reason, username, address from auth_event order by id offset 2")
    assert [tuple(row) for row in rows] == [("auth.key_used_first", "key", "gate", "192.0.2.9")]


# append-only


@pytest.mark.parametrize(
    "statement",
    [
        "update auth_event set username = 'eve'",
        "delete from auth_event",
        "truncate auth_event cascade",
        "delete from auth_event where at < now() - interval '1 day'",
        "set seatsync.auth_event_days = '0'; delete from auth_event",
        "set seatsync.auth_event_days = '-400'; delete from auth_event",
        "merge into auth_event e using (select 1) s on true when matched then delete",
    ],
)
def test_the_owner_cannot_change_what_is_recorded(world: World, statement: str) -> None:
    """Nor a superuser, as this session is: triggers refuse it."""
    world.do(LONG_AGO.format(2))
    with pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        world.do(statement)
    assert len(events(world)) == 2


def test_old_events_go(world: World) -> None:
    """After so many days, some at a time; what is left is still refused to whoever else would remove it."""
    for days in (89, 91, 92, 93):
        world.do(LONG_AGO.format(days))
    assert [world.value(USER["keep_auth_events"].sql, 90, 2) for _ in range(3)] == [2, 1, 0]
    assert len(events(world)) == 2
    with pytest.raises(errors.InsufficientPrivilege):
        world.do("delete from auth_event")


# floods


def test_a_flood_is_counted(world: World) -> None:
    """Ten failures of a user have rows in a minute; the others are counted, and recorded as one when it is over."""
    for _ in range(25):
        world.value(FAIL)
    world.value("select record_failure(null, 'eve', 'unknown_user')")
    assert world.value("select count(*) from auth_event where event = 'auth.login_failed'") == 11
    world.do("update throttle set expires_at = now()")
    world.value(FAIL)
    rows = [tuple(row) for row in world.rows(EVENTS)][-2:]
    assert rows == [
        ("auth.login_failed", "flood", "ada", None, 15),
        ("auth.login_failed", "wrong_code", "ada", None, 1),
    ]


def test_the_end_of_a_flood_is_recorded_without_another_failure(world: World) -> None:
    """Pruning does it; names that nobody has are one flood together."""
    for number in range(12):
        world.value("select record_failure(null, $1, 'unknown_user')", f"nobody{number}")
    world.do("update throttle set expires_at = now()")
    world.value(USER["prune"].sql, 10)
    world.value(USER["prune"].sql, 10)
    rows = [tuple(row) for row in world.rows(f"{EVENTS.removesuffix('order by id')} where reason = 'flood'")]
    assert rows == [("auth.login_failed", "flood", None, None, 2)]


@pytest.mark.usefixtures("database_url")
def test_only_what_has_a_row_is_waited_for(world: World) -> None:
    """A failure that is only counted holds its counter, which all others need, no longer than it takes to write."""
    setting = f"begin; {FAIL}; create temporary table s as select current_setting('synchronous_commit') as s; commit"
    found = []
    for _ in range(11):
        world.do(setting)
        found.append(world.value("select s from s"))
        world.do("drop table s")
    assert found == [world.value("show synchronous_commit")] * 10 + ["off"]


@pytest.mark.usefixtures("database_url")
def test_parallel_failures_are_bounded_too(world: World) -> None:
    """However many sessions fail at once; none is lost."""

    def fail() -> None:
        session = world.session()
        for _ in range(20):
            session.value(FAIL)

    at_once(*[fail] * 4)
    world.do("delete from throttle")
    assert world.value("select count(*) from auth_event where reason = 'wrong_code'") == 10
    assert world.value("select sum(times) from auth_event where event = 'auth.login_failed'") == 80


# logging


@pytest.mark.usefixtures("database_url")
def test_each_event_is_handed_out_once(world: World) -> None:
    """In order, and no two servers are given the same."""
    world.do("delete from session")
    first, second = world.session(), world.session()
    take = USER["take_auth_events"].sql
    first.do("begin")
    assert [row["event"] for row in first.rows(take, 1)] == ["auth.registered"]
    assert [row["event"] for row in second.rows(take, 10)] == [ENDED]
    first.do("commit")
    assert world.rows(take, 10) == []
