"""The commands about plans, as the plans' page has them."""

import io
import json
from pathlib import Path

import pytest

from seatsync.cli import main as cli
from tests.support.command import run
from tests.support.database import execute, fetchval
from tests.support.readme import PLAN, read_page

pytestmark = pytest.mark.usefixtures("restored_logs", "directory")


@pytest.fixture
def salon(environment: str) -> str:
    """The database, with the demo cinemas."""
    assert cli.main(["seed", "demo"]) == 0
    return environment


def test_a_hall_moves_to_another_cinema(salon: str) -> None:
    """What the page shows first: export to files, and an import that prints the id alone."""
    for line in read_page(PLAN).code("sh", "Export and import")[0].splitlines():
        _, *arguments = line.partition(" > ")[0].split()
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        if " > " in line:
            Path(line.partition(" > ")[2]).write_text(done.stdout)
    assert done.stdout == "9\n"
    assert json.loads(Path("salon.json").read_text())["name"] == "Salon"
    assert run("hall", "export", "9", "--format", "csv").stdout == Path("salon.csv").read_text()
    assert fetchval(salon, "select cinema_id || name from hall where id = 9") == "2Annexe"


def test_a_plan_replaces_another(salon: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what has become of the seats; the name stays unless another is given."""
    assert cli.main(["hall", "export", "3", "--format", "csv"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    execute(salon, "update seat set status = 'OCCUPIED' where hall_id = 3 and row = 1")
    plan = [head, *lines[3:], lines[0].replace("1,1,", "9,1,")]
    plan[1] = plan[1].replace("VIP", "Comfort")
    Path("salon.csv").write_text("\n".join(plan))
    ((command,),) = [line.splitlines() for line in read_page(PLAN).code("sh", "Replacing a plan")]
    assert cli.main(command.split()[1:]) == 1
    refused = "3 seats would lose a status other than VACANT: with --yes it is done."
    assert capsys.readouterr() == ("", f"seatsync: {refused}\n")
    assert fetchval(salon, "select count(*) from seat where hall_id = 3") == 24
    assert cli.main([*command.split()[1:], "--yes"]) == 0
    assert capsys.readouterr().out == (
        "Hall 3: 20 seats kept, 1 moved, 1 added, 3 removed; 3 lost a status other than VACANT.\n"
    )
    assert fetchval(salon, "select name from hall where id = 3") == "Salon"
    execute(salon, "update seat set status = 'RESERVED' where hall_id = 3 and row = 2")
    assert cli.main(["hall", "import", "salon.csv", "--replace", "3", "--name", "New", "--yes"]) == 0
    assert fetchval(salon, "select name from hall where id = 3") == "New"
    assert fetchval(salon, "select count(*) from seat where hall_id = 3 and status <> 'VACANT'") == 0


def test_the_examples_of_the_page_can_be_taken(salon: str) -> None:
    """The plans, and the function by SQL."""
    page = read_page(PLAN)
    for language in ("json", "csv"):
        (text,) = page.code(language)
        Path("plan").write_text(text)
        assert cli.main(["hall", "import", "plan", "--cinema", "1", "--name", language]) == 0
    (statement,) = page.code("sql")
    execute(salon, statement)
    assert fetchval(salon, "select count(*) from seat where hall_id = 3") == 1


def test_failures_are_sentences(salon: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With status 1, and nothing is changed."""
    Path("good.csv").write_text("row,place\n1,1")
    Path("bad.csv").write_text("row,place\n1,0\n2,0")
    for arguments, said in {
        ("bad.csv", "--cinema", "1"): "bad.csv has 2 faults.",
        ("good.csv", "--cinema", "1"): "good.csv does not name the hall: --name NAME does.",
        ("good.csv", "--cinema", "99", "--name", "x"): "There is no such cinema.",
        ("good.csv", "--replace", "99"): "There is no such hall.",
        ("gone.csv", "--cinema", "1"): "gone.csv: No such file or directory.",
        ("good.csv", "--cinema", "1", "--keep-status"): "--keep-status goes with --replace: "
        "the seats of a new hall have no status to keep.",
    }.items():
        assert cli.main(["hall", "import", *arguments]) == 1
        out, err = capsys.readouterr()
        assert (out, err.splitlines()[0]) == ("", f"seatsync: {said}")
        assert all(line.startswith("seatsync: ") for line in err.splitlines())
    assert cli.main(["hall", "export", "99"]) == 1
    assert fetchval(salon, "select count(*) from hall") == 8


def test_a_terminal_is_not_controlled_by_a_plan(
    salon: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed to a terminal is printable."""
    execute(salon, "update seat set section = E'A\u202eB' where hall_id = 3")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", terminal)
    assert cli.main(["hall", "export", "3", "--format", "csv"]) == 0
    terminal.seek(0)
    printed = terminal.read()
    assert "A\\u202eB,1,1" in printed
    assert "\u202e" not in printed
