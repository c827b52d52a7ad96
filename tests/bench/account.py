"""CPU time and memory of processes, as the kernel accounts for them."""

import os
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

# Fields of /proc/PID/stat after the name, which may contain anything (proc(5)).
_PARENT, _USER, _SYSTEM, _USER_WAITED, _SYSTEM_WAITED = 1, 11, 12, 13, 14


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of processes that live on, all their threads together, exact to nanoseconds.

    Threads that have ended are not in it; those of an event loop do not.
    """
    spent_ns = 0
    for pid in pids:
        for account in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            spent_ns += int(account.read_text().split()[0])
    return spent_ns / 1e9


def family_cpu_s(pid: int) -> float:
    """CPU seconds of a process, its descendants, and those it has outlived, in the kernel's ticks of 10 ms."""
    ticks = 0
    for member in family(pid):
        fields = _stat(member)
        if fields:
            ticks += sum(int(fields[index]) for index in (_USER, _SYSTEM, _USER_WAITED, _SYSTEM_WAITED))
    return ticks / _TICKS_PER_S


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields:
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += children.get(member, ())
    return found


def rss_bytes(pid: int) -> int:
    """Resident memory of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def _stat(pid: int) -> list[str]:
    """The fields after the name; none if the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@frozen
class Spent:
    """A reading of the server's and of PostgreSQL's CPU time, in seconds."""

    server: float
    postgres: float

    def __sub__(self, earlier: "Spent") -> "Spent":
        return Spent(self.server - earlier.server, self.postgres - earlier.postgres)
