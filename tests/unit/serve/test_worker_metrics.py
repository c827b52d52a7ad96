"""The metrics of all workers: one file each, merged by the worker that is scraped."""

import os
import stat
from pathlib import Path
from time import time

import trio
import trio.testing

from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.serve.worker_metrics import WorkerMetrics, merge_metrics, metrics_directory, metrics_file

TIMING = Timing()


class Counting:
    """A worker's exposition that counts its reads."""

    def __init__(self) -> None:
        self.reads = 0

    def text(self) -> bytes:
        """One sample."""
        self.reads += 1
        return b"reads %d\n" % self.reads


def make_worker(directory: Path, index: int) -> WorkerMetrics:
    """The metrics of a worker that is not replaced."""
    return WorkerMetrics(directory, index, Counting().text, trio.Event())


def age(path: Path, seconds: float) -> None:
    """Make a file older."""
    written_at = time() - seconds
    os.utime(path, (written_at, written_at))


def test_the_directory_is_private_and_removed() -> None:
    """No other user reads or places a file there, whatever the umask."""
    before = os.umask(0)
    try:
        with metrics_directory() as directory:
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            metrics_file(directory, 0).write_bytes(b"")
    finally:
        os.umask(before)
    assert not directory.exists()


async def test_each_worker_writes_its_file_every_second(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Each file is written as a whole every second, until the worker is replaced."""
    replaced = trio.Event()
    metrics = WorkerMetrics(tmp_path, 3, Counting().text, replaced)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(metrics.run)
        await trio.sleep(2.5 * TIMING.metrics_write_s)
        assert metrics_file(tmp_path, 3).read_bytes() == b"reads 3\n"
        replaced.set()
    assert os.listdir(tmp_path) == ["3.prom"]  # noqa: PTH208 - the names


async def test_a_scrape_shows_all_workers(tmp_path: Path) -> None:
    """A scrape has the files of the other workers and the scraped one's present numbers."""
    one, other = make_worker(tmp_path, 0), make_worker(tmp_path, 1)
    with trio.move_on_after(0):
        await other.run()
    metrics_file(tmp_path, 0).write_bytes(b"reads 77\n")
    assert await one.merged() == b'reads{worker="0"} 1\nreads{worker="1"} 1\n'
    assert await one.merged() == b'reads{worker="0"} 2\nreads{worker="1"} 1\n'


async def test_the_files_of_stuck_workers_become_stale(tmp_path: Path) -> None:
    """Stale and incomplete files are left out."""
    one, path = make_worker(tmp_path, 0), metrics_file(tmp_path, 1)
    path.write_bytes(b"reads 5\n")
    (tmp_path / "1.4711.new").write_bytes(b"rea")
    age(path, TIMING.metrics_stale_s - 1)
    assert b'reads{worker="1"} 5\n' in await one.merged()
    age(path, TIMING.metrics_stale_s + 1)
    assert await one.merged() == b'reads{worker="0"} 2\n'


async def test_a_worker_that_is_replaced_shows_its_successor(tmp_path: Path) -> None:
    """A worker that is replaced shows its successor's file, so that no counter decreases."""
    replaced = trio.Event()
    old = WorkerMetrics(tmp_path, 0, Counting().text, replaced)
    metrics_file(tmp_path, 0).write_bytes(b"reads 42\n")
    replaced.set()
    await old.run()
    assert await old.merged() == b'reads{worker="0"} 42\n'


async def test_a_directory_that_is_gone_is_no_fault(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Without the directory the server shows its own metrics."""
    metrics = make_worker(tmp_path / "gone", 0)
    with trio.move_on_after(3 * TIMING.metrics_write_s):
        await metrics.run()
    assert await metrics.merged() == b'reads{worker="0"} 4\n'


def test_merged_metrics_keep_every_sample() -> None:
    """Each has the label ``worker``, and those of one metric stand together under one head."""
    reports = {
        1: b'# HELP a_total As.\n# TYPE a_total counter\na_total 1.0\n# HELP b Bs.\n# TYPE b gauge\nb{x="y z"} 2.0\n',
        0: b'# HELP a_total As.\n# TYPE a_total counter\na_total 3.0\n# HELP b Bs.\n# TYPE b gauge\nb{x="} 1"} 4.0\n',
    }
    assert merge_metrics(reports).decode().splitlines() == [
        "# HELP a_total As.",
        "# TYPE a_total counter",
        'a_total{worker="0"} 3.0',
        'a_total{worker="1"} 1.0',
        "# HELP b Bs.",
        "# TYPE b gauge",
        'b{worker="0",x="} 1"} 4.0',
        'b{worker="1",x="y z"} 2.0',
    ]


def test_merged_metrics_of_real_servers() -> None:
    """No family appears twice, and each sample of one server becomes one of each."""
    metrics = Metrics()
    metrics.answered("user.status", "success", 0.1)
    report = metrics.text()
    merged = merge_metrics({0: report, 1: report}).decode().splitlines()
    heads = [line for line in merged if line.startswith("#")]
    assert len(heads) == len(set(heads))
    samples = [line for line in report.decode().splitlines() if not line.startswith("#")]
    assert len(merged) - len(heads) == 2 * len(samples)
