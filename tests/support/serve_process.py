"""``python -m seatsync serve`` as a process of its own."""

import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import frozen

from tests.support.client import Client, open_client
from tests.support.server import SECRET

START_S = 30.0


@frozen
class ServerProcess:
    """A server that has said that it is up."""

    process: trio.Process
    port: int
    ws_port: int

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; its exit status."""
        with trio.fail_after(START_S):
            return await self.process.wait()

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[Client]:
        """A WebSocket client, signed in if it has a token."""
        headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
        async with open_client(self.ws_port, headers) as client:
            yield client


@asynccontextmanager
async def serve_process(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[ServerProcess]:
    """A server process, in that directory and with nothing but that environment; it is gone at the end."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "seatsync", "serve"],
        env={"JWT_SECRET": SECRET, "PORT": "0", "WS_PORT": "0", "LOG_LEVEL": "error", **environment},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(START_S):
            said = b""
            while b"psql" not in said:
                more = await process.stdout.receive_some()
                assert more, f"the server ended: {said!r}"
                said += more
        port, ws_port = (int(number) for number in re.findall(rb"://localhost:(\d+)", said))
        yield ServerProcess(process, port, ws_port)
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        await process.stdout.aclose()
