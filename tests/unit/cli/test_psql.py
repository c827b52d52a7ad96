"""The command `psql`: its database, where the password goes, and what it does without the program."""

import pytest

from seatsync.cli import main as cli
from seatsync.cli import psql
from tests.support.database import execute

pytestmark = pytest.mark.usefixtures("restored_logs", "directory")


def test_psql_runs_on_the_database_in_use(environment: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Arguments are passed to psql; its output and status are returned."""
    execute(environment, "create table proof as select 'here' as word")
    assert cli.main(["psql", "-AtXc", "select word from proof"]) == 0
    assert capfd.readouterr().out == "here\n"
    assert cli.main(["psql", "-Xc", "select nothing"]) == 1


def test_psql_hides_the_password_from_the_process_list() -> None:
    """The password is passed in the environment, decoded."""
    dsn = "postgresql://seats:p%40ss@db.example.org:5433/seats?sslmode=require"
    address, environ = psql._without_password(dsn)
    assert address == "postgresql://seats@db.example.org:5433/seats?sslmode=require"
    assert environ["PGPASSWORD"] == "p@ss"


def test_without_psql_the_address_is_printed(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without psql the address is printed, for another client."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(psql, "find_program", lambda _: None)
    assert cli.main(["psql"]) == 0
    assert capsys.readouterr().out == f"{environment}\n"
