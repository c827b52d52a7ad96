"""Packaging: the content of an installation, by `setup.cfg`, and the targets of the Makefile."""

import re
import subprocess
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

from seatsync.core.http.files import TYPES

ROOT = Path(__file__).parents[2]


def setup() -> ConfigParser:
    """The content of `setup.cfg`."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_package_is_listed() -> None:
    """A directory that is not listed would be missing after `pip install`, and there alone."""
    found = {".".join(path.relative_to(ROOT).parent.parts) for path in (ROOT / "seatsync").rglob("__init__.py")}
    assert set(setup()["options"]["packages"].split()) == found | {"seatsync.sql"}


def test_every_sql_file_is_taken_along() -> None:
    """Migrations and queries are read from the installed package."""
    patterns = [pattern.strip() for pattern in setup()["options.package_data"]["seatsync.sql"].split(",")]
    files = [path.relative_to(ROOT / "sql").as_posix() for path in (ROOT / "sql").rglob("*.sql")]
    assert files
    assert all(any(fnmatch(name, pattern) for pattern in patterns) for name in files)


def test_every_file_of_the_page_is_taken_along() -> None:
    """The server reads the page and the client from the installed package."""
    web = ROOT / "seatsync" / "web"
    patterns = [pattern.strip() for pattern in setup()["options.package_data"]["seatsync.web"].split(",")]
    taken = {path for pattern in patterns for path in web.glob(pattern)}
    assert {web / "index.html", web / "client.js", web / "client.d.ts"} <= taken
    assert taken == {path for path in web.rglob("*") if path.suffix in TYPES}


def test_tests_bring_the_embedded_database() -> None:
    """`make test` works on a machine without PostgreSQL."""
    assert "seatsync[embedded]" in setup()["options.extras_require"]["dev"].split()


def test_make_help_lists_every_target() -> None:
    """`make help` lists every target."""
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z0-9-]+):", text, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE)[0].split()
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607 -- whichever make there is
    assert re.findall(r"^make ([\w-]+)", shown, re.MULTILINE) == targets == phony
