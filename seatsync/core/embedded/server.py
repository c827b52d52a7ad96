"""A private PostgreSQL under the data directory, tied to the life of this process.

It listens on a Unix socket that only its owner can reach, and on no port. The first process on a data directory starts
the server and stops it; another process joins the running server, and takes over if it ends.

Call it from the main thread: on Linux the server lives as long as the thread that started it (`launch`).
"""

import fcntl
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage
from types import MappingProxyType
from typing import Self

from attrs import evolve

from seatsync.config import Settings
from seatsync.core.embedded.cluster import DATABASE, USER, arguments, check_major, create_cluster
from seatsync.core.embedded.files import disown_postmaster, read_postmaster, socket_directory
from seatsync.core.embedded.programs import (
    PostgresError,
    Programs,
    find_programs,
    is_about_a_full_disk,
    last_line,
)
from seatsync.core.embedded.secret_file import read_or_make_keys

START_TIMEOUT_S = 60.0
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""Fast shutdown, immediate shutdown, kill (PostgreSQL manual, "Shutting Down the Server")."""
POLL_S = 0.005
LEAST_FREE_BYTES = 16 << 20
"""A segment of the write-ahead log: PostgreSQL ends when there is no room for the next."""
MAX_LOG_BYTES = 10_000_000
"""A longer log is rotated at a start."""
LAST_LINES = 20
"""The end of a server's log, in which the reason of its end is looked for."""


class EmbeddedPostgres:
    """The server of one data directory.

    `parameters` are PostgreSQL's, besides ours. `dsn` is valid after `start` and does not change.
    """

    def __init__(self, data_dir: Path, parameters: Mapping[str, str] = MappingProxyType({})) -> None:
        self.data_dir = data_dir.absolute()
        self.dsn = ""
        self.reason = ""
        """Why the server that `ensure_running` has replaced had ended, as far as that is known."""
        self._cluster = self.data_dir / "postgres"
        self._log_path = self.data_dir / "postgres.log"
        self._log_start = 0
        self._sockets = socket_directory(self.data_dir)
        self._parameters = {**parameters, "unix_socket_directories": str(self._sockets)}
        self._programs: Programs
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id, None if this process has not started it."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start or join the server; create the database first if there is none.

        Blocks until it accepts connections. Raises PostgresError and leaves no server running then.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the embedded PostgreSQL must be started by the main thread")
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked(fcntl.LOCK_EX):
                self._programs = find_programs(self.data_dir, self._cluster)
                if not (self._cluster / "PG_VERSION").exists():
                    create_cluster(self._programs, self._cluster, self._parameters)
                check_major(self._programs, self._cluster)
                self.dsn = self._attach()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError | PostgresError) and is_about_a_full_disk(str(error)):
                raise PostgresError(f"The disk of {self.data_dir} is full.") from error
            if isinstance(error, OSError):
                raise PostgresError(f"{self.data_dir} (SEATSYNC_DATA) cannot be used: {error}.") from None
            raise

    def ensure_running(self) -> bool:
        """Launch the server again if it has ended, ours or the joined one; return whether it had.

        Does not wait until it accepts connections, so an event loop may call it. If the launch fails, the next call
        repeats it. Raises PostgresError.
        """
        if self._process is not None and self._process.poll() is None:
            return False
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                if read_postmaster(self._cluster) is not None:
                    return False
                check_major(self._programs, self._cluster)
                has_room = disk_usage(self._cluster).free > LEAST_FREE_BYTES  # a full one takes no log either
                self.reason = self._last_words() if has_room else f"The disk of {self.data_dir} is full."
                self._launch()
        except BlockingIOError:
            return False  # another process is starting it
        except OSError as error:
            raise PostgresError(f"The embedded PostgreSQL cannot be started again: {error}.") from None
        return True

    def stop(self) -> None:
        """Stop the server if this process has started it."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, patience_s in STOP_STEPS:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
                break
        if self._sockets.parent != self.data_dir:
            with suppress(OSError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):  # unless another process uses it
                self._sockets.rmdir()

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Exclude other processes from creating or starting the database; the lock ends with the process."""
        with (self.data_dir / "lock").open("w") as lock:
            fcntl.flock(lock, how)
            yield

    def _attach(self) -> str:
        """Join the running server, or launch one; wait until it is ready, and return its DSN."""
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up_at:
            postmaster = read_postmaster(self._cluster)
            if postmaster is not None and postmaster.ready:
                return f"postgresql://{USER}@/{DATABASE}?host={postmaster.socket_directory}&port={postmaster.port}"
            if self._process is None and postmaster is None:
                self._launch()
            if self._process is not None and self._process.poll() is not None:
                self._process = None
                self._check_exit()
            time.sleep(POLL_S)
        raise PostgresError(
            f"The PostgreSQL in {self._cluster} is not ready after {START_TIMEOUT_S:.0f} s; see {self._log_path}."
        )

    def _launch(self) -> None:
        """Start the server. The caller holds the lock, and no server is running."""
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        self._programs.identity.own(self._sockets)
        found = self._sockets.lstat()
        # Under another owner it would give away our traffic.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._cluster.stat().st_uid or found.st_mode & 0o077:
            raise PostgresError(f"{self._sockets} is not a directory of ours alone: remove it.")
        disown_postmaster(self._cluster)
        if self._log_path.exists() and self._log_path.stat().st_size > MAX_LOG_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        with self._log_path.open("ab") as log:
            self._log_start = log.tell()
            own = arguments(self._parameters)
            self._process = self._programs.spawn(self._cluster, log, "-D", str(self._cluster), *own)

    def _check_exit(self) -> None:
        """Return if the last backends of a killed server are still ending, for a retry; else raise PostgresError."""
        reason = self._last_words()
        if "still in use" in reason or "already exists" in reason:
            time.sleep(20 * POLL_S)
            return
        raise PostgresError(f"The embedded PostgreSQL ended at once: {reason or self._log_path}")

    def _last_words(self) -> str:
        """Why the server has ended, from the end of its log; may be empty."""
        with self._log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        return last_line("\n".join(line for line in lines if "LOG:  " not in line))


@contextmanager
def resolve_database(settings: Settings, *, create: bool = False) -> Iterator[tuple[Settings, EmbeddedPostgres | None]]:
    """The settings completed by a running database, and the embedded PostgreSQL if that is it.

    Started here, it is stopped at the end; if another process has started it, it is left running. The variables of
    PostgreSQL's clients are removed from the environment. Raises `PostgresError`, also where there is no database and
    none is to be created.
    """
    if settings.database_url is not None:
        yield settings, None
        return
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # libpq would heed them: they are meant for another server
    if not create and not settings.data_dir.exists():
        raise PostgresError(
            f"There is no database in {settings.data_dir} (SEATSYNC_DATA): run this where the server runs, or set "
            "DATABASE_URL. seatsync serve and seatsync seed demo make one."
        )
    with EmbeddedPostgres(settings.data_dir) as postgres:
        jwt_secrets = settings.jwt_secrets or read_or_make_keys(settings.data_dir / "jwt_secret")
        secrets_keys = settings.secrets_keys or read_or_make_keys(settings.data_dir / "secrets_key")
        yield evolve(settings, database_url=postgres.dsn, jwt_secrets=jwt_secrets, secrets_keys=secrets_keys), postgres
