"""Attacks of strangers who pass for a program on this machine: through a proxy here, or by what they claim."""

from collections.abc import Mapping
from typing import Any

import pyotp
import pytest

from tests.support.client import http
from tests.support.raw_socket import raw_tcp
from tests.support.server import RunningServer, running_server

FORWARDED = (
    {"X-Forwarded-For": "198.51.100.7"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Via": "1.1 proxy"},
)


async def register_first(server: RunningServer, headers: Mapping[str, str] | None = None) -> str:
    """Register the first account of the server, with these header fields; returns its role."""
    headers = dict(headers or {})
    begun = await http(server.port, "POST", "/api/user/auth_start", {"username": "eve"}, headers)
    secret = begun.json()["data"]["qr_url"].partition("secret=")[2]
    cookie = "; ".join(f"{name}={value}" for name, value in begun.cookies().items())
    code = {"username": "eve", "code": pyotp.TOTP(secret).now()}
    done = await http(server.port, "POST", "/api/user/register", code, {**headers, "Cookie": cookie})
    assert done.status == 200
    return str(await server.value("select role::text from app_user"))


async def test_the_first_account_of_this_machine_is_an_admin(server: RunningServer) -> None:
    """On a server that is for this machine."""
    assert await register_first(server) == "admin"


@pytest.mark.parametrize("headers", FORWARDED, ids=str)
async def test_a_stranger_behind_a_proxy_here_is_no_admin(server: RunningServer, headers: dict[str, str]) -> None:
    """Whether the operator has named the proxy or not."""
    assert await register_first(server, headers) != "admin"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", "192.0.2.0/24"),
        ("ALLOWED_ORIGINS", "https://seats.example.org"),
        ("ALLOWED_HOSTS", "seats.example.org"),
        ("COOKIE_SECURE", "true"),
    ],
)
async def test_a_published_server_makes_no_admin(database_url: str, name: str, value: str) -> None:
    """Not even of a request that looks local, as those of a proxy that adds no field do."""
    settings: dict[str, Any] = {"HOST": "0.0.0.0", name: value}
    async with running_server(database_url, **settings) as server:
        assert await register_first(server, {"Host": "seats.example.org"}) != "admin"


@pytest.mark.parametrize("headers", FORWARDED, ids=str)
async def test_a_stranger_behind_a_proxy_here_has_limits(database_url: str, headers: dict[str, str]) -> None:
    """Requests, handshakes and metrics; programs on this machine go on meanwhile."""
    async with running_server(database_url, REQUESTS_PER_SECOND="1", MAX_CONNECTIONS_PER_ADDRESS="1") as server:
        assert (await http(server.port, "GET", "/metrics", None, headers)).status == 403
        async with raw_tcp(server.ws_port) as first, raw_tcp(server.ws_port) as second:
            assert await first.handshake(headers=headers) == 101
            assert await second.handshake(headers=headers) == 503
        statuses = [(await http(server.port, "POST", "/api/user/status", {}, headers)).status for _ in range(8)]
        assert statuses[-1] == 429
        assert (await http(server.port, "POST", "/api/user/status", {})).status == 200
        assert (await http(server.port, "GET", "/metrics")).status == 200


async def test_a_peer_of_a_trusted_network_cannot_claim_to_be_here(database_url: str) -> None:
    """A loopback address that a proxy reports is no program on this machine."""
    claimed = {"X-Forwarded-For": "127.0.0.1"}
    async with running_server(database_url, TRUSTED_PROXIES="127.0.0.0/8,::1/128", REQUESTS_PER_SECOND="1") as server:
        assert (await http(server.port, "GET", "/metrics", None, claimed)).status == 403
        statuses = [(await http(server.port, "POST", "/api/user/status", {}, claimed)).status for _ in range(8)]
        assert statuses[-1] == 429


async def test_a_request_of_http_1_0_reads_no_metrics(server: RunningServer) -> None:
    """nginx speaks it by default, and adds no field."""
    async with raw_tcp(server.port) as raw:
        await raw.send(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert await raw.response() == 403
