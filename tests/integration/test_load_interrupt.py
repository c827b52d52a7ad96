"""Ctrl-C at any moment ends the load generator with a report that says so, and never with a traceback."""

import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from seatsync.load.command import INTERRUPTED
from tests.support.faulty_server import HALL_ID, faulty_server
from tests.support.load import PATIENCE_S, Loaded
from tests.support.waiting import eventually


async def interrupted(when: Callable[[], Awaitable[bool]], *arguments: object) -> Loaded:
    """Run the program in a group of its own, and send that SIGINT, as a terminal does."""
    command = [sys.executable, "-m", "seatsync", "load", *map(str, arguments), "--quiet"]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, trio.fail_after(PATIENCE_S):
        process = await trio.lowlevel.open_process(command, stdout=out, stderr=err, start_new_session=True)
        try:
            await eventually(when)
            os.killpg(process.pid, signal.SIGINT)
            await process.wait()
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return Loaded(process.returncode or 0, out.read(), err.read())


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[int, list[trio.SocketStream]]]:
    """The port of a server that never answers, and its connections."""
    accepted: list[trio.SocketStream] = []

    async def keep(stream: trio.SocketStream) -> None:
        accepted.append(stream)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, keep, [listener])
        yield listener.socket.getsockname()[1], accepted
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("connections", "hall"), [(2, ()), (1, ("--hall", 7)), (2, ("--hall", 7))], ids=["before", "starting", "connecting"]
)
async def test_before_the_load(connections: int, hall: tuple[object, ...]) -> None:
    """While it asks for the halls, starts its processes, and connects its clients."""
    async with silent_server() as (port, accepted):

        async def connected() -> bool:
            return len(accepted) >= connections

        loaded = await interrupted(connected, "idle", "-n", 3, "--url", f"ws://127.0.0.1:{port}/ws", *hall)
    assert (loaded.status, loaded.errors) == (INTERRUPTED, "")
    assert "The test was interrupted. No fault until then; the final comparison was not made." in loaded.text


async def test_under_load(tmp_path: Path) -> None:
    """The final comparison is made, and the status is as without an interruption."""
    tokens = tmp_path / "tokens"
    tokens.write_text("any\n")
    async with faulty_server() as server:

        async def changed() -> bool:
            return len(server.keys) > 5

        where = ("--url", f"ws://127.0.0.1:{server.port}/ws", "--hall", HALL_ID, "--tokens", tokens)
        loaded = await interrupted(changed, "watch", "-n", 2, "-d", 600, *where)
    assert (loaded.status, loaded.errors) == (0, "")
    assert "The test was interrupted. No fault: nothing missing" in loaded.text
