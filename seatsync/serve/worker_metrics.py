"""Metrics of all workers: each writes its own to a file every second, and the worker that is scraped merges the files.

A file is written aside, then renamed, so a reader never sees half of one. A worker that is stuck holds up no scrape:
its last file counts until it is stale.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import trio
from attrs import frozen

from seatsync.core.timing import Timing


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """Make a private directory for the length of the block, in memory on Linux. Raises `OSError`."""
    memory = Path("/dev/shm")  # noqa: S108 - the directory made in it is private
    parent = memory if os.access(memory, os.W_OK) else None
    with TemporaryDirectory(prefix="seatsync-metrics-", dir=parent, ignore_cleanup_errors=True) as directory:
        yield Path(directory)


def metrics_file(directory: Path, index: int) -> Path:
    """The file of one worker."""
    return directory / f"{index}.prom"


@frozen
class WorkerMetrics:
    """The metrics of one worker, and through it those of all.

    Once ``replaced`` is set, its file may be its successor's: it writes no more.
    """

    directory: Path
    index: int
    text: Callable[[], bytes]
    """Returns the worker's own exposition."""
    replaced: trio.Event
    timing: Timing = Timing()

    async def run(self) -> None:
        """Write the file every second until ``replaced`` is set; what cannot be written becomes stale."""
        aside = self.directory / f"{self.index}.{os.getpid()}.new"
        while not self.replaced.is_set():
            with suppress(OSError):
                aside.write_bytes(self.text())
                aside.rename(metrics_file(self.directory, self.index))
            with trio.move_on_after(self.timing.metrics_write_s):
                await self.replaced.wait()

    async def merged(self) -> bytes:
        """The metrics of all workers as one exposition; this worker's are those of now."""
        own = {} if self.replaced.is_set() else {self.index: self.text()}
        return await trio.to_thread.run_sync(lambda: merge_metrics(self._read_fresh() | own))

    def _read_fresh(self) -> dict[int, bytes]:
        """The files that are not stale, by worker."""
        oldest = time() - self.timing.metrics_stale_s
        reports = {}
        for path in self.directory.glob("*.prom"):
            with suppress(FileNotFoundError):  # the worker has ended
                if path.stat().st_mtime >= oldest:
                    reports[int(path.stem)] = path.read_bytes()
        return reports


def merge_metrics(reports: Mapping[int, bytes]) -> bytes:
    """Merge expositions by worker into one, each sample with the label ``worker``.

    The samples of a metric stay together, as the text format requires.
    """
    families: dict[str, dict[str, None]] = {}
    for index, report in sorted(reports.items()):
        family: dict[str, None] = families.setdefault("", {})
        for line in report.decode().splitlines():
            name, brace, rest = line.partition("{")
            if line.startswith("#"):
                family = families.setdefault(line.split(" ")[2], {})
                family[line] = None
            elif brace:
                family[f'{name}{{worker="{index}",{rest}'] = None
            else:
                family[line.replace(" ", f'{{worker="{index}"}} ', 1)] = None
    return "".join(f"{line}\n" for family in families.values() for line in family).encode()
