"""The commands that make users and tokens, and encrypt secrets anew: what each prints, refuses, and leaves."""

import io
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import qrcode

from seatsync.cli import main as cli
from seatsync.user.keyring import Keyring, key_id
from seatsync.user.tokens import Tokens
from tests.support.command import SECRET
from tests.support.database import fetchval

pytestmark = pytest.mark.usefixtures("restored_logs", "directory")


def test_user_create_prints_what_the_user_needs(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A QR code, the same as a URI, and the recovery phrase."""
    assert cli.main(["user", "create", "ada", "--role", "admin"]) == 0
    out = capsys.readouterr().out
    assert "█" in out
    assert "\notpauth://totp/" in out
    assert fetchval(environment, "select role::text from app_user where username = 'ada'") == "admin"
    assert cli.main(["user", "create", "bob"]) == 0
    assert fetchval(environment, "select role::text from app_user where username = 'bob'") == "viewer"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_user_create_on_any_terminal(environment: str, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """The QR code is drawn with what the terminal has, and is the one of the URI."""
    printed = io.BytesIO()
    with io.TextIOWrapper(printed, encoding) as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert cli.main(["user", "create", "ada"]) == 0
        lines = printed.getvalue().decode(encoding).splitlines()
    (uri,) = (line for line in lines if line.startswith("otpauth://totp/"))
    stored = fetchval(environment, "select totp_secret from app_user where username = 'ada'")
    assert uri.endswith(f"secret={Keyring([SECRET]).decrypt('ada', stored)}")
    code = qrcode.QRCode(border=2)
    code.add_data(uri)
    matrix = code.get_matrix()
    if encoding in {"utf-8", "cp437"}:
        rows = [line for line in lines if line.startswith(("██", "▀▀"))]
        drawn = [[one in dark for one in line] for line in rows for dark in (" ▄", " ▀")]
    else:
        rows = [line for line in lines if line.startswith("####")]
        drawn = [[line[i : i + 2] == "  " for i in range(0, len(line), 2)] for line in rows]
    assert drawn[: len(matrix)] == matrix


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_user_whose_secret_cannot_be_printed_is_not_added(environment: str) -> None:
    """Nobody would have the secret, and the name would be taken."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "seatsync", "user", "create", "ada"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert fetchval(environment, "select count(*) from app_user") == 0


@pytest.mark.usefixtures("environment")
def test_user_create_refuses_a_taken_or_odd_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A taken or invalid name is the error's own sentence, status 1."""
    assert cli.main(["user", "create", "ada"]) == 0
    capsys.readouterr()
    for name in ("ada", "a b"):
        assert cli.main(["user", "create", name]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("seatsync: ")
        assert err.count("\n") == 1


def test_token_prints_tokens_of_live_sessions(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One a line, each of a session of its own."""
    assert cli.main(["token", "loader", "--create", "--count", "3"]) == 0
    tokens = capsys.readouterr().out.split("\n")
    assert tokens.pop() == ""
    verified = [Tokens(SECRET).verify(token) for token in tokens]
    sessions = {claims.session_id for claims in verified}
    assert len(sessions) == 3
    assert all(isinstance(session, UUID) for session in sessions)
    assert fetchval(environment, "select count(*) from session") == 3


@pytest.mark.usefixtures("environment")
def test_token_makes_no_user_without_create(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name is an error unless ``--create`` is given."""
    assert cli.main(["token", "eve"]) == 1
    assert capsys.readouterr().err.startswith("seatsync: ")


def test_secrets_rotate_changes_the_key(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every secret is encrypted with the first key; the old one can be removed then, and not before."""
    assert cli.main(["token", "ada", "--create"]) == 0
    new = SECRET[::-1]
    monkeypatch.setenv("SECRETS_KEY", f"{new},{SECRET}")
    capsys.readouterr()
    for count in (1, 0):
        assert cli.main(["secrets", "rotate"]) == 0
        out = capsys.readouterr().out
        assert out == f"Secrets encrypted anew: {count}. All are under the key {key_id(new)}.\n"
    assert fetchval(environment, "select split_part(totp_secret, ':', 1) from app_user") == key_id(new)
    monkeypatch.setenv("SECRETS_KEY", new)
    assert cli.main(["user", "create", "bob"]) == 0
