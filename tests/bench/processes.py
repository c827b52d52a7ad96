"""Processes of a run: started on their core, known to be ready, and gone at the end whatever happens."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from re import Pattern

from attrs import frozen

from tests.bench.account import family
from tests.bench.machine import running_on

_START_S = 60.0
_STOP_S = 15.0

#: The project's directory: where modules of the tests are found.
ROOT = Path(__file__).parents[2]


class BenchError(Exception):
    """A measure cannot be taken; the message is one sentence for a person."""


@frozen
class Server:
    """An entrant that accepts connections."""

    name: str
    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def pids(self) -> list[int]:
        """Its process and those it has started."""
        return family(self.process.pid)

    def tell(self, line: bytes) -> None:
        """Write a line to its standard input: for the field, a frame to broadcast."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()


@contextmanager
def started(
    name: str,
    command: Sequence[str],
    ready: Pattern[bytes],
    *,
    cores: Iterable[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server, from the moment it prints ``ready``, whose first group is its port, until the block ends.

    Its standard error goes to ``log``. It is ended by the end of its input and SIGTERM, then killed. Raises
    `BenchError`.
    """
    with log.open("ab") as errors, running_on(cores):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            cwd=log.parent,
        )
    try:
        yield Server(name, process, _wait_ready(name, process, ready, log))
    finally:
        _stop(process)


def _wait_ready(name: str, process: "subprocess.Popen[bytes]", ready: Pattern[bytes], log: Path) -> int:
    assert process.stdout is not None
    printed = b""
    give_up_at = time.monotonic() + _START_S
    while time.monotonic() < give_up_at:
        if select.select([process.stdout], [], [], 1.0)[0]:
            chunk = os.read(process.stdout.fileno(), 65536)
            printed += chunk
            found = ready.search(printed)
            if found:
                return int(found[1])
            if not chunk:
                break
    raise BenchError(f"{name} did not start: {_last_words(log)}")


def _last_words(log: Path) -> str:
    """The last line that begins with a word: of a traceback the error, of a framed one too."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line[:1].isalnum()]
    return lines[-1] if lines else "it printed nothing"


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def python(module: str) -> list[str]:
    """The command that runs a module with this Python."""
    return [sys.executable, "-m", module]
