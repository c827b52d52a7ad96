"""A private PostgreSQL under the data directory, tied to the life of this process.

    with EmbeddedPostgres(settings.data_dir) as postgres:
        ... postgres.dsn ...

It listens on a Unix socket that only we can reach and on no port. The first
process on a data directory starts the server and stops it; another one joins
the running server and leaves it alone, and takes over if it goes away.

All of it must be called from the main thread: on Linux the server lives as
long as the thread that started it (see `seatsync.core.embedded.launch`).
"""

import fcntl
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from seatsync.core.embedded.cluster import DATABASE, USER, check_major, create_cluster, parameters
from seatsync.core.embedded.files import disown_postmaster, read_major, read_postmaster, socket_directory
from seatsync.core.embedded.programs import PostgresError, Programs, find_programs, last_line

__all__ = ["EmbeddedPostgres", "PostgresError"]

START_TIMEOUT_S = 60.0
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""Fast shutdown, immediate shutdown, and the end (PostgreSQL manual, "Shutting Down the Server")."""
POLL_S = 0.005
MAX_LOG_BYTES = 10_000_000


class EmbeddedPostgres:
    """The server of one data directory; see the module.

    `durable=False` trades the safety of the data for speed, for tests. `dsn` is
    valid after `start`, and stays the same when the server is started again.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self.dsn = ""
        self._durable = durable
        self._cluster = self.data_dir / "postgres"
        self._log_path = self.data_dir / "postgres.log"
        self._log_start = 0
        self._sockets = socket_directory(self.data_dir)
        self._programs: Programs | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id, None when this process has not started it."""
        return None if self._process is None else self._process.pid

    def start(self) -> str:
        """Start or join the server, making the database first if there is none; return the DSN.

        Blocks until it accepts connections. Raises PostgresError; then nothing of ours is left running.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the embedded PostgreSQL must be started by the main thread")
        try:
            self._prepare()
        except OSError as error:
            self.stop()
            raise PostgresError(f"{self.data_dir} (SEATSYNC_DATA) cannot be used: {error}.") from None
        except BaseException:
            self.stop()
            raise
        return self.dsn

    def ensure_running(self) -> bool:
        """Launch the server again if it is gone, ours or the one we joined; return whether that was done.

        Does not wait until it accepts connections, so an event loop may call it; if it
        fails at once, the next call launches it again. Raises PostgresError.
        """
        if self._process is not None and self._process.poll() is None:
            return False
        if self._programs is None:
            raise RuntimeError("ensure_running is for a server that was started")
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                if self._runs():
                    return False
                check_major(self._programs, self._cluster)
                self._launch(self._programs)
        except BlockingIOError:
            return False  # another process is starting it
        except OSError as error:
            raise PostgresError(f"The embedded PostgreSQL cannot be started again: {error}.") from None
        return True

    def stop(self) -> None:
        """Stop the server if this process has started it; does nothing otherwise."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, patience_s in STOP_STEPS:
            process.send_signal(number)
            try:
                process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
        if self._sockets.parent != self.data_dir:
            self._remove_socket_directory()

    def _prepare(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            self._programs = find_programs(self.data_dir, self._cluster)
            if read_major(self._cluster) is None:
                create_cluster(self._programs, self._cluster, durable=self._durable)
            check_major(self._programs, self._cluster)
            self.dsn = self._attach(self._programs)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Keep other processes from making or starting the same database; the lock ends with the process."""
        with (self.data_dir / "lock").open("w") as lock:
            fcntl.flock(lock, how)
            yield

    def _make_socket_directory(self, programs: Programs) -> None:
        """Make it, or take over our own; somebody else's under /tmp would let them see our traffic."""
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        programs.identity.own(self._sockets)
        found = self._sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._cluster.stat().st_uid or found.st_mode & 0o077:
            raise PostgresError(f"{self._sockets} is not a directory of ours alone: remove it.")

    def _remove_socket_directory(self) -> None:
        """Remove it unless it is in use again: by another process that starts the server, or by its server."""
        with suppress(OSError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._sockets.rmdir()

    def _attach(self, programs: Programs) -> str:
        """Join the server that runs on the cluster, or launch one, and wait until it is ready; return its DSN."""
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up_at:
            postmaster = read_postmaster(self._cluster)
            if postmaster is not None and postmaster.ready:
                return f"postgresql://{USER}@/{DATABASE}?host={postmaster.socket_directory}&port={postmaster.port}"
            if self._process is None and not self._runs():
                self._launch(programs)
            if self._process is not None and self._process.poll() is not None:
                self._process = None
                self._excuse_exit()
            time.sleep(POLL_S)
        raise PostgresError(
            f"The PostgreSQL in {self._cluster} is not ready after {START_TIMEOUT_S:.0f} s; see {self._log_path}."
        )

    def _runs(self) -> bool:
        postmaster = read_postmaster(self._cluster)
        return postmaster is not None and postmaster.alive

    def _launch(self, programs: Programs) -> None:
        """Start the server. The caller holds the lock and has found none running."""
        self._make_socket_directory(programs)
        disown_postmaster(self._cluster)
        if self._log_path.exists() and self._log_path.stat().st_size > MAX_LOG_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        with self._log_path.open("ab") as log:
            self._log_start = log.tell()
            arguments = parameters(durable=self._durable, sockets=self._sockets)
            self._process = programs.spawn(self._cluster, log, "-D", str(self._cluster), *arguments)

    def _excuse_exit(self) -> None:
        """Let the caller try again while the last backends of a killed server go; raises PostgresError otherwise."""
        with self._log_path.open("rb") as log:
            log.seek(self._log_start)
            reason = last_line(log.read().decode(errors="replace"))
        if "still in use" in reason or "already exists" in reason:
            time.sleep(20 * POLL_S)
            return
        raise PostgresError(f"The embedded PostgreSQL ended at once: {reason or self._log_path}")
