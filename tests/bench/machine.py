"""This machine: its cores and who runs on which, and what a reader of the figures has to know of it."""

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from attrs import frozen

from seatsync.core.embedded.programs import find_program

_PACKAGES = ("trio", "wsproto", "psycopg", "orjson", "uvloop", "websockets", "picows", "trio-websocket")


@frozen
class Cores:
    """The cores that each part runs on."""

    server: int
    client: int
    others: frozenset[int]
    """Where PostgreSQL runs: every core but the server's."""
    all: frozenset[int]

    @classmethod
    def pick(cls) -> "Cores":
        """The first two of the cores that this process may use; with only one, everything shares it."""
        usable = sorted(os.sched_getaffinity(0))
        server, client = usable[0], usable[1 % len(usable)]
        return cls(server, client, frozenset(usable[1:] or usable), frozenset(usable))


@contextmanager
def running_on(cores: Iterable[int]) -> Iterator[None]:
    """Keep this thread, and every process that it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pids: Iterable[int], cores: Iterable[int]) -> None:
    """Move processes, with their threads, to these cores; what they start afterwards follows them."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                os.sched_setaffinity(int(task.name), cores)
            except ProcessLookupError:
                continue


def load_average() -> float:
    """The load of the last minute: what else the machine was doing."""
    return os.getloadavg()[0]


def describe(node_ws: str | None) -> dict[str, str]:
    """The machine and the versions of everything measured, by name; ``node_ws`` is the version of ws, if it ran."""
    described = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": _first_line([str(find_program("postgres") or "postgres"), "--version"]),
        "C": _first_line(["cc", "--version"]),
        "Node": _first_line(["node", "--version"]),
        "ws": node_ws or "",
    }
    for package in _PACKAGES:
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            continue
    return {name: value for name, value in described.items() if value}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(command: list[str]) -> str:
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout
    except OSError:
        return ""
    return printed.strip().partition("\n")[0]
