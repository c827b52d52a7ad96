"""A share of a core for a process: what makes room on a small machine for several servers and their clients.

Through the control groups of Linux, version 1 or 2, where this process may make some (root, usually).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.processes import BenchError

_PERIOD_US = 10_000
_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def limited(pid: int, share: float) -> Iterator[None]:
    """Give a process, with its threads, that share of one core for the length of the block. Raises `BenchError`."""
    group, home, limits = _group(pid, share)
    try:
        group.mkdir()
        for file, text in limits.items():
            (group / file).write_text(text)
        (group / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        raise BenchError(f"control groups cannot be made here: {error.strerror}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (home / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def _group(pid: int, share: float) -> tuple[Path, Path, dict[str, str]]:
    """The group to make, the one its process goes back to, and what to write into its files."""
    quota = str(int(share * _PERIOD_US))
    name = f"seatsync-bench-{pid}"
    first = _ROOT / "cpu"
    if (first / "cpu.cfs_quota_us").exists() or (first / "cgroup.procs").exists():
        return first / name, first, {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": quota}
    return _ROOT / name, _ROOT, {"cpu.max": f"{quota} {_PERIOD_US}"}
