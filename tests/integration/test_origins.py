"""Origin checks of a handshake: its Origin and Host."""

import pytest
from structlog.testing import capture_logs

from tests.support.client import http
from tests.support.raw_socket import raw_tcp
from tests.support.server import RunningServer, running_server


async def handshake(server: RunningServer, origin: str = "", host: str = "localhost:3001") -> int:
    """The status of the answer to a handshake with these fields."""
    async with raw_tcp(server.ws_port) as raw:
        return await raw.handshake(headers={"Host": host, "Origin": origin})


async def test_programs_send_no_origin(server: RunningServer) -> None:
    """A handshake without Origin comes from a program and is accepted."""
    assert await handshake(server) == 101


async def test_bound_to_loopback_every_loopback_origin_is_accepted(server: RunningServer) -> None:
    """By default every page from this machine may connect, whatever its port."""
    for origin in (
        *("http://localhost", "http://localhost:5173", "https://localhost:3000", "http://127.0.0.1:8080"),
        *("http://[::1]:3000", "http://app.localhost:3000", "http://127.8.8.8"),
    ):
        assert await handshake(server, origin) == 101, origin


async def test_foreign_origin_is_refused(server: RunningServer) -> None:
    """A foreign origin, ``null`` included, gets 403."""
    for origin in (
        *("null", "https://seats.example.org", "http://localhost.example.org", "http://example.org#localhost"),
        *("file://", "localhost", "http://127.0.0.1.example.org", "http://localhost@example.org", "chrome://localhost"),
        *("http://0.0.0.0:3000", "http://2130706433"),
    ):
        assert await handshake(server, origin) == 403, origin


async def test_bound_to_loopback_only_loopback_names_are_served(server: RunningServer) -> None:
    """Any other Host gets 403 (DNS rebinding), even where Origin and Host agree."""
    for host in ("localhost", "LOCALHOST:3001", "127.0.0.1:1", "[::1]:3001", "app.localhost"):
        assert await handshake(server, host=host) == 101, host
    for host in ("seats.example.org", "127.0.0.1.example.org", "localhost.example.org", "10.0.0.1"):
        assert await handshake(server, host=host) == 403, host
        assert await handshake(server, f"http://{host}", host) == 403, host


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({"Host": "seats.example.org"}, "'seats.example.org'"),
        ({"Origin": "https://seats.example.org"}, "'https://seats.example.org'"),
        ({"Origin": "null"}, "'null'"),
        ({"Origin": "https://x' level=error \u00e4"}, '"https://x\' level=error \\xe4"'),
    ],
)
async def test_a_refusal_names_what_it_saw(server: RunningServer, headers: dict[str, str], seen: str) -> None:
    """The body and the log name the Host or the Origin, escaped, for a handshake and for a POST alike."""
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    handshake = {**upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}
    for method, path, fields in (("GET", "/ws", handshake), ("POST", "/api/user/status", headers)):
        with capture_logs() as logs:
            encoded = {name: value.encode("latin-1") for name, value in fields.items()}
            answer = await http(server.ws_port, method, path, headers=encoded)  # type: ignore[arg-type]  # h11 takes both
        assert (answer.status, answer.json()["error"]) == (403, "Forbidden")
        assert seen in answer.json()["message"]
        (line,) = (line for line in logs if line["event"] == "request_failed")
        assert line["reason"] == answer.json()["message"]


async def test_allowed_origins_are_exact(database_url: str) -> None:
    """ALLOWED_ORIGINS replaces the default; scheme, host and port have to match. The own host is always accepted."""
    allowed = "https://seats.example.org,http://other.example.org:8080"
    async with running_server(database_url, ALLOWED_ORIGINS=allowed) as server:
        for origin, status in (
            ("https://seats.example.org", 101),
            ("http://other.example.org:8080", 101),
            ("http://seats.example.org", 403),
            ("https://seats.example.org:8443", 403),
            ("https://sub.seats.example.org", 403),
            ("http://other.example.org", 403),
            ("http://127.0.0.1:3000", 403),
            ("http://localhost:3000", 101),
            ("null", 403),
        ):
            assert await handshake(server, origin) == status, origin


async def test_beyond_loopback_only_the_own_host(database_url: str) -> None:
    """Bound beyond loopback, an origin must have the host name of Host; any port and scheme will do."""
    async with running_server(database_url, HOST="0.0.0.0", REGISTRATION="closed") as server:
        for origin, host, status in (
            ("", "seats.example.org", 101),
            ("https://seats.example.org", "seats.example.org", 101),
            ("https://seats.example.org:8443", "seats.example.org:3001", 101),
            ("http://localhost:3000", "seats.example.org", 403),
            ("https://evil.example.org", "seats.example.org", 403),
            ("null", "seats.example.org", 403),
        ):
            assert await handshake(server, origin, host) == status, (origin, host)
