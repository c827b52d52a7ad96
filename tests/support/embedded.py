"""The embedded PostgreSQL in a process of its own, the end of one, and a cluster of any version."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 20.0

HOLD = """
import sys
from pathlib import Path
from seatsync.core.embedded.server import EmbeddedPostgres

with EmbeddedPostgres(Path(sys.argv[1]), {"fsync": "off"}) as postgres:
    print(postgres.pid, postgres.dsn, flush=True)
    sys.stdin.read()
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")


@contextmanager
def another_process(data_dir: Path, *prefix: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has the server open, and the line it printed: the server's pid or None, and the DSN."""
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLD, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline()


def wait_until_gone(pid: int) -> None:
    """Return when a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], f"process {pid} is still there"
    finally:
        os.close(descriptor)


def cluster_of(data_dir: Path, version: str) -> Path:
    """Make the directory of a cluster of that major version."""
    cluster = data_dir / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text(f"{version}\n")
    return cluster
