"""The command line: usage, exit statuses, failures without a traceback, and what `migrate`, `seed` and `serve` leave.

In this process where output alone counts; in a process of its own where standard output, exit statuses and
signals are the point.
"""

import argparse
import gc
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from seatsync.cli import database
from seatsync.cli import main as cli
from seatsync.user.keyring import key_id
from seatsync.user.tokens import Tokens
from tests.support.command import SECRET, run
from tests.support.database import fetchval
from tests.support.places import copy_cluster, scratch_directory

pytestmark = pytest.mark.usefixtures("restored_logs", "directory")


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment whose database is down, with a password in its address."""
    url = "postgresql://seats:hidden-word@127.0.0.1:1/seats"
    keys = {"JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}
    for name, value in {"DATABASE_URL": url, "PORT": "0", "WS_PORT": "0", **keys}.items():
        monkeypatch.setenv(name, value)
    return url


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("seed",),
        ("seed", "hall", "--name", "x"),
        ("seed", "hall", "--name", "x", "--seats", "0"),
        ("seed", "hall", "--name", "x", "--seats", "1e3"),
        ("user", "create"),
        ("user", "create", "ada", "--role", "emperor"),
        ("user", "role", "ada"),
        ("user", "delete"),
        ("user", "enable", "ada", "--yes"),
        ("token", "ada", "--count", "-1"),
        ("serve", "--fast"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The usage is printed, on standard error."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: seatsync" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists every command."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {command}" in shown for command in ("serve", "migrate", "seed", "user", "token", "psql"))


def test_every_command_exists() -> None:
    """The parser names the functions of the commands without importing them."""

    def names(parser: argparse.ArgumentParser) -> Iterator[str]:
        if name := parser.get_default("command"):
            yield name
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for inner in action.choices.values():
                    yield from names(inner)

    found = set(names(cli._parser()))
    assert len(found) >= 10
    assert all(callable(resolve_name(name)) for name in found)


def test_garbage_is_collected_from_the_command_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Not during the imports before, and never of what is imported."""
    gc.disable()
    assert cli.main(["protocol", "jsonschema"]) == 0
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000


def test_all_bad_settings_are_named_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each bad setting is one line on standard error; status 1, and nothing on standard output."""
    for name, value in {"PORT": "high", "DB_POOL_SIZE": "none", "JWT_SECRET": "short"}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["serve"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[:2] for line in err.splitlines()] == [
        ["seatsync:", "JWT_SECRET"],
        ["seatsync:", "PORT"],
        ["seatsync:", "DB_POOL_SIZE"],
    ]


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("command", ["serve", "serve --workers 2", "migrate"])
def test_an_unreachable_database_is_one_sentence(command: str) -> None:
    """An unreachable database is one sentence on standard error."""
    done = run(*command.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert "hidden-word" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("seatsync: ")


def test_an_invalid_address_is_one_sentence(
    unreachable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invalid address is one sentence with the setting and the fault, without the password."""
    monkeypatch.setenv("DATABASE_URL", f"{unreachable}?sslmood=require")
    assert cli.main(["serve"]) == 1
    err = capsys.readouterr().err
    assert "hidden-word" not in err
    last = err.splitlines()[-1]
    assert last.startswith("seatsync: DATABASE_URL is not an address")
    assert "sslmood" in last


@pytest.mark.usefixtures("unreachable")
def test_a_taken_port_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is one sentence that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("PORT", port)
        assert cli.main(["serve"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("seatsync: ")
    assert port in err.splitlines()[-1]


@pytest.mark.usefixtures("environment")
def test_an_unexpected_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug shows its traceback; only what a user can cause becomes a sentence."""

    def broken(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(database, "load_settings", broken)
    with pytest.raises(LookupError):
        cli.main(["migrate"])


def test_ctrl_c_exits_as_shells_expect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C prints nothing."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(database, "load_settings", interrupted)
    assert cli.main(["migrate"]) == 130
    assert capsys.readouterr().err == ""


def test_migrate_prints_what_it_applied(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first run prints the applied migrations, the second has none."""
    for name, value in {"DATABASE_URL": empty_database_url, "JWT_SECRET": SECRET, "SECRETS_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "0001_user"
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr().out == ""


def test_seed_demo_adds_once(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Demo cinemas are added to an empty database only."""
    assert cli.main(["seed", "demo"]) == 0
    cinemas = fetchval(environment, "select count(*) from cinema")
    assert cinemas == 3
    assert capsys.readouterr() == ("", "")
    assert cli.main(["seed", "demo"]) == 0
    assert "nothing was added" in capsys.readouterr().err
    assert fetchval(environment, "select count(*) from cinema") == cinemas


def test_seed_hall_prints_the_id_and_nothing_else(environment: str) -> None:
    """Standard output is the id alone, for scripts."""
    done = run("seed", "hall", "--seats", "1234", "--name", "Big")
    assert done.returncode == 0
    assert done.stdout == f"{int(done.stdout)}\n"
    assert fetchval(environment, f"select count(*) from seat where hall_id = {int(done.stdout)}") == 1234
    assert fetchval(environment, f"select name from hall where id = {int(done.stdout)}") == "Big"


@pytest.mark.usefixtures("environment")
def test_a_closed_pipe_prints_no_traceback() -> None:
    """A closed pipe, as in `seatsync token … | head -1`, prints no traceback, nor does Python at the exit."""
    with subprocess.Popen(
        [sys.executable, "-m", "seatsync", "token", "loader", "--create"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.usefixtures("environment")
def test_a_closed_pipe_may_be_noticed_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is buffered, as with PYTHONUNBUFFERED."""
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(os.fdopen(writer, "wb", buffering=0), write_through=True) as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert cli.main(["token", "loader", "--create"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [["serve"], ["secrets", "rotate"], ["user", "create", "bob"]], ids=" ".join)
def test_a_wrong_secrets_key_is_one_sentence(
    environment: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the key that is missing, at the start and not at the first login; nothing is encrypted with another."""
    assert cli.main(["token", "ada", "--create"]) == 0
    for name, value in {"SECRETS_KEY": SECRET[::-1], "PORT": "0", "WS_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert cli.main(command) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("seatsync: SECRETS_KEY, or ")
    assert key_id(SECRET) in last
    assert fetchval(environment, "select count(*) from app_user") == 1


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment without settings but for a data directory."""
    with scratch_directory() as directory:
        monkeypatch.setenv("SEATSYNC_DATA", str(directory / "data"))
        monkeypatch.chdir(directory)
        yield directory / "data"


def test_with_nothing_set_everything_is_made_and_kept(embedded: Path) -> None:
    """The first command makes database and secret, the next finds them, and no process is left.

    Variables of PostgreSQL's clients are meant for another server.
    """
    foreign = {
        "PGSSLMODE": "verify-full",
        "PGCHANNELBINDING": "require",
        "PGOPTIONS": "-c no_such_setting=1",
        "PGSERVICE": "none",
        "PGTARGETSESSIONATTRS": "read-only",
        "PGHOSTADDR": "192.0.2.1",
    }
    printed = []
    for command in (["migrate"], ["token", "ada", "--create"], ["token", "ada"]):
        done = run(*command, **foreign)
        assert (done.returncode, done.stderr) == (0, "")
        printed.append(done.stdout.strip())
    secret, key = embedded / "jwt_secret", embedded / "secrets_key"
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (secret, key))
    assert secret.read_text() != key.read_text()
    tokens = Tokens(secret.read_text().strip())
    claims = [tokens.verify(token) for token in printed[1:]]
    assert claims[0].user_id == claims[1].user_id
    assert not (embedded / "postgres" / "postmaster.pid").exists()


def test_serve_ends_with_its_postgres(embedded: Path, new_cluster: Path) -> None:
    """At Ctrl-C the server and its PostgreSQL end with status 0."""
    copy_cluster(new_cluster, embedded / "postgres")
    with subprocess.Popen(
        [sys.executable, "-m", "seatsync", "serve", "--demo"],
        env=os.environ | {"PORT": "0", "WS_PORT": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("ws://localhost:" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert not (embedded / "postgres" / "postmaster.pid").exists()


def test_a_data_directory_that_cannot_be_used_is_one_sentence(
    embedded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unusable data directory is one sentence that names the setting."""
    embedded.write_text("")
    assert cli.main(["migrate"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("seatsync: ")
    assert "SEATSYNC_DATA" in err
    assert err.count("\n") == 1


def test_the_version_is_the_packages() -> None:
    """`--version` prints the package's version, and imports nothing that a server needs."""
    command = [sys.executable, "-X", "importtime", "-m", "seatsync", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("seatsync 0.")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "seatsync.cli.main" in imported
    assert not imported & {"trio", "psycopg", "structlog", "rich", "qrcode", "prometheus_client"}
