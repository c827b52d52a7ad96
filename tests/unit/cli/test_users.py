"""The commands that manage users: what each prints, what it refuses, and its exit status."""

import io
import json
import os
import pty
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from seatsync.cli import main as cli
from tests.support.command import run, run_on
from tests.support.database import execute, fetchval

pytestmark = [
    pytest.mark.usefixtures("restored_logs", "directory"),
    pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals"),
]

TIMES = "update app_user set created_at = '2026-11-23 08:31:17.5+00'"
"""Makes what is printed the same each time."""


def on_terminal(*arguments: str, answer: str = "") -> tuple[int, str]:
    """Exit status and output of a command whose input and output are a terminal, where a line is typed."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb+", buffering=0) as person:
        with io.TextIOWrapper(os.fdopen(theirs, "rb+", buffering=0), write_through=True) as terminal:
            person.write(f"{answer}\n".encode())
            status = run_on(terminal, terminal, terminal, *arguments)
        printed = b""
        with suppress(OSError):  # how Linux ends a terminal
            while more := person.read(4096):
                printed += more
    return status, printed.decode().replace("\r\n", "\n")


def succeeds(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints that succeeds."""
    capsys.readouterr()
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence of a command that fails."""
    capsys.readouterr()
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.removeprefix("seatsync: ").rstrip("\n")


def add(environment: str, **roles: str) -> None:
    """Add users with these roles."""
    for name, role in roles.items():
        values = f"'{name}', '{role}', 'JBSWY3DPEHPK3PXP'"
        execute(environment, f"insert into app_user (username, role, totp_secret) values ({values})")


# list and show


def test_users_are_listed(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By name, a line each, with what keeps a user from signing in; what is not known is a hyphen."""
    add(environment, Eve="viewer", bob="operator", ada="admin", dan="viewer")
    execute(environment, TIMES)
    execute(environment, "update app_user set totp_last_step = 56700000 where username in ('ada', 'bob')")
    execute(environment, "update app_user set disabled_at = now() where username = 'Eve'")
    execute(environment, "insert into lockout select id, 100 from app_user where username in ('bob', 'Eve')")
    execute(environment, "update app_user set disabled_at = now(), deleted_at = now() where username = 'dan'")
    assert succeeds(capsys, "user", "list") == (
        "ada\tadmin\t2026-11-23T08:31:17Z\t2023-11-26T12:00:00Z\tactive\n"
        "bob\toperator\t2026-11-23T08:31:17Z\t2023-11-26T12:00:00Z\tlocked-out\n"
        "Eve\tviewer\t2026-11-23T08:31:17Z\t-\tdisabled,locked-out,no-authenticator\n"
    )


def test_times_that_python_does_not_have(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A user whom SQL has disabled for ever, or made long ago, hides no other."""
    add(environment, ada="admin", eve="viewer")
    execute(
        environment, "update app_user set disabled_at = 'infinity', created_at = '-infinity' where username = 'eve'"
    )
    assert [line.split()[0] for line in succeeds(capsys, "user", "list").splitlines()] == ["ada", "eve"]
    assert "disabled_at: 9999-12-31" in succeeds(capsys, "user", "show", "eve")
    assert on_terminal("user", "list")[0] == 0


def test_on_a_terminal_the_list_is_a_table(environment: str) -> None:
    """The columns have names, and are aligned."""
    add(environment, ada="admin", bartholomew="operator")
    execute(environment, TIMES)
    execute(environment, "update app_user set totp_last_step = 56700000 where username = 'ada'")
    status, printed = on_terminal("user", "list")
    assert (status, printed.splitlines()[1:]) == (
        0,
        [
            "NAME         ROLE      CREATED (UTC)     LAST SIGN-IN (UTC)  STATE",
            "ada          admin     2026-11-23 08:31  2023-11-26 12:00    active",
            "bartholomew  operator  2026-11-23 08:31  -                   no-authenticator",
        ],
    )


def test_users_as_json(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The list has for each user what `show` has."""
    assert json.loads(succeeds(capsys, "user", "list", "--json")) == []
    add(environment, ada="admin")
    execute(environment, TIMES)
    execute(environment, "insert into session (user_id) select id from app_user, generate_series(1, 2)")
    execute(environment, "insert into session (user_id, expires_at) select id, now() from app_user")
    execute(environment, "insert into known_visitor (user_id, visitor) select id, sha256('x') from app_user")
    execute(environment, "insert into lockout select id, 7 from app_user")
    (listed,) = json.loads(succeeds(capsys, "user", "list", "--json"))
    assert listed == json.loads(succeeds(capsys, "user", "show", "ADA", "--json"))
    assert listed == {
        "name": "ada",
        "role": "admin",
        "created_at": "2026-11-23T08:31:17Z",
        "last_sign_in_at": None,
        "states": ["no-authenticator"],
        "disabled_at": None,
        "wrong_codes": 7,
        "sessions": 2,
        "known_devices": 1,
        "known_networks": 0,
    }


def test_show_prints_lines(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name and a value on each."""
    add(environment, ada="admin")
    execute(environment, "update app_user set created_at = '2026-11-23', disabled_at = '2026-11-24 10:00+00'")
    lines = succeeds(capsys, "user", "show", "Ada").splitlines()
    assert lines[0] == "name: ada"
    assert "states: disabled,no-authenticator" in lines
    assert "disabled_at: 2026-11-24T10:00:00Z" in lines
    assert "last_sign_in_at: -" in lines


# the last admin, and those who are not found


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "command",
    ["show eve", "role eve admin", "disable eve", "enable eve", "delete eve --yes", "reset eve", "sessions eve"],
)
def test_unknown_users_are_one_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every command, also for a user who is deleted."""
    assert fails(capsys, "user", *command.split()) == "There is no such user."
    assert cli.main(["user", "create", "Eve"]) == 0
    assert cli.main(["user", "delete", "eve", "--yes"]) == 0
    assert fails(capsys, "user", *command.split()) == "There is no such user."


def test_services_are_no_users(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They have keys, and no admin among them saves the last admin."""
    add(environment, ada="admin")
    assert cli.main(["key", "create", "door-3", "--role", "admin"]) == 0
    assert [line.split()[0] for line in succeeds(capsys, "user", "list").splitlines()] == ["ada"]
    assert fails(capsys, "user", "reset", "door-3") == "There is no such user."
    assert "the last admin" in fails(capsys, "user", "disable", "ada")


def test_a_disabled_service_gets_no_key(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """SQL may disable it: its key is void, and another is neither made nor printed."""
    assert cli.main(["key", "create", "door-3", "--role", "operator"]) == 0
    execute(environment, "update app_user set disabled_at = now()")
    assert fetchval(environment, "select count(*) from session") == 0
    sentence = fails(capsys, "key", "create", "door-3", "--role", "operator")
    assert sentence == "The service door-3 is disabled, and gets no key."


@pytest.mark.parametrize("command", ["role ada viewer", "disable ada", "delete ada"])
def test_the_last_admin_needs_yes(environment: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is left without an admin by mistake: one who is disabled or deleted is none."""
    add(environment, ada="admin", bob="admin", dan="admin", eve="operator")
    succeeds(capsys, "user", "disable", "bob")
    succeeds(capsys, "user", "delete", "dan", "--yes")
    before = fetchval(environment, "select array_agg(u::text) from app_user u")
    sentence = fails(capsys, "user", *command.split())
    assert sentence == "ada is the last admin who is not disabled: nothing was changed; add --yes to leave no admin."
    assert fetchval(environment, "select array_agg(u::text) from app_user u") == before
    succeeds(capsys, "user", *command.split(), "--yes")
    assert fetchval(environment, "select count(*) from app_user where role = 'admin' and disabled_at is null") == 0


@pytest.mark.parametrize(
    "command", ["role ada viewer", "role bob viewer", "disable bob", "delete eve --yes", "role ada admin"]
)
def test_others_do_not(environment: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One of two admins, whoever is none, and the last admin who stays one."""
    add(environment, ada="admin", eve="operator")
    if command != "role ada admin":
        add(environment, bob="admin")
    succeeds(capsys, "user", *command.split())


# what each does


def test_role_prints_what_it_changed(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The new role, and the sessions that it has ended; the same role ends none."""
    add(environment, ada="viewer")
    execute(environment, "insert into session (user_id) select id from app_user")
    assert succeeds(capsys, "user", "role", "ADA", "viewer") == "User ada has the role viewer already.\n"
    assert (
        succeeds(capsys, "user", "role", "ADA", "operator") == "User ada has the role operator now; 1 session ended.\n"
    )
    assert fetchval(environment, "select role::text from app_user") == "operator"
    assert fetchval(environment, "select count(*) from session") == 0


def test_disable_and_enable_print_what_they_changed(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time there is nothing to change."""
    add(environment, eve="viewer")
    execute(environment, "insert into session (user_id) select id from app_user, generate_series(1, 2)")
    assert succeeds(capsys, "user", "disable", "EVE") == "User eve disabled; 2 sessions ended.\n"
    since = fetchval(environment, "select disabled_at from app_user")
    assert succeeds(capsys, "user", "disable", "eve").startswith("User eve is disabled already, since 20")
    assert fetchval(environment, "select disabled_at from app_user") == since
    assert fails(capsys, "token", "eve") == "The user eve is disabled, and gets no session."
    assert succeeds(capsys, "user", "enable", "Eve") == "User eve enabled.\n"
    assert succeeds(capsys, "user", "enable", "eve") == "User eve is not disabled.\n"
    assert succeeds(capsys, "token", "eve").count("\n") == 1


def test_a_deleted_user_stays_in_the_history_alone(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Name and id stay, and all that the user signed in with goes; nobody else gets the name."""
    add(environment, eve="operator")
    execute(environment, "insert into session (user_id) select id from app_user")
    execute(environment, "insert into recovery (user_id, phrase_hash) select id, 'x' from app_user")
    assert succeeds(capsys, "user", "delete", "EVE", "--yes").splitlines() == [
        "User eve deleted; 1 session ended.",
        "The history keeps the name, which nobody else can take.",
    ]
    assert fetchval(environment, "select username from app_user where disabled_at = deleted_at") == "eve"
    assert fetchval(environment, "select count(*) from app_user where totp_secret like 'JBSWY3DPEHPK3PXP'") == 0
    assert fetchval(environment, "select (select count(*) from session) + (select count(*) from recovery)") == 0
    assert fails(capsys, "user", "create", "Eve") == "A user of that name has been deleted: the history keeps it."
    for command in (["token", "eve"], ["token", "eve", "--create"]):
        assert fails(capsys, *command) == "The user eve is deleted, and gets no session."
    assert succeeds(capsys, "user", "list") == ""


def test_the_commands_are_recorded(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As events of the account, by a command; the sessions have ended for that reason."""
    add(environment, eve="viewer")
    for command in (
        "disable eve",
        "enable eve",
        "reset eve",
        "role eve operator",
        "sessions eve --end",
        "delete eve --yes",
    ):
        execute(environment, "insert into session (user_id) select id from app_user")
        before = fetchval(environment, "select max(id) from auth_event")
        succeeds(capsys, "user", *command.split())
        found = f"select array_agg(substr(event, 6) || ' ' || reason order by id) from auth_event where id > {before}"
        assert (
            fetchval(environment, found)
            == {
                "disable": ["disabled command", "session_ended disabled"],
                "enable": ["enabled command"],
                "reset": ["recovered command", "session_ended command"],
                "role": ["role_changed command", "session_ended role"],
                "sessions": ["session_ended command"],
                "delete": ["deleted command", "session_ended deletion"],
            }[command.split()[0]]
        )


def test_delete_without_a_terminal_needs_yes(environment: str) -> None:
    """Nobody is there to confirm it."""
    add(environment, eve="viewer")
    done = run("user", "delete", "eve")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "seatsync: There is no terminal to confirm this on: nothing was changed; add --yes.\n"
    assert fetchval(environment, "select deleted_at from app_user") is None


class Typed(io.StringIO):
    """Standard input with a line that has been typed."""

    def isatty(self) -> bool:
        """As a terminal answers."""
        return True


@pytest.mark.parametrize(("answer", "status"), [("Yes", 0), ("", 1), ("n", 1), ("eve", 1)])
def test_only_a_yes_deletes(environment: str, monkeypatch: pytest.MonkeyPatch, answer: str, status: int) -> None:
    """In one letter or the word, of any case."""
    add(environment, Eve="viewer")
    monkeypatch.setattr(sys, "stdin", Typed(f"{answer}\n"))
    assert cli.main(["user", "delete", "eve"]) == status
    assert (fetchval(environment, "select deleted_at from app_user") is None) == bool(status)


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1)])
def test_delete_asks_on_a_terminal(environment: str, answer: str, status: int) -> None:
    """The question names the user and the role, and what follows from the answer is printed."""
    add(environment, Eve="viewer")
    exit_status, printed = on_terminal("user", "delete", "eve", answer=answer)
    assert "Delete Eve (viewer) for good? The history keeps the name. [y/N] " in printed
    assert exit_status == status
    assert ("Nothing was changed." in printed) == bool(status)
    assert (fetchval(environment, "select deleted_at from app_user") is None) == bool(status)


def test_reset_prints_the_phrase_first(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Then what has gone: sessions, devices, networks, lockout and counters, those of this user alone."""
    add(environment, ada="operator", bob="operator")
    for table in ("session (user_id)", "lockout (user_id)"):
        execute(environment, f"insert into {table} select id from app_user")
    for column in ("known_visitor (user_id, visitor)", "known_network (user_id, network)"):
        execute(environment, f"insert into {column} select id, sha256('x') from app_user")
    execute(
        environment,
        "insert into throttle select scope, id || rest, 9, 'infinity', 'infinity' from app_user, "
        "(values ('code', ':192.0.2.1'), ('recovery', ':192.0.2.1'), ('phrase', ''), ('register', '')) t (scope, rest)",
    )
    execute(environment, "insert into throttle values ('lookup', '192.0.2.1', 1, now(), 'infinity')")
    heading, phrase, done = succeeds(capsys, "user", "reset", "ADA").splitlines()
    assert heading == "Recovery phrase of ada, shown only now, to enrol a new authenticator with:"
    assert [len(word) for word in phrase.split(" ")] == [5] * 5
    assert done == (
        "User ada reset: the authenticator and any phrase before are void; 1 session ended, 1 known device forgotten."
    )
    for table in ("session", "lockout", "known_visitor", "known_network"):
        assert fetchval(environment, f"select array_agg(user_id) from {table}") == [2]
    left = fetchval(
        environment, "select string_agg(scope || ' ' || subject, ', ' order by scope, subject) from throttle"
    )
    assert left == "code 2:192.0.2.1, lookup 192.0.2.1, phrase 2, recovery 2:192.0.2.1, register 1, register 2"
    assert fetchval(environment, "select totp_secret <> 'JBSWY3DPEHPK3PXP' from app_user where id = 1")
    assert fetchval(environment, "select totp_secret = 'JBSWY3DPEHPK3PXP' from app_user where id = 2")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_reset_whose_phrase_cannot_be_printed_does_nothing(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else nobody could sign in as the user."""
    add(environment, ada="operator")
    execute(environment, "insert into session (user_id) select id from app_user")
    before = fetchval(environment, "select u::text from app_user u")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stdout", full)
        assert cli.main(["user", "reset", "ada"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert fetchval(environment, "select u::text from app_user u") == before
    assert fetchval(environment, "select (select count(*) from session), (select count(*) from recovery)") == 1


def test_reset_of_a_disabled_user_says_so(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The phrase is of no use until the user is enabled."""
    add(environment, ada="viewer")
    succeeds(capsys, "user", "disable", "ada")
    last = succeeds(capsys, "user", "reset", "ada").splitlines()[-1]
    assert last == "User ada is disabled: the phrase works after seatsync user enable ada."


def test_sessions_are_listed_and_ended(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the user that have not expired, the newest first, with what a client calls itself as text."""
    add(environment, ada="viewer", bob="viewer")
    execute(
        environment,
        """
        insert into session (id, user_id, created_at, expires_at, address, user_agent)
        select
            ('00000000-0000-0000-0000-00000000000' || n)::uuid, u.id, timestamptz '2026-11-20' + n * interval '1 hour',
            case when n < 3 then '2999-01-01 00:00+00'::timestamptz else now() end,
            '192.0.2.1', 'Browser ' || n || chr(27) || '[2J'
        from app_user u, generate_series(1, 3) n
        where u.username = 'ada'
        """,
    )
    execute(environment, "insert into session (user_id) select id from app_user where username = 'bob'")
    lines = succeeds(capsys, "user", "sessions", "ADA").splitlines()
    assert [line.split()[0][-1] for line in lines] == ["2", "1"]
    assert lines[0].split("\t")[3:] == ["2999-01-01T00:00:00Z", "192.0.2.1", r"Browser 2\x1b[2J"]
    assert succeeds(capsys, "user", "sessions", "ada", "--end") == "User ada: 2 sessions ended.\n"
    assert succeeds(capsys, "user", "sessions", "ada") == ""
    assert fetchval(environment, "select count(*) from session") == 1
