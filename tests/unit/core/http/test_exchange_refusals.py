"""Requests that are refused: too large, malformed, ambiguous or unfinished, or with a body that nothing reads."""

import time

import pytest
import trio
import trio.testing

from tests.support.http_front import CHUNKED_HEAD, STATUS, open_world, request_bytes


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/nowhere", 404),
        ("POST", "/api/hall/nothing", 404),
        ("POST", "/api/hall/subscribe", 404),
        ("PUT", "/api/hall/get", 405),
        ("POST", "/healthz", 405),
    ],
)
async def test_a_body_that_nothing_reads_is_not_invited(method: str, path: str, status: int) -> None:
    """The client learns its fault instead of sending the body, and the connection ends."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(request_bytes(method, path, None, Expect="100-continue", Content_Length="8"))
        assert (await client.reply()).status == status
        assert await client.is_closed()


async def test_client_that_expects_100_is_refused_at_once() -> None:
    """A declared body over the limit is refused without a 100."""
    async with open_world(MAX_MESSAGE_BYTES="1024") as world:
        client = await world.connect()
        await client.send(request_bytes("POST", "/api/hall/get", None, Expect="100-continue", Content_Length="1025"))
        assert (await client.reply()).status == 413
        assert await client.is_closed()


async def test_declared_body_over_the_limit_is_413() -> None:
    """One byte more than MAX_MESSAGE_BYTES is refused before it is read; exactly as many are not."""
    async with open_world(MAX_MESSAGE_BYTES="1024") as world:
        client = await world.connect()
        body = b'{"id":7}'.ljust(1024)
        assert (await client.request("POST", "/api/hall/get", body)).status == 200
        reply = await client.request("POST", "/api/hall/get", body + b" ")
        assert (reply.status, reply.error) == (413, "MessageTooLarge")
        assert await client.is_closed()


async def test_chunked_body_over_the_limit_is_413() -> None:
    """A chunked body is counted while it comes."""
    async with open_world(MAX_MESSAGE_BYTES="1024") as world:
        client = await world.connect()
        await client.send(CHUNKED_HEAD + b"\r\n" + b"200\r\n" + bytes(512) + b"\r\n")
        await client.send(b"201\r\n" + bytes(513) + b"\r\n")
        reply = await client.reply()
        assert (reply.status, reply.error) == (413, "MessageTooLarge")
        assert await client.is_closed()


async def test_long_target_is_414() -> None:
    """A target may have 8 KiB."""
    async with open_world() as world:
        client = await world.connect()
        reply = await client.request("GET", "/" + "a" * 8192)
        assert (reply.status, reply.error) == (414, "BadRequest")
        assert await client.is_closed()


async def test_target_without_end_is_414() -> None:
    """A request line that never ends is refused once it is longer than any head."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(b"GET /" + b"a" * 17_000)
        assert (await client.reply()).status == 414


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"], ids=["unfinished", "complete"])
async def test_large_head_is_431(end: bytes) -> None:
    """A head may have 16 KiB, whether it comes in one piece or never ends."""
    async with open_world() as world:
        client = await world.connect()
        fields = b"".join(b"X-%d: %b\r\n" % (n, b"a" * 90) for n in range(180))
        await client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + fields + end)
        reply = await client.reply()
        assert (reply.status, reply.error) == (431, "BadRequest")
        assert await client.is_closed()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz\r\n\r\n",
        b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: local host\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
        b"GET /h\xc3\xa4lle HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x01b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x7fb\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tb\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
        b"POST /api/user/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/user/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/user/status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b" GET /healthz HTTP/1.1\r\n",
    ],
)
async def test_malformed_head_is_400(head: bytes) -> None:
    """Bytes that are no HTTP/1.1 are answered at once, with the JSON of every error, and closed."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(head)
        reply = await client.reply()
        assert (reply.status, reply.error) == (400, "BadRequest")
        assert reply.header("Content-Type") == "application/json"
        assert await client.is_closed()


@pytest.mark.parametrize(
    "framing",
    [
        b"HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        b"HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked",
    ],
    ids=["both", "both, the other way", "chunked in 1.0"],
)
async def test_ambiguous_framing_is_400(framing: bytes) -> None:
    """A body that two parsers could end in two places is refused, and nothing after it is taken for a request.

    h11 alone lets ``Transfer-Encoding`` win (RFC 9112, 6.1 allows both).
    """
    async with open_world() as world:
        client = await world.connect()
        await client.send(b"POST /api/user/status " + framing + b"\r\n\r\n0\r\n\r\n" + STATUS)
        assert (await client.reply()).status == 400
        assert await client.is_closed()
        assert not world.calls


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n",
        b"5\r\n{}\r\n0\r\n\r\n123",
        b"2;" + b"x" * 2000 + b"\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nX: " + b"x" * 2000 + b"\r\n\r\n",
        b"2\r\n{}\r\n0\r\n\n" + STATUS,
        b"2\r\n{}\r\n0\r\nX: a\n\n" + STATUS,
        b"2\r\n{}\r\n0\r\nX: a\r\n b\r\n\r\n",
        b"2;a\rb\r\n{}\r\n0\r\n\r\n",
        b"2;a\0b\r\n{}\r\n0\r\n\r\n",
    ],
    ids=["size", "length", "extension", "trailer", "bare LF", "bare LF after a trailer", "folded", "CR", "NUL"],
)
async def test_malformed_chunks_are_400(body: bytes) -> None:
    """Malformed chunks, and overlong lines between chunks or trailers, are answered with 400; nothing is run."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(CHUNKED_HEAD + b"\r\n" + body)
        reply = await client.reply()
        assert (reply.status, reply.error) == (400, "BadRequest")
        assert await client.is_closed()
        assert not world.calls


async def test_a_chunk_that_announces_too_much_is_413_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Before any of it has come."""
    async with open_world() as world:
        client, started = await world.connect(), trio.current_time()
        await client.send(CHUNKED_HEAD + b"\r\nffffffffffffffff\r\n")
        assert (await client.reply()).status == 413
        assert trio.current_time() == started
        assert await client.is_closed()


async def test_chunked_body_that_ends_early_is_400() -> None:
    """It is answered with 400 to a client that still reads."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(CHUNKED_HEAD + b"\r\n2\r\n{}\r\n0\r\n")
        await client.finish()
        assert (await client.reply()).status == 400
        assert not world.calls


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX:" + b" " * 15_000 + b"\0\r\n\r\n",
        CHUNKED_HEAD + b"\r\n1;" + b" " * 15_000 + b"\n\r\n",
        CHUNKED_HEAD + b"\r\n0\r\nX:" + b" " * 15_000 + b"\0\r\n\r\n",
    ],
    ids=["head", "chunk", "trailer"],
)
async def test_long_blanks_cost_little(request_: bytes) -> None:
    """h11's expressions are quadratic on these: half a second for 16 KiB, which must not stall other connections."""
    async with open_world() as world:
        client = await world.connect()
        started = time.process_time()
        await client.send(request_)
        assert (await client.reply()).status == 400
        assert time.process_time() - started < 0.1


async def test_body_that_ends_early_is_400() -> None:
    """A body that ends early is answered with 400 to a client that still reads."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(request_bytes("POST", "/api/user/status", None, Content_Length="10") + b"{}")
        await client.finish()
        assert (await client.reply()).status == 400
        assert not world.calls


async def test_bad_head_request_is_answered_without_a_body() -> None:
    """A refused HEAD request has no body, even if it is refused before its method is read."""
    async with open_world() as world:
        client = await world.connect()
        await client.send(b"HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n")
        reply = await client.reply(without_body=True)
        assert reply.status == 400
        assert await client.is_closed()
