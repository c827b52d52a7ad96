"""The operators' HAProxy example, started as printed: a real HAProxy on a free port before two real servers.

Only the addresses and the certificate are replaced, and a socket for its statistics is added.
"""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.client import open_client
from tests.support.places import free_port, scratch_directory
from tests.support.readme import SERVE, read_page
from tests.support.server import running_server
from tests.support.waiting import eventually, metric, metric_is

(EXAMPLE,) = read_page(SERVE).code("haproxy")

delaying = partial(
    running_server, HOST="0.0.0.0", REGISTRATION="closed", DRAIN_DELAY="600", TRUSTED_PROXIES="127.0.0.1/32"
)

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed here")


@asynccontextmanager
async def haproxy(one: int, two: int) -> AsyncIterator[tuple[int, Path]]:
    """An HAProxy with the page's configuration; its port and its statistics. It has ended after the block."""
    port = free_port()
    site = re.sub(r"bind :443 ssl crt \S+", f"bind 127.0.0.1:{port}", EXAMPLE)
    site = site.replace("10.0.0.11:3000", f"127.0.0.1:{one}").replace("10.0.0.12:3000", f"127.0.0.1:{two}")
    with scratch_directory() as directory:
        statistics, configuration = directory / "statistics", directory / "haproxy.cfg"
        configuration.write_text(f"global\n    stats socket {statistics}\n{site}\n")
        process = await trio.lowlevel.open_process(
            ["haproxy", "-db", "-f", str(configuration)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:

            async def probed() -> bool:
                return statistics.exists() and await state(statistics, "one") == await state(statistics, "two") == "UP"

            await eventually(probed)
            yield port, statistics
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def state(statistics: Path, server: str) -> str:
    """What HAProxy takes a server for: ``UP``, ``DOWN`` or something between."""
    async with await trio.open_unix_socket(statistics) as stream:
        await stream.send_all(b"show stat\n")
        text = b"".join([data async for data in stream]).decode()
    rows = (line.split(",") for line in text.splitlines())
    names, *others = (row for row in rows if len(row) > 1)
    return next(dict(zip(names, row, strict=True))["status"] for row in others if row[1] == server)


async def test_a_server_is_taken_out_before_it_drains(database_url: str) -> None:
    """During DRAIN_DELAY HAProxy sends new clients to the other server and cuts nobody off."""
    async with (
        delaying(database_url) as one,
        delaying(database_url) as two,
        haproxy(one.port, two.port) as (port, statistics),
        open_client(port) as first,
        open_client(port) as second,
    ):
        for server in (one, two):
            await metric_is(server.port, "connections", 1)
        one.stop.set()

        async def is_down() -> bool:
            return await state(statistics, "one") == "DOWN"

        await eventually(is_down)
        async with open_client(port) as late, open_client(port) as later:
            for client in (first, second, late, later):
                await client.heartbeat()
            assert await metric(two.port, "connections") == 3
            one.skip_delay.set()
            assert (await first.closed())[0] == 1001
            for client in (second, late, later):
                await client.heartbeat()
