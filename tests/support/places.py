"""Temporary directories, small disks and free ports for tests."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ROOM_BYTES = 1_000_000_000

VOLATILE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
"""Parameters of PostgreSQL that trade the safety of its data for speed: a crash of the machine may lose all of them."""


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


def copy_cluster(cluster: Path, to: Path) -> None:
    """Copy the directory of a cluster whose server does not run, with owners and modes, as root may need them."""
    to.parent.mkdir(mode=0o700, exist_ok=True)
    command = ["cp", "-a", str(cluster), str(to)]
    subprocess.run(command, check=True)


def free_port() -> int:
    """A port of 127.0.0.1 that is free at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of that size; skips the test where none may be mounted."""
    with scratch_directory() as directory:
        options = f"size={megabytes}m,mode=711"
        mount = ["mount", "-t", "tmpfs", "-o", options, "seatsync-test", str(directory)]
        unmount = ["umount", "--lazy", str(directory)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("mounting a file system is not permitted")
        try:
            yield directory
        finally:
            subprocess.run(unmount, check=True)


@contextmanager
def filled(directory: Path) -> Iterator[None]:
    """The file system of the directory has no room in the block."""
    filler = directory / "filler"
    try:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        yield
    finally:
        filler.unlink()
