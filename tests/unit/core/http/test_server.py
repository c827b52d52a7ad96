"""The HTTP server as a whole: origins, room, addresses, faults, logs and counts."""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from seatsync.core.http.upgrade import Handshake
from seatsync.core.net.stream import Stream
from seatsync.core.postgres.faults import DatabaseRejected
from tests.support.http_front import MemoryStream, World, handshake_bytes, open_world, request_bytes, settings

ABROAD = {"HOST": "0.0.0.0"}
TOKEN = "let-me-in-please"


async def test_preflight_is_204() -> None:
    """A preflight of an allowed origin gets the allowed methods and fields, without body and length."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request(
            "OPTIONS", "/api/user/login", Origin="http://localhost:5173", Access_Control_Request_Method="POST"
        )
        assert reply.status == 204
        assert reply.header("Content-Length") is None
        assert reply.header("Access-Control-Allow-Origin") == "http://localhost:5173"
        assert reply.header("Access-Control-Allow-Credentials") == "true"
        assert reply.header("Access-Control-Allow-Methods") == "POST, OPTIONS"
        fields = "x-trace, content-type"
        asked = await client.request("OPTIONS", "/api/user/login", Access_Control_Request_Headers=fields)
        assert asked.header("Access-Control-Allow-Headers") == fields
        assert (await client.request("OPTIONS", "/healthz")).header("Allow") == "GET, HEAD, OPTIONS"
        assert (await client.request("OPTIONS", "/nowhere")).status == 404


async def test_the_server_as_a_whole_has_options() -> None:
    """``OPTIONS *`` (RFC 9110, 9.3.7) names the methods; the asterisk is no path for others."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("OPTIONS", "*")
        assert (reply.status, reply.header("Allow")) == (204, "GET, HEAD, POST, OPTIONS")
        assert (await client.request("GET", "*")).status == 404


async def test_preflight_of_a_foreign_page_allows_nothing() -> None:
    """A preflight of a foreign origin is answered without CORS fields."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("OPTIONS", "/api/user/login", Origin="https://evil.example")
        assert reply.status == 204
        assert reply.header("Access-Control-Allow-Origin") is None
        assert reply.header("Vary") == "Origin"


@pytest.mark.parametrize("body", [b'{"id":7}', b"[]", b'{"id":0}'])
async def test_allowed_page_may_read_every_answer(body: bytes) -> None:
    """Every answer to an allowed page has CORS fields, errors too."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/hall/get", body, Origin="http://localhost:5173")
        assert reply.header("Access-Control-Allow-Origin") == "http://localhost:5173"
        assert reply.header("Access-Control-Expose-Headers") == "Retry-After"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_foreign_page_changes_nothing(origin: str) -> None:
    """A POST from a foreign page is refused unread (login CSRF)."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/user/login", b'{"username":"eve"}', Origin=origin)
        assert (reply.status, reply.error) == (403, "Forbidden")
        assert reply.header("Access-Control-Allow-Origin") is None
        assert not world.calls


async def test_foreign_page_may_send_a_get() -> None:
    """A GET from a foreign page is answered without CORS fields, so the page cannot read it."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("GET", "/healthz", Origin="https://evil.example")
        assert reply.status == 200
        assert reply.header("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("path", ["/", "/ws", "/nowhere", "/api/user/status"])
async def test_foreign_host_is_403(path: str) -> None:
    """Bound to loopback, a name that is not loopback's is refused; elsewhere one that is not in ALLOWED_HOSTS."""
    for environ in ({}, {**ABROAD, "ALLOWED_HOSTS": "seats.example"}):
        async with open_world(**environ) as world:
            client = await world.connect()
            assert (await client.request("POST", path, b"", Host="rebound.example")).status == 403
    async with open_world(**ABROAD) as world:
        client = await world.connect()
        assert (await client.request("POST", path, b"", Host="seats.example")).status != 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("environ", [{}, {**ABROAD, "ALLOWED_HOSTS": "seats.example"}])
async def test_health_is_reported_under_any_name(environ: dict[str, str], path: str) -> None:
    """Balancers probe by address, and HAProxy by HTTP/1.0 without a name."""
    async with open_world(METRICS_TOKEN=TOKEN, **environ) as world:
        client = await world.connect()
        assert (await client.request("GET", path, Host="10.0.0.11:3000")).status == 200
        await client.send(f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert (await client.reply()).status == 200


@pytest.mark.parametrize("environ", [{}, {**ABROAD, "ALLOWED_HOSTS": "seats.example"}])
async def test_http_1_0_needs_no_host(environ: dict[str, str]) -> None:
    """No browser speaks it; a foreign name is refused there, too."""
    async with open_world(**environ) as world:
        for host, status in ((b"", 200), (b"Host: rebound.example\r\n", 403)):
            client = await world.connect()
            await client.send(b"GET / HTTP/1.0\r\n" + host + b"\r\n")
            assert (await client.reply()).status == status


@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/api/user/status", "/api/hall/bug", "/ws"])
async def test_every_answer_has_the_headers_of_safety(path: str) -> None:
    """Nothing of an answer is kept, run, loaded for, framed or referred to by a page."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", path, b"{}")
        assert reply.header("Cache-Control") == "no-store"
        assert reply.header("X-Content-Type-Options") == "nosniff"
        assert reply.header("Referrer-Policy") == "no-referrer"
        assert reply.header("Content-Security-Policy") == "default-src 'none'; frame-ancestors 'none'"
        assert reply.header("Strict-Transport-Security") is None


async def test_behind_tls_browsers_are_told_to_stay_there() -> None:
    """Where COOKIE_SECURE states it, on every answer, malformed requests included; else where a trusted proxy does."""
    async with open_world(COOKIE_SECURE="true") as world:
        client = await world.connect()
        assert (await client.request("GET", "/healthz")).header("Strict-Transport-Security") == "max-age=31536000"
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.reply()).header("Strict-Transport-Security") == "max-age=31536000"
    async with open_world(TRUSTED_PROXIES="127.0.0.1") as world:
        client = await world.connect()
        reply = await client.request("GET", "/healthz", X_Forwarded_Proto="https")
        assert reply.header("Strict-Transport-Security") == "max-age=31536000"
        assert (await client.request("GET", "/healthz")).header("Strict-Transport-Security") is None


async def test_full_server_still_reports_its_health() -> None:
    """Plain requests are refused like handshakes; health and metrics report it."""
    async with open_world() as world:
        world.has_room = False
        client = await world.connect()
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.request("GET", path)).status == 200
        reply = await client.request("POST", "/api/user/status", b"{}")
        assert (reply.status, reply.error) == (503, "TooManyConnections")
        assert reply.header("Retry-After") == "5"
        assert await client.is_closed()


async def test_address_behind_a_trusted_proxy() -> None:
    """Methods get the client's address, not the proxy's."""
    async with open_world(TRUSTED_PROXIES="10.0.0.0/8") as world:
        client = await world.connect("10.0.0.1")
        await client.request("POST", "/api/user/status", X_Forwarded_For="192.0.2.1, 198.51.100.7")
        assert world.addresses == ["198.51.100.7"]


@pytest.mark.parametrize(("path", "kind"), [("/api/hall/bug", RuntimeError), ("/api/hall/rejected", DatabaseRejected)])
async def test_bug_is_500(path: str, kind: type[Exception]) -> None:
    """A bug is logged and answered with 500 without details; the connection stays open."""
    async with open_world() as world:
        client = await world.connect()
        with capture_logs() as logs:
            reply = await client.request("POST", path)
        assert (reply.status, reply.error) == (500, "InternalServerError")
        assert b"secret" not in reply.body
        assert isinstance(next(line for line in logs if line["event"] == "method_fault")["exc_info"], kind)
        assert (await client.request("POST", "/api/user/status", Authorization="Bearer bug")).status == 500
        assert (await client.request("POST", "/api/user/status")).status == 200


async def test_failure_is_one_line_in_the_log() -> None:
    """With the address, the type, the error and the time it took, and nothing of what was sent."""
    async with open_world() as world:
        client = await world.connect("127.0.0.7")
        with capture_logs() as logs:
            await client.request("POST", "/api/user/login?a=hush", b'{"code":"hush"}', Cookie="seatsync=hush")
        (line,) = logs
        assert isinstance(line.pop("ms"), float)
        assert line == {
            "event": "request_failed",
            "log_level": "info",
            "address": "127.0.0.7",
            "type": "user.login",
            "error": "ValidationError",
        }


async def test_requests_are_counted(autojump_clock: trio.testing.MockClock) -> None:
    """By method or page and outcome; whatever does not exist counts as one."""
    async with open_world() as world:
        client = await world.connect()
        await client.request("POST", "/api/hall/slow")
        await client.request("POST", "/api/halls/get", b"{}")
        await client.request("GET", "/healthz")
        await client.request("POST", "/api/invented/name")
        await client.request("GET", "/invented")
        await client.send(b"nonsense\r\n\r\n")
        await client.reply()
        assert [(type_, outcome) for type_, outcome, _ in world.observed] == [
            ("hall.slow", "success"),
            ("hall.get", "ValidationError"),
            ("/healthz", "success"),
            ("", "RouteNotFound"),
            ("", "NotFound"),
            ("", "BadRequest"),
        ]
        assert world.observed[0][2] == pytest.approx(5)
        assert world.observed[1][2] == pytest.approx(0)


async def test_lost_peer_is_no_fault() -> None:
    """A broken connection ends without an error."""
    async with open_world() as world:
        client = await world.connect()
        with capture_logs() as logs:
            await client.send(request_bytes("POST", "/api/hall/slow"))
            await client.stream.aclose()
            idle = await world.connect()
            await idle.stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
        assert world.ended == [idle.server]
        assert not logs


async def test_peer_lost_while_upgraded_is_no_fault() -> None:
    """A connection that breaks under the WebSocket logs a debug line only."""
    async with open_world() as world:
        client = await world.connect()
        with capture_logs() as logs:
            await client.send(handshake_bytes() + b"lost")
            await client.reply()
            assert await client.is_closed()
        assert [line["log_level"] for line in logs] == ["debug"]


class ResetStream(MemoryStream):
    """A stream whose peer reset the connection."""

    async def receive_some(self) -> bytes:
        """Raise as after a reset."""
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError


async def test_reset_is_an_end() -> None:
    """A reset while waiting for a request ends the connection like any other end."""
    async with open_world() as world:
        stream = ResetStream(trio.testing.memory_stream_pair()[1], "127.0.0.1")
        with capture_logs() as logs:
            await world.server.serve(stream)
        assert stream.is_closed
        assert not logs


class GroupedFault(World):
    """A world whose upgraded connections end with a fault in a nursery."""

    async def _upgrade(self, stream: Stream, handshake: Handshake) -> None:
        del stream, handshake
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._break)
            await trio.sleep_forever()

    async def _break(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RuntimeError("while it was cancelled")


async def test_fault_while_cancelled_stays_inside() -> None:
    """A connection that fails while it is cancelled raises only the cancellation."""
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            client = await GroupedFault(settings(), nursery).connect()
            await client.send(handshake_bytes())
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert [line["event"] for line in logs] == ["connection_fault"]
    assert client.server.is_closed
