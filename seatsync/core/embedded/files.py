"""What a database directory tells about its server: `postmaster.pid`, `PG_VERSION`, the place of the socket."""

import os
import re
import sys
from hashlib import sha256
from pathlib import Path

from attrs import frozen

PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
MAX_SOCKET_PATH_BYTES = 103
"""What fits into sockaddr_un on every system we know (104 on macOS with the final NUL)."""


@frozen
class Postmaster:
    """The server that a `postmaster.pid` names; whether it still lives is another question.

    `state` is starting, ready, standby or stopping, and empty while the file is being written.
    """

    pid: int
    cluster: Path
    port: int
    socket_directory: str
    state: str

    @property
    def alive(self) -> bool:
        """Whether that process is there and serves that directory.

        After a crash or a reboot the number may be any other process's. A
        postmaster's working directory is its cluster, which tells them apart;
        where we may not look, we take any PostgreSQL for it.
        """
        try:
            if sys.platform != "linux":
                os.kill(self.pid, 0)
                return True
            return Path(f"/proc/{self.pid}/cwd").samefile(self.cluster)
        except PermissionError:
            return _command_name(self.pid) == "postgres"
        except OSError:
            return False

    @property
    def ready(self) -> bool:
        """Whether it accepts connections."""
        return self.state == "ready" and self.alive


def read_postmaster(cluster: Path) -> Postmaster | None:
    """Read `postmaster.pid`; None when there is none, or nothing yet in it (pidfile.h in PostgreSQL's source)."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        pid = abs(int(lines[0]))
    except (OSError, ValueError, IndexError):
        return None
    lines += [""] * (8 - len(lines))
    port = int(lines[3]) if lines[3].isdigit() else 0
    return Postmaster(pid, cluster, port, lines[4].strip(), lines[7].strip())


def _command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def disown_postmaster(cluster: Path) -> None:
    """Let a new server start although the number in a dead one's `postmaster.pid` may be in use again.

    PostgreSQL takes its parent's number there for a leftover, so we write ours; the rest
    stays, for by it PostgreSQL finds out whether backends of the dead server are left.
    """
    path = cluster / "postmaster.pid"
    try:
        _, *rest = path.read_text().splitlines(keepends=True)
    except (FileNotFoundError, ValueError):
        return
    path.write_text("".join([f"{os.getpid()}\n", *rest]))


def read_major(cluster: Path) -> int | None:
    """Return the major version that made the cluster, None when there is no cluster."""
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def socket_directory(data_dir: Path) -> Path:
    """Return where the socket goes: inside the data directory if its path is short and plain, else under /tmp.

    The same data directory always gets the same place, so that a restart is found under the old DSN.
    """
    inside = data_dir / "run"
    short = len(os.fsencode(inside / SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES
    if short and re.fullmatch(r"[A-Za-z0-9/._+-]+", str(inside)):
        return inside
    digest = sha256(os.fsencode(data_dir)).hexdigest()[:12]
    return Path("/tmp") / f"seatsync-{os.geteuid()}-{digest}"  # noqa: S108 -- checked to be ours alone
