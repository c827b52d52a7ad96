"""The operators' HAProxy configuration, with a real HAProxy on a free port before two real servers.

Only the addresses and the certificate are replaced, and a socket for its statistics is added.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.client import http
from tests.support.places import free_port, scratch_directory
from tests.support.server import RunningServer, running_server
from tests.support.site import DEPLOY, PAGE, drain_and_resume, put_servers, running, settings_beside
from tests.support.waiting import eventually

CONFIGURATION = (DEPLOY / "haproxy.cfg").read_text()

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="HAProxy is not installed here")


@asynccontextmanager
async def haproxy(*servers: RunningServer) -> AsyncIterator[tuple[int, Path]]:
    """An HAProxy with the configuration; its port and its statistics. It has ended after the block."""
    port = free_port()
    site = re.sub(r"bind :443 ssl crt \S+", f"bind 127.0.0.1:{port}", CONFIGURATION)
    with scratch_directory() as directory:
        statistics, configuration = directory / "statistics", directory / "haproxy.cfg"
        site = put_servers(site, *(server.port for server in servers))
        configuration.write_text(f"global\n    stats socket {statistics}\n{site}\n")
        async with running("haproxy", "-db", "-f", str(configuration)):

            async def probed() -> bool:
                return statistics.exists() and await state(statistics, "one") == await state(statistics, "two") == "UP"

            await eventually(probed)
            yield port, statistics


async def state(statistics: Path, server: str) -> str:
    """What HAProxy takes a server for: ``UP``, ``DOWN`` or something between."""
    async with await trio.open_unix_socket(statistics) as stream:
        await stream.send_all(b"show stat\n")
        text = b"".join([data async for data in stream]).decode()
    rows = (line.split(",") for line in text.splitlines())
    names, *others = (row for row in rows if len(row) > 1)
    return next(dict(zip(names, row, strict=True))["status"] for row in others if row[1] == server)


async def test_a_server_is_taken_out_before_it_drains(database_url: str) -> None:
    """Sign-in and resume on either server; during DRAIN_DELAY new clients go to the other, and nobody is cut off."""
    settings = settings_beside(CONFIGURATION) | {"TRUSTED_PROXIES": "127.0.0.1/32", "DRAIN_DELAY": "600"}
    async with (
        running_server(database_url, **settings) as one,
        running_server(database_url, **settings) as two,
        haproxy(one, two) as (port, statistics),
    ):
        assert (await http(port, "GET", "/metrics", headers=PAGE)).status == 404

        async def noticed(server: RunningServer) -> None:
            name = "one" if server is one else "two"

            async def is_down() -> bool:
                return await state(statistics, name) == "DOWN"

            await eventually(is_down)

        await drain_and_resume(port, (one, two), noticed)
