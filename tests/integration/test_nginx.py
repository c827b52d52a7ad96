"""The operators' nginx configuration, with a real nginx on a free port before real servers.

Only the addresses and the lines of TLS are replaced.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.support.client import http
from tests.support.places import free_port, scratch_directory
from tests.support.raw_socket import TEXT, raw_tcp, raw_websocket
from tests.support.readme import SERVE, read_page
from tests.support.server import RunningServer, running_server
from tests.support.site import DEPLOY, PAGE, drain_and_resume, put_servers, running, settings_beside
from tests.support.waiting import eventually

CONFIGURATION = (DEPLOY / "nginx.conf").read_text()
ONE_MACHINE = re.sub(r"server 10.*\n +server 10.*;", "server 10.0.0.11:3000;", CONFIGURATION).replace(
    "proxy_set_header Host $host;", "proxy_set_header Host localhost;"
)
(ONE_MACHINE_SETTINGS,) = read_page(SERVE).code("sh", "Behind nginx")

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed here")


@asynccontextmanager
async def nginx(site: str, *servers: RunningServer) -> AsyncIterator[int]:
    """An nginx with the configuration; its port. It has ended, and its files are gone, after the block."""
    port = free_port()
    site = re.sub(r" +ssl_certificate.*\n", "", site)
    site = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", site)
    site = put_servers(site, *(server.port for server in servers))
    with scratch_directory() as directory:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "\n".join(f"{kind}_temp_path {directory / kind};" for kind in kinds)
        configuration = directory / "nginx.conf"
        configuration.write_text(
            f"daemon off; master_process off; pid {directory / 'pid'}; error_log stderr;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{paths}\n{site}\n}}\n"
        )
        async with running("nginx", "-e", "stderr", "-p", str(directory), "-c", str(configuration)):
            await eventually(lambda: _accepts(port))
            yield port


async def _accepts(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


async def test_two_servers_are_one_site(database_url: str) -> None:
    """Sign-in on either server; a client of one that stops resumes on the other, which new ones reach at once."""
    settings = settings_beside(CONFIGURATION) | {"TRUSTED_PROXIES": "127.0.0.1/32"}
    async with (
        running_server(database_url, **settings) as one,
        running_server(database_url, **settings) as two,
        nginx(CONFIGURATION, one, two) as port,
    ):

        async def noticed(server: RunningServer) -> None:
            """It refuses connections, which is all that nginx notices."""

            async def refuses() -> bool:
                return not await _accepts(server.port)

            await eventually(refuses)

        await drain_and_resume(port, (one, two), noticed)


@pytest.mark.parametrize(
    ("site", "settings"),
    [
        (CONFIGURATION, settings_beside(CONFIGURATION)),
        (ONE_MACHINE, dict(line.split("=", 1) for line in ONE_MACHINE_SETTINGS.splitlines())),
    ],
    ids=["other machines", "one machine"],
)
async def test_the_site_is_served_through_nginx(database_url: str, site: str, settings: dict[str, Any]) -> None:
    """Pages, methods and WebSockets, for the site's own pages and no others; clients keep their own addresses."""
    settings = settings | {"TRUSTED_PROXIES": "127.0.0.1/32"}
    async with (
        running_server(database_url, **settings) as server,
        nginx(site, server, server) as port,
    ):
        assert (await http(port, "GET", "/", headers={"Host": PAGE["Host"]})).status == 200
        assert (await http(port, "GET", "/metrics", headers={"Host": PAGE["Host"]})).status == 404

        status = await http(port, "POST", "/api/user/status", headers=PAGE)
        assert status.json()["data"] == {"status": "guest"}
        assert status.header("access-control-allow-origin") == PAGE["Origin"]
        assert status.cookies() == {}

        async with raw_websocket(port, PAGE) as raw:
            await raw.send_frame(TEXT, b"1")
            assert await raw.receive_text() == "1"
        async with raw_tcp(port) as raw:
            assert await raw.handshake(headers={**PAGE, "Origin": "https://foreign.example.org"}) == 403

        forwarded = {**PAGE, "X-Forwarded-For": "203.0.113.7"}
        started = await http(port, "POST", "/api/user/auth_start", {"username": "eve"}, forwarded)
        assert started.json()["error"] == "RegistrationClosed"
        assert started.cookies().keys() == {"__Host-seatsync_visitor"}
        counted = await server.rows("select subject from throttle where scope = 'lookup'")
        assert "203.0.113.7" in {row["subject"] for row in counted}
