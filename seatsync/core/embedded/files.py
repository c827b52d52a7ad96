"""The files of a data directory: `postmaster.pid` and the socket."""

import os
import re
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from attrs import frozen

PORT = 5432
MAX_SOCKET_PATH_BYTES = 103  # of sockaddr_un on macOS, the shortest, without the final NUL


@frozen
class Postmaster:
    """A running server, as its `postmaster.pid` describes it; fields are empty while it writes the file."""

    port: str
    socket_directory: str
    ready: bool
    """It accepts connections."""


def read_postmaster(cluster: Path) -> Postmaster | None:
    """Read `postmaster.pid` (pidfile.h in PostgreSQL's source); None if it is missing, still empty or stale."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        pid = abs(int(lines[0]))
    except (OSError, ValueError, IndexError):
        return None
    _, _, _, port, sockets, _, _, state = (line.strip() for line in [*lines, *8 * [""]][:8])
    return Postmaster(port, sockets, state == "ready") if _serves(pid, cluster) else None


def _serves(pid: int, cluster: Path) -> bool:
    """Return whether the process exists and serves that cluster.

    After a crash or a reboot the pid may be another process's. A postmaster's working directory is its cluster; where
    that may not be read, any PostgreSQL counts.
    """
    with suppress(OSError):
        if sys.platform != "linux":
            os.kill(pid, 0)
            return True
        try:
            return Path(f"/proc/{pid}/cwd").samefile(cluster)
        except PermissionError:
            return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    return False


def disown_postmaster(cluster: Path) -> None:
    """Replace the pid in a stale `postmaster.pid`, which may be in use again, by ours, which PostgreSQL ignores there.

    The other lines stay: they lead it to remaining backends of the old server.
    """
    path = cluster / "postmaster.pid"
    with suppress(FileNotFoundError, ValueError):
        _, *rest = path.read_text().splitlines(keepends=True)
        path.write_text("".join([f"{os.getpid()}\n", *rest]))


def socket_directory(data_dir: Path) -> Path:
    """Return the socket's directory: inside the data directory if its path is short and plain, else under /tmp.

    It is always the same for a data directory, so that the DSN survives a restart.
    """
    inside = data_dir / "run"
    short = len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH_BYTES
    if short and re.fullmatch(r"[A-Za-z0-9/._+-]+", str(inside)):
        return inside
    digest = sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path(f"/tmp/seatsync-{os.geteuid()}-{digest}")  # noqa: S108 -- its owner and mode are checked
