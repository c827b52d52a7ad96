"""The Python client of the front page, run as printed against a real server with the demo cinemas."""

import subprocess
import sys
from functools import partial

import trio

from seatsync import seed
from tests.support.client import PATIENCE_S
from tests.support.readme import FRONT, read_page
from tests.support.server import RunningServer


async def test_the_client_prints_what_changes(server: RunningServer) -> None:
    """The hall, then each change."""
    await seed.demo(server.db)
    (script,) = read_page(FRONT).code("python", "A client in Python")
    script = script.replace("http://localhost:3000", f"http://localhost:{server.port}")
    async with trio.open_nursery() as nursery:
        command = [sys.executable, "-u", "-c", script]
        process = await nursery.start(partial(trio.run_process, command, stdout=subprocess.PIPE, check=False))
        received = b""

        async def line() -> str:
            nonlocal received
            with trio.fail_after(PATIENCE_S):
                while b"\n" not in received:
                    received += await process.stdout.receive_some()
            text, _, received = received.partition(b"\n")
            return text.decode()

        assert (await line()).count("(") == 24
        await server.sql("update seat set status = 'MAINTENANCE' where id = 612")
        assert (await line()).endswith(" [(612, 'MAINTENANCE')]")
        nursery.cancel_scope.cancel()
