"""The triggers and constraints of the users' tables: this domain's part of the SQL contract.

Statements run on one connection while another listens on channel `seatsync`.
"""

from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from seatsync.core.connections.table import alias
from seatsync.core.postgres.queries import load
from tests.support.database import open_session

USERS = """
    insert into app_user (username, totp_secret) values ('ada', 'JBSWY3DPEHPK3PXP'), ('bob', 'JBSWY3DPEHPK3PXP');
    insert into session (id, user_id) select ('00000000-0000-0000-0000-00000000000' || id)::uuid, id from app_user;
"""
ADA, BOB = (f"session {alias(UUID(int=number).bytes)}" for number in (1, 2))


def notifications_of(database_url: str, statement: str) -> list[str]:
    """The bodies of the notifications of a statement, run after `USERS`; sorted."""

    with open_session(database_url) as listener, open_session(database_url) as writer:
        writer.do(USERS)
        listener.listen()
        writer.do(statement)
        writer.do("notify seatsync, 'end'")
        return sorted(payload.partition(" ")[2] for payload in listener.received_until("end"))


def value(database_url: str, *statements: str, args: tuple[Any, ...] = ()) -> Any:
    """Run statements; returns the value of the last one, which takes the arguments."""

    with open_session(database_url) as session:
        for statement in statements[:-1]:
            session.do(statement)
        return session.value(statements[-1], *args)


@pytest.mark.parametrize(
    ("statement", "sessions"),
    [
        ("delete from session where user_id = 1", [ADA]),
        ("delete from session", [ADA, BOB]),
        ("truncate session", [ADA, BOB]),
        ("delete from app_user where username = 'bob'", [BOB]),
        ("truncate app_user cascade", [ADA, BOB]),
        ("update app_user set role = 'admin' where username = 'ada'", [ADA]),
        ("update app_user set role = 'admin'", [ADA, BOB]),
        ("update session set expires_at = now() where user_id = 1", [ADA]),
        ("update session set user_id = 1 where user_id = 2", [BOB]),
    ],
)
def test_a_session_that_ends_is_announced(database_url: str, statement: str, sessions: list[str]) -> None:
    """The end of a session for any reason notifies every server on commit."""
    assert notifications_of(database_url, statement) == sorted(sessions)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from session where false",
        "update app_user set role = role",
        "update app_user set totp_last_step = 7",
        "update session set expires_at = expires_at + interval '1 day'",
        "begin; delete from session; rollback",
    ],
)
def test_a_session_that_goes_on_is_not_announced(database_url: str, statement: str) -> None:
    """A change that keeps the session is not announced."""
    assert notifications_of(database_url, statement) == []


def test_pruning_an_expired_session_is_not_announced(database_url: str) -> None:
    """Pruning an expired session is not announced: its sockets were closed at the expiry."""
    statements = "update session set expires_at = now() where user_id = 1; delete from session"
    assert notifications_of(database_url, statements) == sorted([ADA, BOB])


def test_a_new_role_ends_the_sessions_of_that_user(database_url: str) -> None:
    """A new role ends the user's sessions, since rights are fixed at the handshake."""
    count = "select string_agg(user_id::text, ',' order by user_id) from session"
    assert value(database_url, USERS, "update app_user set role = 'viewer'", count) == "1,2"
    assert value(database_url, "update app_user set role = 'admin' where id = 2", count) == "1"


@pytest.mark.parametrize("username", ["ab", "a b", "x" * 33, "abc\n"])
def test_a_bad_username_is_refused(database_url: str, username: str) -> None:
    """The table enforces the pattern for every writer."""
    with pytest.raises(errors.CheckViolation):
        value(
            database_url,
            "insert into app_user (username, totp_secret) values ($1, 'JBSWY3DPEHPK3PXP')",
            args=(username,),
        )


def test_a_name_in_another_case_is_refused(database_url: str) -> None:
    """Names are unique regardless of case."""
    with pytest.raises(errors.UniqueViolation):
        value(database_url, USERS, "insert into app_user (username, totp_secret) values ('ADA', 'JBSWY3DPEHPK3PXP')")


def test_plain_sql_makes_a_viewer(database_url: str) -> None:
    """A user inserted by plain SQL is a viewer, the least role."""
    assert value(database_url, USERS, "select distinct role::text from app_user") == "viewer"


def test_a_deleted_user_leaves_nothing(database_url: str) -> None:
    """Sessions, recoveries, known devices and networks, lockouts and phrases go with the user."""
    left = value(
        database_url,
        USERS,
        """
        insert into recovery (user_id, phrase_hash) select id, 'x' from app_user;
        insert into known_visitor (user_id, visitor) select id, sha256('x') from app_user;
        insert into known_network (user_id, network) select id, sha256('x') from app_user;
        insert into lockout (user_id) select id from app_user;
        insert into registration (username, user_id, visitor, address, totp_secret)
        select username, id, sha256('x'), '192.0.2.1', totp_secret from app_user;
        delete from app_user
        """,
        """
        select (select count(*) from session) + (select count(*) from recovery)
            + (select count(*) from known_visitor) + (select count(*) from registration)
            + (select count(*) from known_network) + (select count(*) from lockout)
        """,
    )
    assert left == 0


def test_pruning_takes_what_has_expired(database_url: str) -> None:
    """Expired rows go, at most so many of a kind at once; live ones stay, and for an hour those registrations whose
    clients should receive `RegistrationExpired`, not `RegistrationNotInProgress`.
    """
    prune = load("user")["prune"].sql
    rows = """
        update session set expires_at = now();
        insert into session (user_id) values (1);
        insert into known_visitor (user_id, visitor, expires_at)
        values (1, sha256('x'), now()), (2, sha256('x'), 'infinity');
        insert into known_network (user_id, network, expires_at)
        values (1, sha256('x'), now()), (2, sha256('x'), 'infinity');
        insert into throttle values ('x', 'past', 1, now(), now()), ('x', 'present', 1, now(), 'infinity');
        insert into registration (username, visitor, address, totp_secret, expires_at) values
            ('long_ago', sha256('x'), '192.0.2.1', 'JBSWY3DPEHPK3PXP', now() - interval '1 hour'),
            ('just_now', sha256('x'), '192.0.2.1', 'JBSWY3DPEHPK3PXP', now());
    """
    assert value(database_url, USERS, rows, prune, args=(1,)) == 5
    assert value(database_url, prune, args=(1,)) == 1
    assert value(database_url, prune, args=(1,)) == 0
    assert value(database_url, "select count(*) from session") == 1
    assert value(database_url, "select username from registration") == "just_now"
