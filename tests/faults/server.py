"""``seatsync serve`` as a process of the drill's own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.faults.processes import children, command, descendants, is_alive, send_signal, wait_until
from tests.faults.readiness import Readiness
from tests.support.places import free_port

SECRET = "drills only: " + 32 * "s"

_START_S = 40.0
_END_S = 20.0


@define
class Server:
    """The process, which may be started again on the same data and ports."""

    directory: Path
    """Where its log goes, and its data if it has no ``DATABASE_URL``."""
    environment: Mapping[str, str]
    workers: int = 1
    prefix: Sequence[str] = ()
    """A command that runs the server's, if any."""
    host: str = "127.0.0.1"
    port: int = field(factory=free_port)
    ws_port: int = field(factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; the time at which it is ready."""
        self.launch()
        return wait_until(lambda: self._ended() or self.readiness().ready, _START_S, "the server is ready")

    def launch(self) -> None:
        """Start it without waiting."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "seatsync", "serve", "--workers", str(self.workers)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )

    def _ended(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the server has ended: {self.log_tail()}")
        return False

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "SEATSYNC"))}
        return inherited | {
            "PORT": str(self.port),
            "WS_PORT": str(self.ws_port),
            "HOST": "127.0.0.1",
            "JWT_SECRET": SECRET,
            "SECRETS_KEY": SECRET,
            "SEATSYNC_DATA": str(self.directory / "data"),
            "LOG_FORMAT": "json",
            **self.environment,
        }

    def run(self, *arguments: str) -> str:
        """The output of a ``seatsync`` command on the same database."""
        done = subprocess.run(
            [sys.executable, "-m", "seatsync", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"seatsync {arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://{self.host}:{self.ws_port}/ws"

    @property
    def pid(self) -> int:
        """The main process: the supervisor, when there are several workers."""
        assert self.process is not None
        return self.process.pid

    @property
    def log_path(self) -> Path:
        """Its log, of all starts."""
        return self.directory / "server.log"

    def log_tail(self) -> str:
        """The last line of its log."""
        return self.log_path.read_text(errors="replace").strip().rpartition("\n")[2]

    def readiness(self) -> Readiness:
        """Its readiness now."""
        return Readiness.ask(self.port, self.host)

    def worker_pids(self) -> list[int]:
        """The worker processes."""
        return [pid for pid in children(self.pid) if "seatsync.serve.worker" in command(pid)]

    def all_pids(self) -> list[int]:
        """The main process and everything under it."""
        return [self.pid, *descendants(self.pid)]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the main process and wait for its end; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(_END_S)
        self.process = None
        return status

    def remove(self) -> None:
        """End it for good, whatever state it is in."""
        if self.process is None:
            return
        pids = self.all_pids()
        if self.process.poll() is None:
            send_signal([self.pid], signal.SIGTERM)
            try:
                self.process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        wait_until(lambda: not any(map(is_alive, pids)), _END_S, "the server's processes have ended")


@contextmanager
def running_server(
    directory: Path,
    database_url: str | None,
    *,
    workers: int = 1,
    start: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server for the length of the block; on a PostgreSQL of its own when there is no address."""
    named = dict(environment or {})
    if database_url is not None:
        named["DATABASE_URL"] = database_url
    server = Server(directory, named, workers)
    try:
        if start:
            server.start()
        yield server
    finally:
        server.remove()
