"""The operators' nginx example, started as printed: a real nginx on a free port before a real server.

Only the ports and the lines of TLS are replaced.
"""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from seatsync.core.net.stream import SLOW_BYTES
from seatsync.core.timing import Timing
from tests.support.client import http
from tests.support.places import free_port, scratch_directory
from tests.support.raw_socket import TEXT, raw_tcp, raw_websocket
from tests.support.readme import SERVE, read_page
from tests.support.server import running_server
from tests.support.waiting import eventually

PAGE = read_page(SERVE)
ONE_MACHINE, UPSTREAM = PAGE.code("nginx", "Behind nginx")
ONE_MACHINE_SETTINGS, OTHER_MACHINES_SETTINGS = PAGE.code("sh", "Behind nginx")
OTHER_MACHINES = re.sub(r"upstream .*?\}", UPSTREAM, ONE_MACHINE, flags=re.DOTALL).replace(
    "proxy_set_header Host localhost;", "proxy_set_header Host $host;"
)
SITE = "https://seats.example.org"

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed here")


@asynccontextmanager
async def nginx(example: str, server_port: int) -> AsyncIterator[int]:
    """An nginx with the page's configuration; its port. It has ended, and its files are gone, after the block."""
    port = free_port()
    site = re.sub(r" +ssl_certificate.*\n", "", example)
    site = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", site)
    site = re.sub(r"server (127\.0\.0\.1|10\.0\.0\.\d+):3000;", f"server 127.0.0.1:{server_port};", site)
    with scratch_directory() as directory:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "\n".join(f"{kind}_temp_path {directory / kind};" for kind in kinds)
        configuration = Path(directory) / "nginx.conf"
        configuration.write_text(
            f"daemon off; master_process off; pid {directory / 'pid'}; error_log stderr;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}\n{site}\n}}\n"
        )
        process = await trio.lowlevel.open_process(
            ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(configuration)], stdin=subprocess.DEVNULL
        )
        try:
            await eventually(lambda: _accepts(port))
            yield port
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _accepts(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


def settings(block: str) -> dict[str, str]:
    """The settings beside an example; of the proxy's address only that it is this machine's here."""
    found = dict(line.split("=", 1) for line in block.splitlines())
    return {**found, "TRUSTED_PROXIES": "127.0.0.1/32"}


@pytest.mark.parametrize(
    ("example", "block"),
    [(ONE_MACHINE, ONE_MACHINE_SETTINGS), (OTHER_MACHINES, OTHER_MACHINES_SETTINGS)],
    ids=["one machine", "other machines"],
)
async def test_the_site_is_served_through_nginx(database_url: str, example: str, block: str) -> None:
    """Pages, methods and WebSockets, for the site's own pages and no others; clients keep their own addresses."""
    async with (
        running_server(database_url, timing=Timing(), slow_bytes=SLOW_BYTES, **settings(block)) as server,
        nginx(example, server.port) as port,
    ):
        site = {"Host": "seats.example.org", "Origin": SITE}
        assert (await http(port, "GET", "/", headers={"Host": site["Host"]})).status == 200
        assert (await http(port, "GET", "/metrics", headers={"Host": site["Host"]})).status == 404

        status = await http(port, "POST", "/api/user/status", headers=site)
        assert status.json()["data"] == {"status": "guest"}
        assert status.header("access-control-allow-origin") == SITE
        assert status.cookies() == {}

        async with raw_websocket(port, site) as raw:
            await raw.send_frame(TEXT, b"1")
            assert await raw.receive_text() == "1"
        async with raw_tcp(port) as raw:
            assert await raw.handshake(headers={**site, "Origin": "https://foreign.example.org"}) == 403

        forwarded = {**site, "X-Forwarded-For": "203.0.113.7"}
        started = await http(port, "POST", "/api/user/auth_start", {"username": "eve"}, forwarded)
        assert started.json()["error"] == "RegistrationClosed"
        assert started.cookies().keys() == {"__Host-seatsync_visitor"}
        counted = await server.rows("select subject from throttle where scope = 'lookup'")
        assert "203.0.113.7" in {row["subject"] for row in counted}
