"""Who may import whom: the arrows of the design, and the packages that `setup.cfg` declares.

Read from the source, so that an import inside a function counts too.
"""

import ast
import re
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "seatsync"
DOMAINS = {"cinema", "hall", "user"}
FOUNDATION = {"seatsync.errors", "seatsync.config", "seatsync.config_text", "seatsync.core", "seatsync.sql"}

ONLY_IN = {
    "wsproto": {"core/websocket/frames.py"},
    "trio_websocket": {"cli/watch.py"},
    "asyncpg": {"core/postgres/pool.py"},
    "trio_asyncio": {"core/postgres/pool.py"},
    "psycopg": {"core/postgres/notifications.py"},
}
"""A library that one layer hides from all others."""

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imports(module: str) -> set[str]:
    """Every module that a file imports, by its full name; for names from a package, as if they were modules."""
    return set(_imports(ast.parse((PACKAGE / module).read_text())))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(module: str) -> set[str]:
    """The project's own modules among a file's imports, shortened to `seatsync.part`."""
    return {".".join(name.split(".")[:2]) for name in imports(module) if name.split(".")[0] == "seatsync"}


@pytest.mark.parametrize("module", ["errors.py", "config.py", "config_text.py", "__init__.py"])
def test_the_foundation_stands_on_nothing(module: str) -> None:
    """Errors and settings know nothing of the rest."""
    assert ours(module) <= {"seatsync.config_text", "seatsync.errors"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("core/")])
def test_core_knows_no_domain(module: str) -> None:
    """Core would serve any domain."""
    assert ours(module) <= FOUNDATION


@pytest.mark.parametrize("module", [name for name in MODULES if name.split("/")[0] in DOMAINS])
def test_no_domain_knows_another(module: str) -> None:
    """Each domain stands on core alone."""
    assert ours(module) <= {*FOUNDATION, f"seatsync.{module.partition('/')[0]}"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("load/")])
def test_the_load_generator_knows_the_protocol_alone(module: str) -> None:
    """What it verifies the server with is not the server's."""
    assert ours(module) <= {"seatsync.load"}


@pytest.mark.parametrize(("library", "allowed"), ONLY_IN.items())
def test_a_library_stays_behind_its_layer(library: str, allowed: set[str]) -> None:
    """To replace the library, one changes that layer and nothing else."""
    using = {name for name in MODULES if any(found.split(".")[0] == library for found in imports(name))}
    assert using <= allowed
    assert using


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    """An installation brings what the code needs, and nothing that it does not."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    declared = {_normal(line) for line in setup["options"]["install_requires"].split()}
    owners = packages_distributions()
    roots = {name.split(".")[0] for module in MODULES for name in imports(module)}
    foreign = roots - set(sys.stdlib_module_names) - {"seatsync"}
    assert {_normal(owners[root][0]) for root in foreign} == declared


def _normal(requirement: str) -> str:
    """A distribution's name without version, as indexes compare it (PEP 503)."""
    return re.split(r"[>=<\[]", requirement)[0].lower().replace("_", "-")
