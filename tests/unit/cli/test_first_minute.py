"""What a person sees first: the lines of a start, lists of what there is, and sentences where there is nothing."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyotp
import pytest

from seatsync.cli import main as cli
from seatsync.user.keyring import Keyring
from tests.support.command import SECRET, Output, run_on
from tests.support.database import execute

pytestmark = pytest.mark.usefixtures("restored_logs", "directory")

FREE_PORTS = ("--port", "0", "--ws-port", "0", "--host", "127.0.0.1")


class Impatient(Output):
    """Presses Ctrl-C when it reads that the server is ready."""

    def write(self, text: str) -> int:
        """Read what is printed."""
        count = super().write(text)
        if "ready" in text:
            signal.raise_signal(signal.SIGINT)
        return count


def served(*options: str, **environ: str) -> tuple[str, str]:
    """What ``serve`` prints and logs until it has been ready and has ended."""
    out, err = Impatient(), Impatient()
    assert run_on(io.StringIO(), out, err, "serve", *FREE_PORTS, *options, **environ) == 0
    return out.text(), err.text()


def test_a_demo_greets_in_a_few_lines_and_logs_none(environment: str) -> None:
    """What there is, where, and that whoever registers may write; the migrations of a new database are no news."""
    out, err = served("--demo")
    head, *lines = out.splitlines()
    assert head.startswith("Seats Sync, ready in ")
    assert head.endswith(" s: 3 cinemas, 8 halls. Ctrl-C ends it.")
    assert [line.split()[0] for line in lines] == ["open", "WebSocket", "an", "SQL", "demo"]
    (line,) = err.splitlines()
    assert "stopping" in line


def test_json_logs_are_one_stream_of_json(environment: str) -> None:
    """Standard output stays empty, and the line `ready` has what the greeting has."""
    execute(environment, "insert into cinema (name) values ('Astoria')")
    out, err = served(LOG_FORMAT="json", DEFAULT_ROLE="operator")
    assert out == ""
    ready, warning, stopping = (json.loads(line) for line in err.splitlines())
    assert (ready["event"], ready["cinemas"], ready["halls"]) == ("ready", 1, 0)
    assert ready["http"].startswith("http://localhost:")
    assert ready["websocket"].startswith("ws://localhost:")
    assert (warning["event"], stopping["event"]) == ("settings", "stopping")


@pytest.mark.parametrize("after_s", [0.05, 0.15, 0.3, 0.5])
def test_an_early_interrupt_shows_no_traceback(environment: str, after_s: float) -> None:
    """Also while the command line is still imported."""
    with subprocess.Popen(
        [sys.executable, "-m", "seatsync", "serve", *FREE_PORTS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(after_s)  # a person's hand: whatever runs then, the outcome is the same
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    # Until the first lines of `__main__` have run, Python itself may write one: of its own files, and of these lines.
    assert re.search(r"/seatsync/__main__\.py\", line \d+, in main", err) is None, err
    assert "/seatsync/cli/" not in err, err


def test_other_commands_make_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They name the directory that they have looked in."""
    for command in (["user", "list"], ["psql"], ["token", "ada"], ["halls"]):
        assert cli.main(command) == 1
        assert capsys.readouterr().err.startswith(f"seatsync: There is no database in {tmp_path}/.seatsync (")
    assert list(tmp_path.iterdir()) == []


def test_cinemas_and_halls_are_listed(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names with what is counted."""
    assert cli.main(["seed", "demo"]) == 0
    assert cli.main(["cinemas"]) == 0
    cinemas = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert cli.main(["halls"]) == 0
    halls = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert (len(cinemas), len(halls)) == (3, 8)
    for _, name, _, count, seats in cinemas:
        own = [hall for hall in halls if hall[1] == name]
        assert (len(own), sum(int(hall[3]) for hall in own)) == (int(count), int(seats))
    assert all(int(hall[3]) == sum(map(int, hall[4:])) for hall in halls)


BERLIN = ("--tz", "Europe/Berlin")


def test_a_report_is_printed(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Up to now, also where no server rolls it up; as CSV for other programs; days and times are those of the zone."""
    assert cli.main(["seed", "demo"]) == 0
    span = ["report", "3", "--from", "2020-02-28", "--to", "2020-03-01"]
    assert cli.main(span) == 0
    hours = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [len(hours), hours[0]] == [48, ["2020-02-28 00:00", *"------"]]
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    whole = ["--from", today, "--to", f"{today}T23:59:59+00:00", "--bucket", "day", "--csv"]
    assert cli.main(["report", "3", *whole]) == 0
    head, day = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
    assert head[:4] == ["from", "seats_count", "occupied_avg", "occupied_peak"]
    assert day[:2] == [today, "24"]
    assert 0 <= float(day[2]) <= float(day[3]) == 5
    assert cli.main([*span, "--bucket", "day", *BERLIN, "--csv"]) == 0
    days = capsys.readouterr().out.split("\r\n")[1:]
    assert days == ["2020-02-28,,,,,,", "2020-02-29,,,,,,", ""]
    assert cli.main(["report", "3", "--from", "2026-10-25T01:00+02:00", "--to", "2026-10-25T03:00", *BERLIN]) == 0
    assert [line[:16] for line in capsys.readouterr().out.splitlines()] == [
        *("2026-10-25 01:00", "2026-10-25 02:00", "2026-10-25 02:00")
    ]


def test_a_report_of_a_cinema(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All of its halls together, until now where no end is given."""
    assert cli.main(["seed", "demo"]) == 0
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert cli.main(["report", "--cinema", "1", "--from", today, "--bucket", "day"]) == 0
    assert capsys.readouterr().out.split("\t")[:2] == [today, "614"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["99", "--from", "2020-02-28", "--to", "2020-03-01"], "There is no such hall."),
        (["3", "--from", "2020-02-28", "--to", "2020-02-28"], "to: a time after from is needed."),
        (["3", "--from", "2020-02-28", "--to", "2020-03-01", "--tz", "Mars"], "tz: the name of an IANA time zone is"),
        (["3", "--from", "2020-01-01", "--to", "2020-03-01"], "to: at most 1000 hours after from are allowed."),
    ],
)
def test_a_report_that_cannot_be(
    environment: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """One sentence says why."""
    assert cli.main(["seed", "demo"]) == 0
    assert cli.main(["report", *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"seatsync: {message}")


def test_the_present_code_is_printed(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That of the authenticator, whatever the name's case."""
    secret = pyotp.random_base32()
    stored = Keyring([SECRET]).encrypt("ada", secret)
    execute(environment, f"insert into app_user (username, totp_secret) values ('ada', '{stored}')")
    before = pyotp.TOTP(secret).now()
    assert cli.main(["code", "ADA"]) == 0
    assert capsys.readouterr().out.strip() in {before, pyotp.TOTP(secret).now()}
    assert cli.main(["code", "eve"]) == 1
    assert capsys.readouterr().err == "seatsync: There is no such user.\n"


def test_the_help_of_psql_says_whose_it_is(environment: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Ours first, then psql's own."""
    assert cli.main(["psql", "--help"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("usage: seatsync psql ")
    assert "psql is the PostgreSQL interactive terminal" in out
