"""Methods over HTTP: routes, bodies, cookies and the announcement of logins."""

import pytest
import trio
import trio.testing

from seatsync import errors
from seatsync.core.http.api import parse_object
from seatsync.core.protocol.call import new_id
from seatsync.core.timing import Timing
from tests.support.http_front import COOKIES, HALL_JSON, NEXT_VISITOR, open_world, request_bytes

VISITOR = new_id()
COOKIE = COOKIES.visitor_cookie(VISITOR, new_id()).partition(";")[0]


def ids(set_cookie: str) -> tuple[str, str] | None:
    """The two ids in a visitor cookie."""
    name, _, value = set_cookie.partition(";")[0].partition("=")
    return COOKIES.visitor({name: value})


@pytest.mark.parametrize("path", ["/api/hall/get", "/api//hall/get", "/api/hall/get?x=1", "/api/halls/get"])
async def test_method_is_run(path: str) -> None:
    """POST runs the method with the body as its data, and passes PostgreSQL's JSON through byte by byte."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", path, b'{"id":7}', Content_Type="application/json")
        assert reply.status == 200
        assert reply.body == b'{"data":%b,"status":"success","error":null}' % HALL_JSON
        assert reply.header("Cache-Control") == "no-store"
        (call,) = world.calls
        assert (call.transport, call.method) == ("http", "hall.get")


@pytest.mark.parametrize("path", ["/api/hall/nothing", "/api/nothing", "/api/", "/api/hall/get/more", "/api/hall.get"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_unknown_route_is_404(method: str, path: str) -> None:
    """Under /api the code is RouteNotFound."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request(method, path, b"{}")
        assert (reply.status, reply.error) == (404, "RouteNotFound")


async def test_subscriptions_are_not_routes() -> None:
    """Subscriptions, which need a WebSocket, are not found over HTTP."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/hall/subscribe", b"{}")
        assert (reply.status, reply.error) == (404, "RouteNotFound")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_verbs_are_405(method: str) -> None:
    """A method is called with POST, as the answer's ``Allow`` states."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request(method, "/api/hall/get")
        assert (reply.status, reply.error) == (405, "BadRequest")
        assert reply.header("Allow") == "POST, OPTIONS"
        assert (await client.request("POST", "/api/user/status")).status == 200


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b' {"unknown": 1} '])
async def test_no_data_is_an_empty_object(body: bytes) -> None:
    """An empty body, with a JSON content type or without, ``null`` and ``{}`` are the same."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/user/status", body, Content_Type="application/json")
        assert (reply.status, reply.json["data"]) == (200, {"status": "guest"})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"7",
        b'"text"',
        b"\xff{}",
        b'{"a":"\\ud800"}',
        b'{"a":' * 2000,
        b"[" * 2000 + b"]" * 2000,
        b'{"a":NaN}',
        b'{"a":1e999}',
        b"{}{}",
    ],
)
async def test_bad_json_is_400(body: bytes) -> None:
    """Bad JSON, bad UTF-8, lone surrogates, deep nesting and anything but an object differ from bad data."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/hall/get", body)
        assert (reply.status, reply.error) == (400, "BadRequest")
        assert (await client.request("POST", "/api/hall/get", b'{"id":7}')).status == 200


@pytest.mark.parametrize("body", [b"{}", b'{"id":"7"}', b'{"id":-1}', b'{"id":123456789012345678901234567890}'])
async def test_bad_data_is_400(body: bytes) -> None:
    """Data of the wrong shape is a ValidationError that names the field."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/hall/get", body)
        assert (reply.status, reply.error) == (400, "ValidationError")
        assert "id" in reply.json["message"]


async def test_domain_error_has_its_status() -> None:
    """A domain error is answered with its class's HTTP status and its message."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/hall/refused")
        assert (reply.status, reply.error) == (409, "SeatConflict")
        assert reply.json["message"] == 'Seat 12 is "OCCUPIED".'


async def test_throttle_has_the_wait() -> None:
    """A throttled answer has the wait in the body, and rounded up in Retry-After."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/user/throttled")
        assert (reply.status, reply.json["retry_after"]) == (429, 29.2)
        assert reply.header("Retry-After") == "30"


async def test_database_away_is_503() -> None:
    """An unavailable database is 503 with the time to wait."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/hall/away")
        assert (reply.status, reply.error) == (503, "ServiceUnavailable")
        assert reply.header("Retry-After") == "1"


@pytest.mark.parametrize("path", ["/api/user/throttled", "/api/user/login"])
async def test_methods_that_make_a_visitor(path: str) -> None:
    """Their answers, here refusals, set a cookie for a client without a valid one, and only for it."""
    async with open_world() as world:
        client = await world.connect()
        for sent in ("", "seatsync_visitor=forged"):
            (cookie,) = (await client.request("POST", path, Cookie=sent)).all("Set-Cookie")
            assert ids(cookie)
            assert "HttpOnly" in cookie
        assert not (await client.request("POST", path, Cookie=COOKIE)).all("Set-Cookie")


@pytest.mark.parametrize("path", ["/api/user/status", "/api/user/nothing", "/api/hall/get"])
async def test_other_answers_make_no_visitor(path: str) -> None:
    """No other answer sets a cookie: a page's first request and its handshake leave together."""
    async with open_world() as world:
        client = await world.connect()
        assert not (await client.request("POST", path, b'{"id":7}')).all("Set-Cookie")
        assert not (await client.request("GET", "/api/user/login")).all("Set-Cookie")


@pytest.mark.parametrize("cookie", [COOKIE, ""])
async def test_begun_enrolment_sets_its_id(cookie: str) -> None:
    """An enrolment that a method has begun belongs to another id than the cookie had; the visitor stays."""
    async with open_world() as world:
        client = await world.connect()
        (found,) = (await client.request("POST", "/api/user/enrol", Cookie=cookie)).all("Set-Cookie")
        assert ids(found) == (world.calls[0].client.visitor, NEXT_VISITOR)


@pytest.mark.parametrize("path", ["login", "logout", "enrol", "throttled"])
@pytest.mark.parametrize(("site", "sets"), [("cross-site", False), ("same-site", True), ("same-origin", True)])
async def test_page_of_another_site_gets_no_cookie(path: str, site: str, *, sets: bool) -> None:
    """Browsers do not send it back."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", f"/api/user/{path}", b'{"username":"ann"}', Sec_Fetch_Site=site)
        assert bool(reply.all("Set-Cookie")) is sets


@pytest.mark.parametrize("cookie", [COOKIE, ""])
async def test_login_sets_session_and_new_visitor(cookie: str) -> None:
    """The response sets the session's cookie and the visitor of the method's reply, whatever visitor came."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/user/login", b'{"username":"ann"}', Cookie=cookie)
        session, visitor = reply.all("Set-Cookie")
        assert session == COOKIES.session_cookie("new.session.token")
        found = ids(visitor)
        assert found is not None
        assert found[0] == NEXT_VISITOR
        assert found[1] != ids(COOKIE)[1]  # type: ignore[index]  # it is valid


async def test_logout_clears_the_session() -> None:
    """A logout clears the session's cookie, and no more."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("POST", "/api/user/logout", Cookie=COOKIE)
        assert reply.all("Set-Cookie") == [COOKIES.clear_session_cookie()]
        reply = await client.request("POST", "/api/user/logout")
        assert reply.all("Set-Cookie") == [COOKIES.clear_session_cookie()]


async def test_login_is_announced_after_the_response(autojump_clock: trio.testing.MockClock) -> None:
    """50 ms after the response, to the visitor that came; the connection goes on meanwhile."""
    async with open_world() as world:
        client = await world.connect()
        await client.request("POST", "/api/user/login", b'{"username":"ann"}', Cookie=COOKIE)
        written = trio.current_time()
        assert (await client.request("POST", "/api/user/status")).status == 200
        assert not world.announced
        await trio.sleep(1)
        ((when, *announced),) = world.announced
        assert when == pytest.approx(written + Timing().announce_delay_s)
        assert announced == [VISITOR, NEXT_VISITOR, {"status": "user", "username": "ann"}]
        await client.request("POST", "/api/user/logout", Cookie=COOKIE)
        await trio.sleep(1)
        assert world.announced[1][1:] == (VISITOR, None, {"status": "guest"})


@pytest.mark.parametrize("when", ["before", "after"])
async def test_login_is_announced_without_the_client(autojump_clock: trio.testing.MockClock, when: str) -> None:
    """A login is announced even if the client disconnects before or right after its answer."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(request_bytes("POST", "/api/user/login", b'{"username":"ann"}', Cookie=COOKIE))
        if when == "after":
            await client.reply()
        await client.stream.aclose()
        await trio.sleep(1)
        assert len(world.announced) == 1
        assert world.ended == [client.server]


async def test_failed_announcement_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """An announcement that fails because the database is unavailable is dropped; the connection goes on."""
    async with open_world() as world:
        client = await world.connect()
        await client.request("POST", "/api/user/login", b'{"username":"nobody"}')
        await trio.sleep(1)
        assert (await client.request("POST", "/api/user/status")).status == 200


def test_parse_object_reads_objects_only() -> None:
    """Anything but a JSON object is refused with a message that names the fault."""
    assert parse_object(b'{"a":[1]}') == {"a": [1]}
    with pytest.raises(errors.BadRequest, match="not a JSON object"):
        parse_object(b"[]")
    with pytest.raises(errors.BadRequest, match="not JSON"):
        parse_object(b"[")
