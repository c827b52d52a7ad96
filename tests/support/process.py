"""``seatsync serve`` as a process of the test's own, on free ports, and its state in the kernel. Linux only."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define

from tests.support.client import PATIENCE_S, Client, http, open_client
from tests.support.server import SECRET
from tests.support.waiting import eventually


@define
class ServerProcess:
    """The process that was started: the supervisor, if there are several workers."""

    process: trio.Process
    log_path: Path
    port: int = 0
    """The HTTP port; 0 until the server is up."""
    ws_port: int = 0
    """The WebSocket port."""

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    async def wait(self) -> int:
        """Wait until the process has ended; its exit status."""
        with trio.fail_after(2 * PATIENCE_S):
            return await self.process.wait()

    async def up(self) -> None:
        """Wait until it logs that it is ready, and note its ports."""
        with trio.fail_after(3 * PATIENCE_S):
            while not (ready := self.log("ready")):
                assert self.process.poll() is None, f"it ended: {self.log_path.read_text()}"
                await trio.sleep(0.01)
        self.port, self.ws_port = (urlsplit(ready[0][name]).port or 0 for name in ("http", "websocket"))

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[Client]:
        """A WebSocket client, signed in if it has a token."""
        headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        async with open_client(self.ws_port, headers) as client:
            yield client

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """The lines of its log, of one kind if that is given; the last one may be half written."""
        whole, _, _ = self.log_path.read_text().rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if event in {"", line["event"]}]

    async def logs(self, event: str, count: int = 1) -> None:
        """Wait until that many lines of the kind have been logged."""

        async def logged() -> bool:
            return len(self.log(event)) >= count

        await eventually(logged)

    def workers(self) -> dict[int, int]:
        """The ids of its worker processes, by index."""
        found = {}
        for pid in children(self.pid):
            words = command(pid)
            if "seatsync.serve.worker" in words:
                found[int(words[words.index("seatsync.serve.worker") + 1])] = pid
        return found

    async def connections(self) -> dict[str, float]:
        """The number of open WebSockets by worker."""
        text = (await http(self.port, "GET", "/metrics")).body.decode()
        rows = re.findall(r'^seatsync_connections\{worker="(\d+)"\} (\S+)$', text, re.MULTILINE)
        return {index: float(value) for index, value in rows}

    async def connections_are(self, total: int) -> dict[str, float]:
        """Wait until the workers' metrics, which are a second old at most, show so many; their parts."""

        async def parts() -> dict[str, float]:
            found = await self.connections()
            return found if len(found) == len(self.workers()) and sum(found.values()) == total else {}

        return await eventually(parts)


def children(pid: int) -> list[int]:
    """The ids of a process's children, zombies included."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def command(pid: int) -> list[str]:
    """A process's command line; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


async def ended(pids: list[int]) -> None:
    """Wait until none of the processes runs any more."""

    async def all_ended() -> bool:
        return not any(command(pid) for pid in pids)

    await eventually(all_ended)


@asynccontextmanager
async def server_process(
    directory: Path, database_url: str, *arguments: str, up: bool = True, **environ: str
) -> AsyncIterator[ServerProcess]:
    """A server for the length of the block, even if the test stops or kills it.

    It runs in ``directory``, with these arguments of ``serve``. With an empty ``database_url`` it has a PostgreSQL of
    its own.
    """
    environment = {
        "DATABASE_URL": database_url,
        "JWT_SECRET": SECRET,
        "SECRETS_KEY": SECRET,
        "PORT": "0",
        "WS_PORT": "0",
        "LOG_FORMAT": "json",
        "MAX_CONNECTIONS": "1000",
        "DB_POOL_SIZE": "2",
        "SEATSYNC_DATA": str(directory / "data"),
        **environ,
    }
    log_path = directory / "log"
    with log_path.open("wb") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "seatsync", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | environment,
            cwd=directory,
            start_new_session=True,
        )
    server = ServerProcess(process, log_path)
    try:
        if up:
            await server.up()
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await _end(server)


async def _end(server: ServerProcess) -> None:
    """Leave nothing running: stop cleanly where possible, so that the server removes its files too."""
    if server.process.returncode is None:
        left = children(server.pid)
        server.send_signal(signal.SIGTERM)
        with trio.move_on_after(PATIENCE_S):
            await server.process.wait()
        server.send_signal(signal.SIGKILL)
        await server.process.wait()
        for pid in left:
            if "seatsync.serve.worker" in command(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await ended(left)
