"""The design's arrows between modules, core's ignorance of the domains, and the packages that `setup.cfg` declares.

Read from the source: imports inside functions and under TYPE_CHECKING count too, but for what a process loads.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "seatsync"

FOUNDATION = {"errors", "config", "jsontext"}
LEAVES = FOUNDATION | {"core.telemetry", "core.bucket", "core.stopping", "core.timing"}
CORE = LEAVES | {
    "core.net",
    "core.websocket",
    "core.http",
    "core.protocol",
    "core.connections",
    "core.channels",
    "core.postgres",
    "core.embedded",
}

ARROWS: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "jsontext": set(),
    "terminal": set(),
    "web": set(),
    "config": {"errors"},
    "core": set(),
    "core.bucket": set(),
    "core.stopping": set(),
    "core.timing": set(),
    "core.telemetry": FOUNDATION | {"core.bucket"},
    "core.embedded": LEAVES,
    "core.postgres": LEAVES,
    "core.net": LEAVES,
    "core.protocol": LEAVES,
    "core.websocket": LEAVES | {"core.net", "core.protocol"},
    "core.http": LEAVES | {"core.net", "core.protocol"},
    "core.channels": LEAVES | {"core.net", "core.protocol", "core.websocket"},
    "core.connections": LEAVES | {"core.net", "core.protocol", "core.websocket", "core.channels"},
    "cinema": CORE,
    "hall": CORE,
    "user": CORE,
    "schema": CORE,
    "plan": CORE | {"schema", "terminal"},
    "seed": CORE | {"plan"},
    "app": CORE | {"cinema", "hall", "user", "schema"},
    "serve": CORE | {"app", "seed", "user", "terminal"},
    "client": {"errors", "jsontext"},
    "load": {"errors", "jsontext", "terminal", "client"},
    "cli": CORE | {"serve", "app", "seed", "plan", "cinema", "hall", "user", "schema", "client", "load", "terminal"},
    "__main__": {"cli"},
}
"""Which rooms each room may import, besides itself."""

ONLY_IN = {
    "orjson": {"jsontext.py"},
    "wsproto": {"core/websocket/frames.py", "client/link.py"},
    "trio_websocket": {"client/link.py"},
    "psycopg": {"core/postgres/session.py", "core/postgres/values.py"},
}
"""A library that one layer hides from all others."""

SERVER = {"app", "cinema", "hall", "core.http", "core.websocket", "core.channels", "wsproto", "jwt", "cattrs"}
NOT_LOADED = {
    "cli.main": {"trio", "psycopg", "structlog", "rich", "qrcode", "schema"},
    "cli.psql": {"trio", "psycopg", "structlog", "cryptography"},
    "cli.database": SERVER | {"user", "seed", "cryptography"},
    "cli.users": {"app", "seed", "hall", "plan"},
    "serve.process": {"rich", "qrcode", "plan", "load", "schema"},
    "serve.worker": {"serve.process", "core.embedded", "rich", "qrcode", "plan", "load", "schema"},
    "app": {"serve", "core.embedded", "rich", "qrcode", "plan", "load", "schema"},
}
"""What does not delay the start of a process: rooms, modules and libraries that the import of a module leaves out."""

DOMAIN_WORDS = {
    *("hall", "halls", "seat", "seats", "cinema", "cinemas"),
    *("vacant", "reserved", "occupied", "maintenance"),
    *("viewer", "operator", "admin"),
}
DOMAIN_METHOD = re.compile(r"\buser\.[a-z]|/user\b")
PRODUCT = re.compile("seats? ?sync", re.IGNORECASE)
"""The product's name is no domain word."""

#: The recipes are programs of testers' own tools, in no package.
RECIPES = PACKAGE / "load/recipes"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.parent != RECIPES)


def modules(prefix: str = "") -> list[str]:
    """The files below a folder."""
    return [name for name in MODULES if name.startswith(prefix)]


def dotted(module: str) -> str:
    """A file's name as a module's, without `seatsync`: ``core/net/stream.py`` is ``core.net.stream``."""
    return module.removesuffix(".py").replace("/", ".").removesuffix("__init__").removesuffix(".")


OURS = {dotted(module): module for module in MODULES}


@cache
def imports(module: str) -> frozenset[str]:
    """Every module that a file imports, by its full name; names from a package count as modules."""
    return frozenset(_imports(ast.parse((PACKAGE / module).read_text())))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(module: str) -> set[str]:
    """The project's own modules among a file's imports, as `dotted` names them."""
    found = (
        name.removeprefix("seatsync").removeprefix(".") for name in imports(module) if re.match(r"seatsync\b", name)
    )
    return {name if name in OURS else name.rpartition(".")[0] for name in found if not name.startswith("sql")}


def room(name: str) -> str:
    """The part of the code that a module belongs to: a room of core, else a package or file of the top level."""
    parts = name.split(".")
    return ".".join(parts[:2] if parts[0] == "core" else parts[:1])


def loaded(module: str) -> set[str]:
    """What the import of one of our modules loads: our modules and rooms as `dotted` names them, and libraries."""
    found: set[str] = set()
    left = {module}
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        if name in OURS:
            path, _, _ = name.rpartition(".")
            left.add(path)
            for full in _imports_at_once(ast.parse((PACKAGE / OURS[name]).read_text())):
                library, _, rest = full.partition(".")
                left |= {rest, rest.rpartition(".")[0]} & set(OURS) if library == "seatsync" else {library}
    return found | set(map(room, found))


def _imports_at_once(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(ast.Module([node], []))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports_at_once(node)


@cache
def graph() -> dict[str, set[str]]:
    """The modules that each module imports."""
    return {name: ours(module) - {name} for name, module in OURS.items()}


@pytest.mark.parametrize("module", modules())
def test_imports_follow_the_arrows(module: str) -> None:
    """Rooms import only rooms below them: core no domain, no domain another, load nothing of the server."""
    here = room(dotted(module))
    assert {room(name) for name in graph()[dotted(module)]} - {here} <= ARROWS[here]


def test_every_arrow_leads_to_a_room() -> None:
    """Every room of the table exists."""
    rooms = {room(name) for name in OURS}
    assert set(ARROWS) == rooms
    assert set().union(*ARROWS.values()) <= rooms


def test_no_modules_import_in_a_circle() -> None:
    """Modules import without circles, type-only imports included."""
    assert circle(graph()) is None


def test_no_rooms_import_in_a_circle() -> None:
    """Rooms import without circles."""
    rooms: dict[str, set[str]] = {}
    for name, targets in graph().items():
        rooms.setdefault(room(name), set()).update(room(target) for target in targets)
    assert circle({name: targets - {name} for name, targets in rooms.items()}) is None


def circle(targets: Mapping[str, set[str]]) -> list[str] | None:
    """A circle of the graph, or none."""
    try:
        TopologicalSorter(targets).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return None


def test_a_circle_is_found() -> None:
    """The check finds a circle."""
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) is not None
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None


@pytest.mark.parametrize(("module", "others"), NOT_LOADED.items())
def test_a_process_loads_what_it_uses(module: str, others: set[str]) -> None:
    """The help needs no database, a command no server, and a server no load generator."""
    found = loaded(module)
    assert module in found
    assert not found & others


def test_what_is_loaded_is_found() -> None:
    """Over several modules, but not what a function imports; a package with its modules, and libraries."""
    assert {"app", "core", "core.http", "core.http.server", "h11", "trio"} <= loaded("app")
    assert "schema" in {room(name) for name in graph()["app"]} - loaded("app")


@pytest.mark.parametrize("module", modules("core/"))
def test_core_names_no_domain(module: str) -> None:
    """No identifier and no string of core is a domain's word, roles included: domains hand such things in."""
    tree = ast.parse((PACKAGE / module).read_text())
    assert {text for text in _identifiers_and_strings(tree) if is_of_a_domain(text)} == set()


def test_core_names_no_domain_in_sql() -> None:
    """Its queries touch its own tables alone."""
    text = (ROOT / "sql" / "queries" / "system.sql").read_text()
    assert [line for line in text.splitlines() if is_of_a_domain(line)] == []


def is_of_a_domain(text: str) -> bool:
    """The text has a domain's word or method; words of one identifier are apart."""
    text = PRODUCT.sub("", text)
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)
    return not DOMAIN_WORDS.isdisjoint(map(str.lower, words)) or DOMAIN_METHOD.search(text) is not None


def test_domain_words_are_found() -> None:
    """Domain words are found in every spelling of identifiers, but not within other words."""
    for text in ("HallNotFound", "write_batch_seats", "VACANT", '"user.status"', "/api/user/", "the hall", "seatId"):
        assert is_of_a_domain(text), text
    for text in ("SeatSyncError", "seatsync", "Seats Sync", "shall", "username", "user", "administration"):
        assert not is_of_a_domain(text), text


def _identifiers_and_strings(tree: ast.AST) -> Iterator[str]:
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in prose:
            continue
        match node:
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.arg(arg=text) | ast.alias(name=text):
                yield text
            case ast.FunctionDef(name=text) | ast.AsyncFunctionDef(name=text) | ast.ClassDef(name=text):
                yield text
            case ast.keyword(arg=str(text)) | ast.Constant(value=str(text)):
                yield text
            case ast.Constant(value=bytes(data)):
                yield data.decode("latin-1")


@pytest.mark.parametrize(("library", "allowed"), ONLY_IN.items())
def test_a_library_stays_behind_its_layer(library: str, allowed: set[str]) -> None:
    """Replacing the library changes that layer alone."""
    using = {name for name in MODULES if any(found.split(".")[0] == library for found in imports(name))}
    assert using <= allowed
    assert using


def test_imported_and_declared_packages_are_the_same() -> None:
    """An installation has every package that the code imports, and no other."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    declared = {_normal(line) for line in setup["options"]["install_requires"].split("\n") if line}
    owners = packages_distributions()
    roots = {name.split(".")[0] for module in MODULES for name in imports(module)}
    foreign = roots - set(sys.stdlib_module_names) - {"seatsync"}
    assert {_normal(owners.get(root, [root])[0]) for root in foreign} == declared


def _normal(requirement: str) -> str:
    """A distribution's name without version, as indexes compare it (PEP 503)."""
    return re.split(r"[>=<\[]", requirement)[0].lower().replace("_", "-")
