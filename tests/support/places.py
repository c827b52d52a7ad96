"""Temporary directories and free ports for tests."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 1_000_000_000


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory removed at the end; on tmpfs where there is room, which makes databases ten times faster.

    Its path is short enough for sockets, and every account may pass through it.
    """
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="seatsync-", dir=MEMORY if roomy else "/tmp") as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


def free_port() -> int:
    """A port of 127.0.0.1 that is free at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
