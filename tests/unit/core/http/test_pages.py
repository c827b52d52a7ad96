"""The pages beside /api."""

import pytest

from tests.support.http_front import open_world

ABROAD = {"HOST": "0.0.0.0"}
TOKEN = "let-me-in-please"


async def test_index_lists_the_endpoints() -> None:
    """``/`` lists the endpoints, one a line, without the subscriptions."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("GET", "/")
        lines = reply.body.decode().splitlines()
        assert reply.header("Content-Type") == "text/plain; charset=utf-8"
        assert {"GET /ws (WebSocket)", "GET /metrics", "POST /api/hall/get"} <= set(lines)
        assert "POST /api/hall/subscribe" not in lines


async def test_healthz() -> None:
    """/healthz answers as long as the process runs."""
    async with open_world() as world:
        world.health = {"ready": False}
        client = await world.connect()
        reply = await client.request("GET", "/healthz")
        assert (reply.status, reply.json) == (200, {"alive": True})


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_readyz(ready: bool, status: int) -> None:
    """/readyz is 200, or 503 with JSON that names the failing part."""
    async with open_world() as world:
        world.health = {"ready": ready, "feed": "lost"}
        client = await world.connect()
        reply = await client.request("GET", "/readyz")
        assert (reply.status, reply.json) == (status, {"ready": ready, "feed": "lost"})
        assert world.observed[0][1] == ("success" if ready else "ServiceUnavailable")


@pytest.mark.parametrize("name", ["asyncapi", "openapi"])
async def test_documents(name: str) -> None:
    """The protocol as data is at the names that tools expect."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("GET", f"/{name}.json")
        assert (reply.status, reply.json) == (200, {"name": name})
        assert reply.header("Content-Type") == "application/json"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_head_has_no_body(path: str) -> None:
    """HEAD answers with the fields of GET."""
    async with open_world() as world:
        client = await world.connect()
        head = await client.request("HEAD", path)
        get = await client.request("GET", path)
        assert head.status == get.status == 200
        assert head.header("Content-Length") == str(len(get.body))


@pytest.mark.parametrize("path", ["/", "/ws", "/healthz", "/metrics"])
async def test_other_verbs_are_405(path: str) -> None:
    """Pages allow GET and HEAD only."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", path, b"{}")
        assert (reply.status, reply.error) == (405, "BadRequest")
        assert reply.header("Allow") == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/nowhere", "/api", "/favicon.ico", "/healthz/"])
async def test_unknown_path_is_404(path: str) -> None:
    """Outside /api the code is NotFound."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("GET", path)
        assert (reply.status, reply.error) == (404, "NotFound")


async def test_metrics_for_loopback() -> None:
    """Metrics need no token over loopback."""
    async with open_world(METRICS_TOKEN=TOKEN) as world:
        client = await world.connect("::1")
        reply = await client.request("GET", "/metrics")
        assert (reply.status, reply.body) == (200, b"seatsync_connections 0\n")
        assert (reply.header("Content-Type") or "").startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("token", "authorization", "status"),
    [
        (TOKEN, f"Bearer {TOKEN}", 200),
        (TOKEN, f"bearer  {TOKEN}", 200),
        (TOKEN, "Bearer wrong", 403),
        (TOKEN, "Bearer", 403),
        (TOKEN, f"Basic {TOKEN}", 403),
        (TOKEN, "", 403),
        ("", "Bearer ", 403),
        ("", "Bearer None", 403),
    ],
)
async def test_metrics_from_elsewhere(token: str, authorization: str, status: int) -> None:
    """Metrics beyond loopback need the token, and are refused if none is set."""
    async with open_world(METRICS_TOKEN=token, **ABROAD) as world:
        client = await world.connect("203.0.113.9")
        reply = await client.request("GET", "/metrics", Host="seats.example", Authorization=authorization)
        assert reply.status == status


async def test_metrics_through_a_trusted_proxy() -> None:
    """A proxy on this machine makes no client local."""
    async with open_world(TRUSTED_PROXIES="127.0.0.1", **ABROAD) as world:
        client = await world.connect("127.0.0.1")
        assert (await client.request("GET", "/metrics", X_Forwarded_For="203.0.113.9")).status == 403
        assert (await client.request("GET", "/metrics")).status == 200
