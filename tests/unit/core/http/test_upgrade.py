"""Opening handshakes: accepted forms, and the answer to each fault."""

import pytest
import trio.testing
from structlog.testing import capture_logs

from seatsync.core.http.upgrade import Handshake
from seatsync.core.protocol.call import Client, new_id
from tests.support.http_front import COOKIES, handshake_bytes, open_world


def test_handshake_is_accepted_as_the_rfc_says() -> None:
    """The example of RFC 6455, section 1.3, and further header fields."""
    client = Client("127.0.0.1", new_id())
    head = Handshake(client, "dGhlIHNhbXBsZSBub25jZQ==", "/ws", [(b"Set-Cookie", b"a=b")]).accept()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=b\r\n\r\n" in head


@pytest.mark.parametrize("path", ["/ws", "/", "//ws", "/ws?token=x"])
async def test_good_handshake_is_handed_on(path: str) -> None:
    """A handshake on /ws or / becomes the upgrade's, with its key and its client; HTTP sends nothing."""
    async with open_world() as world:
        client = await world.connect("127.0.0.9")
        await client.send(handshake_bytes(path))
        assert (await client.reply()).status == 101
        (handshake,) = world.upgraded
        assert handshake.key == "dGhlIHNhbXBsZSBub25jZQ=="
        assert handshake.path == path.replace("//", "/").partition("?")[0]
        assert handshake.client.address == "127.0.0.9"
        assert not world.observed


async def test_handshake_after_a_request() -> None:
    """A connection that was kept alive may still be upgraded."""
    async with open_world() as world:
        client = await world.connect()
        assert (await client.request("GET", "/healthz")).status == 200
        await client.send(handshake_bytes())
        assert (await client.reply()).status == 101


async def test_names_have_no_case() -> None:
    """Header names and the tokens in Upgrade and Connection are case-insensitive."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Upgrade="WebSocket", Connection="UPGRADE").replace(b"Sec-Web", b"SEC-web"))
        assert (await client.reply()).status == 101


async def test_foreign_cookies_do_not_matter() -> None:
    """Cookies of other programs, not ASCII ones too, do not fail a handshake."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Cookie="gr\u00fc\u00dfe=\u00fc"))
        assert (await client.reply()).status == 101


async def test_new_visitor_gets_a_cookie() -> None:
    """A client without a valid visitor cookie is given one with the 101."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Cookie="seatsync_visitor=forged"))
        await client.reply()
        (handshake,) = world.upgraded
        (name, value) = handshake.headers[0]
        assert name == b"Set-Cookie"
        found = COOKIES.visitor({"seatsync_visitor": value.decode().partition(";")[0].partition("=")[2]})
        assert found is not None
        assert found[0] == handshake.client.visitor
        assert found[1] != handshake.client.enrolment  # a connection has one of its own


async def test_known_visitor_keeps_its_cookie() -> None:
    """A valid visitor cookie is kept."""
    visitor, enrolment = new_id(), new_id()
    cookie = COOKIES.visitor_cookie(visitor, enrolment).partition(";")[0]
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Cookie=cookie))
        await client.reply()
        assert world.upgraded[0].headers == []
        assert world.upgraded[0].client.visitor == visitor
        assert world.upgraded[0].client.enrolment != enrolment


@pytest.mark.parametrize(("site", "count"), [("cross-site", 0), ("same-site", 1), ("none", 1)])
async def test_page_of_another_site_gets_no_cookie(site: str, count: int) -> None:
    """Its browser would not send the cookie back."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Sec_Fetch_Site=site))
        await client.reply()
        assert len(world.upgraded[0].headers) == count


TOKEN = "eyJhbGciOi.eyJzdWIi.c2ln"
BEARER = f"seatsync.bearer.{TOKEN}"


@pytest.mark.parametrize(
    ("offer", "selects", "token", "logged"),
    [
        ("seatsync.v1", True, None, None),
        (f"seatsync.v1, {BEARER}", True, TOKEN, None),
        (f"{BEARER},chat,seatsync.v1", True, TOKEN, None),
        (BEARER, False, TOKEN, "'seatsync.bearer.<token>'"),
        (f"Seatsync.Bearer.{TOKEN}", False, None, "'seatsync.bearer.<token>'"),
        ("SEATSYNC.V1", False, None, "'SEATSYNC.V1'"),
        ("seatsync.v10, graphql-transport-ws", False, None, "'seatsync.v10, graphql-transport-ws'"),
        (f"bearer, {TOKEN}", False, None, f"'bearer, {TOKEN}'"),
        (f"bearer, {TOKEN}{TOKEN}", False, None, f"'bearer, {TOKEN}...'"),
        (" , ,", False, None, None),
        (",".join(50 * ["chat"]), False, None, repr(", ".join(50 * ["chat"])[:200])),
    ],
)
async def test_subprotocols(offer: str, selects: bool, token: str | None, logged: str | None) -> None:
    """Of what is offered one is selected, one may carry a token; an offer without the first is logged, but no token."""
    async with open_world() as world:
        client = await world.connect()
        with capture_logs() as lines:
            await client.send(handshake_bytes(Sec_WebSocket_Protocol=offer))
            assert (await client.reply()).status == 101
        (handshake,) = world.upgraded
        selected = [value for name, value in handshake.headers if name == b"Sec-WebSocket-Protocol"]
        assert selected == ([b"seatsync.v1"] if selects else [])
        assert world.tokens == [token]
        assert [line["offered"] for line in lines] == ([] if logged is None else [logged])


async def test_bearer_header_wins() -> None:
    """A token in ``Authorization`` counts before one among the subprotocols, an empty one too."""
    async with open_world() as world:
        for header in ("x.y.z", ""):
            client = await world.connect()
            await client.send(handshake_bytes(Sec_WebSocket_Protocol=BEARER, Authorization=f"Bearer {header}"))
            await client.reply()
        assert world.tokens == ["x.y.z", ""]


async def test_offers_are_sampled_in_the_log() -> None:
    """A flood of unknown offers is no flood of lines."""
    async with open_world() as world:
        with capture_logs() as lines:
            for _ in range(150):
                client = await world.connect()
                await client.send(handshake_bytes(Sec_WebSocket_Protocol="chat"))
                await client.reply()
        assert len(lines) < 150


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "POST"},
        {"Connection": "keep-alive"},
        {"Connection": ""},
        {"Connection": "Upgrade, \u00fc"},
        {"Upgrade": "websocket, \u00fc"},
        {"Sec_WebSocket_Protocol": "seatsync.v1, \u00fc"},
        {"Sec_WebSocket_Key": ""},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ"},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZSE="},
        {"Content_Length": "5"},
        {"Transfer_Encoding": "chunked"},
    ],
    ids=str,
)
async def test_faulty_handshake_is_400(fault: dict[str, str]) -> None:
    """RFC 6455, 4.2.2: everything that does not match, and what is not ASCII, is a bad request; then it is closed."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(**fault))
        reply = await client.reply()
        assert (reply.status, reply.error) == (400, "BadRequest")
        assert await client.is_closed()
        assert not world.upgraded


async def test_handshake_needs_http_1_1() -> None:
    """A handshake over HTTP/1.0, as nginx sends by default, is refused with the reason."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes().replace(b"HTTP/1.1", b"HTTP/1.0"))
        reply = await client.reply()
        assert reply.status == 400
        assert "HTTP/1.1" in reply.json["message"]


@pytest.mark.parametrize("version", ["8", "", "13, 8", "+13"])
async def test_other_versions_are_426(version: str) -> None:
    """RFC 6455, 4.4: the answer names the one version that is spoken."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Sec_WebSocket_Version=version))
        reply = await client.reply()
        assert reply.status == 426
        assert reply.header("Sec-WebSocket-Version") == "13"
        assert await client.is_closed()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_plain_get_of_ws_is_426(method: str) -> None:
    """A plain GET of /ws is answered with 426."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request(method, "/ws")
        assert reply.status == 426
        assert reply.header("Upgrade") == "websocket"
        assert (await client.request("GET", "/healthz")).status == 200


async def test_upgrade_elsewhere_is_an_ordinary_request() -> None:
    """Only /ws and / speak WebSocket."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes("/nowhere"))
        assert (await client.reply()).status == 404


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://localhost.evil.example"])
async def test_foreign_origin_is_403(origin: str) -> None:
    """A page of a foreign origin opens no socket."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Origin=origin))
        reply = await client.reply()
        assert (reply.status, reply.error) == (403, "Forbidden")
        assert not world.upgraded


async def test_loopback_origin_is_accepted() -> None:
    """By default a development server on any local port may connect."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Origin="http://localhost:5173"))
        assert (await client.reply()).status == 101


async def test_foreign_host_is_403() -> None:
    """Bound to loopback, a name that is not loopback's is refused."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes(Host="rebound.example", Origin="http://rebound.example"))
        assert (await client.reply()).status == 403


async def test_full_server_authenticates_no_client() -> None:
    """Over capacity a handshake is accepted without authentication, for a close with reconnect advice."""
    async with open_world() as world:
        world.has_room = False
        client = await world.connect()
        await client.send(handshake_bytes())
        assert (await client.reply()).status == 101
        assert not world.addresses
        assert not world.upgraded[0].headers
        client = await world.connect()
        await client.send(handshake_bytes(Sec_WebSocket_Protocol="seatsync.v1"))
        await client.reply()
        assert world.upgraded[1].headers == [(b"Sec-WebSocket-Protocol", b"seatsync.v1")]


async def test_fault_of_an_upgraded_connection_is_its_own() -> None:
    """A fault after the 101 closes that connection and is not answered with HTTP."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(handshake_bytes() + b"bug")
        assert (await client.reply()).status == 101
        assert await client.is_closed()
        await trio.testing.wait_all_tasks_blocked()
        assert world.ended == [client.server]
