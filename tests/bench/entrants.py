"""The field, ready to start: what is missing on this machine is left out, with the reason."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from attrs import define, field, frozen

from tests.bench.machine import Cores
from tests.bench.processes import BenchError, Server, python, started

FLOOR, PICOWS, WEBSOCKETS, NODE, TRIO = "C send loop", "picows", "websockets", "Node ws", "trio-websocket"

_PROGRAMS = Path(__file__).parent / "field"
_READY = re.compile(rb"ready (\d+)\n")
_WS_MAJOR = "8"
_INSTALL_S = 120


@frozen
class Program:
    """How to start a server of the field, but for the file with its answer."""

    command: list[str]
    environment: Mapping[str, str] = field(factory=dict)


@define
class Field:
    """The servers beside ours."""

    programs: dict[str, Program]
    absent: dict[str, str]
    """Those that cannot run here, and why."""
    node_ws: str | None
    """The version of ws."""
    _directory: Path
    _cores: Cores

    @contextmanager
    def run(self, name: str, answer: bytes = b"{}") -> Iterator[Server]:
        """One of them, answering every message with ``answer``, on the server's core. Raises `BenchError`."""
        program = self.programs[name]
        file = self._directory / "answer"
        file.write_bytes(answer)
        log = self._directory / f"{name.replace(' ', '_')}.log"
        command = [*program.command, str(file)]
        with started(
            name, command, _READY, cores={self._cores.server}, log=log, environment=program.environment
        ) as server:
            yield server


@contextmanager
def open_field(cores: Cores) -> Iterator[Field]:
    """Compile and install what can be; the directory it is in goes at the end."""
    with tempfile.TemporaryDirectory(prefix="seatsync-field-") as name:
        directory = Path(name)
        made = Field({}, {}, None, directory, cores)
        preparations: dict[str, Callable[[Path], Program]] = {
            FLOOR: _compile,
            PICOWS: lambda _: _module("picows_server", "picows", "uvloop"),
            WEBSOCKETS: lambda _: _module("websockets_server", "websockets", "uvloop"),
            NODE: _install_ws,
            TRIO: lambda _: _module("trio_websocket_server", "trio_websocket"),
        }
        for entrant, prepare in preparations.items():
            try:
                made.programs[entrant] = prepare(directory)
            except BenchError as error:
                made.absent[entrant] = str(error)
        if NODE in made.programs:
            made.node_ws = _ws_version(_cache())
        yield made


def _compile(directory: Path) -> Program:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchError("there is no C compiler")
    program = directory / "c_loop"
    done = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(_PROGRAMS / "c_loop.c")], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"it does not compile: {done.stderr.strip().partition(chr(10))[0]}")
    return Program([str(program)])


def _module(name: str, *needed: str) -> Program:
    for package in needed:
        if find_spec(package) is None:
            raise BenchError(f"{package} is not installed (the extra `bench`)")
    return Program(python(f"tests.bench.field.{name}"))


def _install_ws(_: Path) -> Program:
    """ws, installed once into the user's cache."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise BenchError("there is no node, or no npm")
    cache = _cache()
    if _ws_version(cache) is None:
        cache.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(cache), "--no-audit", "--no-fund", f"ws@{_WS_MAJOR}"]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=_INSTALL_S)
        except subprocess.TimeoutExpired:
            raise BenchError("npm does not get ws: it took too long") from None
        if done.returncode != 0 or _ws_version(cache) is None:
            raise BenchError("npm cannot install ws")
    return Program([node, str(_PROGRAMS / "node_ws.js")], {"NODE_PATH": str(cache / "node_modules")})


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatsync-bench"


def _ws_version(cache: Path) -> str | None:
    manifest = cache / "node_modules" / "ws" / "package.json"
    if not manifest.is_file():
        return None
    version: str = json.loads(manifest.read_text())["version"]
    return version
