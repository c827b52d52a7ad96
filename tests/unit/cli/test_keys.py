"""The commands about service keys: what they print, and that nothing is added that was not."""

import sys
from pathlib import Path

import pytest

from seatsync.cli import main as cli
from tests.support.database import execute, fetchval

pytestmark = pytest.mark.usefixtures("restored_logs")

KEYS = "select count(*) from session"


@pytest.fixture
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An environment with `database_url`, and without `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("JWT_SECRET", "0123456789abcdef" * 2)
    monkeypatch.setenv("SECRETS_KEY", "fedcba9876543210" * 2)
    return database_url


def created(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The key that `key create` prints."""
    assert cli.main(["key", "create", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that a command ends in."""
    assert cli.main(["key", *arguments]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("seatsync: ").rstrip()


def test_create_prints_the_key_and_nothing_else(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For `KEY=$(seatsync key create …)`; each is another, with the role and the days that were asked for."""
    first = created(capsys, "door-3", "--role", "operator")
    second = created(capsys, "door-4", "--role", "viewer", "--days", "30")
    assert first != second
    for line in (first, second):
        assert line.startswith("ssk_")
        assert len(line) == len("ssk_") + 43 + 1
    days = "case when isfinite(expires_at) then extract(day from expires_at - s.created_at)::text else 'for ever' end"
    found = (
        f"select string_agg(role || ' ' || {days}, ', ' order by u.id) from session s join app_user u on u.id = user_id"
    )
    assert fetchval(environment, found) == "operator for ever, viewer 30"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("options", [[], ["--role", "owner"], ["--role", "viewer", "--days", "0"]])
def test_wrong_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A role is needed, one that there is; days are one at least. Status 2."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["key", "create", "door-3", *options])
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_names_collide_cleanly(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With users and keys, without case, in both directions: one sentence, and nothing is changed."""
    assert cli.main(["user", "create", "ada"]) == 0
    created(capsys, "door-3", "--role", "viewer")
    taken = "There already is a user of that name."
    assert refused(capsys, "create", "ADA", "--role", "admin") == taken
    assert refused(capsys, "create", "Door-3", "--role", "admin").endswith("already; revoke it first.")
    assert refused(capsys, "create", "a b", "--role", "admin").startswith("A username is")
    for command in (["user", "create", "DOOR-3"], ["user", "role", "door-3", "admin"], ["token", "door-3", "--create"]):
        assert cli.main(command) == 1
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
    assert fetchval(environment, "select string_agg(username || ' ' || role, ',' order by id) from app_user") == (
        "ada viewer,door-3 viewer"
    )


def test_revoke_says_what_it_did(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The name as it was given at first; a second time there is no such key."""
    created(capsys, "door-3", "--role", "viewer")
    assert cli.main(["key", "revoke", "DOOR-3"]) == 0
    assert capsys.readouterr() == ("Revoked the key of door-3.\n", "")
    assert fetchval(environment, KEYS) == 0
    assert refused(capsys, "revoke", "door-3") == "There is no key of the name door-3."
    assert refused(capsys, "revoke", "a\x1b[2J") == r"There is no key of the name a\x1b[2J."


def test_list_shows_valid_keys_without_them(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By name, with their last use; what a client has called itself does not reach the terminal as it is."""
    assert cli.main(["key", "list"]) == 0
    assert capsys.readouterr() == ("", "")
    keys = [created(capsys, name, "--role", "viewer") for name in ("lift", "door-3", "gone")]
    execute(
        environment,
        "update session set expires_at = now() where user_id = (select id from app_user where username = 'gone');"
        "update session set last_seen_at = '2026-11-23 08:00Z', address = '192.0.2.7', user_agent = e'till\\x1b[2J\\n'"
        "where user_id = (select id from app_user where username = 'door-3')",
    )
    assert cli.main(["key", "list"]) == 0
    out = capsys.readouterr().out
    assert not any(key.strip() in out for key in keys)
    door, lift = [line.split("\t") for line in out.splitlines()]
    assert (door[0], door[3:]) == ("door-3", ["never", "2026-11-23T08:00:00.000Z", "192.0.2.7", r"till\x1b[2J\n"])
    assert (lift[0], lift[3:]) == ("lift", ["never", "never", "-", "-"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_key_that_cannot_be_printed_is_not_added(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody would have it, and the name would be taken."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stdout", full)
        assert cli.main(["key", "create", "door-3", "--role", "viewer"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert fetchval(environment, "select (select count(*) from app_user) + (select count(*) from session)") == 0
