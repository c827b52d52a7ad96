"""An `HttpServer` on streams in memory, and a client that speaks raw HTTP to it.

The parts around it are fakes: a registry of small methods (`registry`), an authenticator that knows visitors but no
users, an upgrade that only answers. The calls that the server makes are in the lists of `World`.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing
from attrs import define, field, frozen

from seatsync import errors, jsontext
from seatsync.config import Settings, load_settings
from seatsync.core.http.api import Api
from seatsync.core.http.cookies import Cookies
from seatsync.core.http.files import Files
from seatsync.core.http.origin import OriginPolicy
from seatsync.core.http.pages import Pages
from seatsync.core.http.server import HttpServer
from seatsync.core.http.source import Source, Sources
from seatsync.core.http.upgrade import Handshake
from seatsync.core.net.limits import ClientLimits
from seatsync.core.net.stream import Stream
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.protocol import call as protocol
from seatsync.core.protocol.call import Call, Client, Login, new_id
from seatsync.core.protocol.params import Id, NoParams
from seatsync.core.protocol.registry import Json, Kind, Method, Registry
from seatsync.core.telemetry.sampling import FailureLog

Pipe = trio.abc.HalfCloseableStream

COOKIES = Cookies("0123456789abcdef0123456789abcdef", secure=False)

NO_FILES = Files(Path(os.devnull))

#: The next visitor of a client that logs in as "chosen".
NEXT_VISITOR = new_id()

#: The body of ``hall.get``: no JSON encoder would write it so.
HALL_JSON = b'{ "id" : 7 }'


def settings(**environ: str) -> Settings:
    """The default settings with some of them set as in the environment."""
    return load_settings(environ, dotenv=None)


class MemoryStream(Stream):
    """The server's end of a pair of streams in memory."""

    def __init__(self, stream: Pipe, peer: str) -> None:
        self.peer = peer
        self.is_closed = False
        self._stream = stream
        self._unread = b""

    def unread(self, data: bytes) -> None:
        """Put bytes back."""
        self._unread = data + self._unread

    async def receive_some(self) -> bytes:
        """Return bytes that were put back, else bytes from the stream."""
        if self._unread:
            await trio.lowlevel.checkpoint()
            data, self._unread = self._unread, b""
            return data
        return bytes(await self._stream.receive_some())

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.send_all(data)

    async def aclose(self) -> None:
        """Close both directions."""
        self.is_closed = True
        await self._stream.aclose()


@frozen
class Reply:
    """One response as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """A header field that may occur once."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """The values of every field of that name."""
        return [value for found, value in self.headers if found.lower() == name.lower()]

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return jsontext.loads(self.body)

    @property
    def error(self) -> Any:
        """The error code in the envelope."""
        assert self.json["status"] == "error"
        assert self.json["data"] is None
        assert self.json["message"]
        return self.json["error"]


class RawClient:
    """The client's end: sends bytes, reads responses."""

    def __init__(self, stream: Pipe, server: MemoryStream) -> None:
        self.stream = stream
        self.server = server
        self._received = b""

    async def send(self, data: bytes) -> None:
        """Send these bytes."""
        await self.stream.send_all(data)

    async def finish(self) -> None:
        """Shut down the sending side; reading goes on."""
        await self.stream.send_eof()

    async def reply(self, *, without_body: bool = False) -> Reply:
        """The next response; fails when the server closes instead."""
        while b"\r\n\r\n" not in self._received:
            assert await self._receive(), "the server closed without a response"
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        found = Reply(int(status_line.split(" ")[1]), headers, b"")
        size = 0 if without_body else int(found.header("Content-Length") or 0)
        while len(self._received) < size:
            assert await self._receive(), "the server closed within a response"
        body, self._received = self._received[:size], self._received[size:]
        return Reply(found.status, headers, body)

    async def is_closed(self) -> bool:
        """Wait until the server closes; ``False`` if it sends something instead."""
        return not self._received and not await self._receive()

    async def _receive(self) -> bool:
        data = await self.stream.receive_some()
        self._received += data
        return bool(data)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        **headers: str,
    ) -> Reply:
        """Send one request and read its response; ``_`` in a header's name stands for ``-``."""
        await self.send(request_bytes(method, path, body, **headers))
        return await self.reply(without_body=method == "HEAD")


def request_bytes(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """One request; a ``Host`` and a ``Content-Length`` are added."""
    fields = {"Host": "localhost:3000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


STATUS = request_bytes("POST", "/api/user/status", b"")
"""A request that anybody may make."""

CHUNKED_HEAD = b"POST /api/hall/get HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
"""The head of a request with a chunked body, for more fields."""


def handshake_bytes(path: str = "/ws", method: str = "GET", **headers: str) -> bytes:
    """A good opening handshake, with some header fields put in place of its own; an empty one is left out."""
    fields = {
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return request_bytes(method, path, None, **fields | headers)


@define
class World:
    """The parts around a server, and the calls it made."""

    settings: Settings
    nursery: trio.Nursery
    files: Files = field(default=NO_FILES, kw_only=True)
    has_room: bool = True
    health: dict[str, Any] = field(factory=lambda: {"ready": True})
    upgraded: list[Handshake] = field(factory=list)
    first_bytes: list[bytes] = field(factory=list)
    announced: list[tuple[float, str, str | None, dict[str, Any]]] = field(factory=list)
    observed: list[tuple[str, str, float]] = field(factory=list)
    calls: list[Call] = field(factory=list)
    addresses: list[str] = field(factory=list)
    tokens: list[str | None] = field(factory=list)
    ended: list[MemoryStream] = field(factory=list)
    limits: ClientLimits = field(init=False)
    server: HttpServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.limits = ClientLimits(self.settings)
        methods = registry(self.calls)
        self.server = HttpServer(
            Api(methods, COOKIES, self._authenticate),
            Pages(
                methods,
                self.files,
                health=lambda: self.health,
                metrics=_metrics,
                metrics_token=self.settings.metrics_token,
                document=_document,
            ),
            OriginPolicy(
                self.settings.allowed_origins,
                loopback_only=self.settings.loopback_only,
                hosts=self.settings.allowed_hosts,
            ),
            self.limits,
            sources=Sources(self.settings.trusted_proxies, always_tls=self.settings.cookie_secure),
            has_room=lambda: self.has_room,
            upgrade=self._upgrade,
            announce=self._announce,
            nursery=self.nursery,
            failures=FailureLog(),
            observe=lambda type_, outcome, seconds: self.observed.append((type_, outcome, seconds)),
            max_body_bytes=self.settings.max_message_bytes,
        )

    async def connect(self, peer: str = "127.0.0.1", *, lockstep: bool = False) -> RawClient:
        """A new connection, served in the background; with ``lockstep`` a send waits until the other side reads."""
        pair = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        ours, theirs = pair()
        stream = MemoryStream(theirs, peer)
        self.nursery.start_soon(self._serve, stream)
        return RawClient(ours, stream)

    async def _serve(self, stream: MemoryStream) -> None:
        await self.server.serve(stream)
        self.ended.append(stream)

    async def _authenticate(self, source: Source, token: str | None, cookies: Mapping[str, str]) -> Client:
        if token == "bug":
            raise RuntimeError("the authenticator is broken")
        self.addresses.append(source.address)
        self.tokens.append(token)
        known = COOKIES.visitor(cookies)
        visitor, enrolment = known or (new_id(), new_id())
        return Client(source.address, visitor, visitor_is_new=known is None, enrolment=enrolment)

    async def _announce(self, visitor: str, successor: str | None, data: dict[str, Any]) -> None:
        self.announced.append((trio.current_time(), visitor, successor, data))
        if data.get("username") == "nobody":
            raise errors.ServiceUnavailable

    async def _upgrade(self, stream: Stream, handshake: Handshake) -> None:
        self.upgraded.append(handshake)
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        self.first_bytes.append(await stream.receive_some())
        if self.first_bytes[-1] == b"bug":
            raise RuntimeError("the connection is broken")
        if self.first_bytes[-1] == b"lost":
            raise trio.BrokenResourceError


@asynccontextmanager
async def open_world(files: Files | None = None, /, **environ: str) -> AsyncIterator[World]:
    """A server with these files and settings; its connections end with the block."""
    async with trio.open_nursery() as nursery:
        yield World(settings(**environ), nursery, files=files or NO_FILES)
        nursery.cancel_scope.cancel()


@frozen
class Named:
    """Parameters with a name."""

    username: str


@frozen
class Numbered:
    """Parameters with an id."""

    id: Id


def registry(calls: list[Call]) -> Registry:
    """Methods that behave as their names state; each appends its call to ``calls``."""

    async def status(call: Call, _: NoParams) -> dict[str, str]:
        calls.append(call)
        return {"status": "guest"}

    async def login(call: Call, params: Named) -> protocol.Reply:
        calls.append(call)
        return protocol.Reply(
            data={"status": "user"},
            login=Login("new.session.token", NEXT_VISITOR),
            announcement={"status": "user", "username": params.username},
        )

    async def enrol(call: Call, _: NoParams) -> protocol.Reply:
        calls.append(call)
        return protocol.Reply(data={"status": "candidate"}, enrolment=NEXT_VISITOR)

    async def logout(call: Call, _: NoParams) -> protocol.Reply:
        calls.append(call)
        return protocol.Reply(data={"success": True}, logged_out=True, announcement={"status": "guest"})

    async def throttled(_call: Call, _: NoParams) -> None:
        raise errors.TooManyLoginAttempts(retry_after=29.2)

    async def get(call: Call, _: Numbered) -> Json:
        calls.append(call)
        return Json(HALL_JSON)

    async def slow(_call: Call, _: NoParams) -> dict[str, bool]:
        await trio.sleep(5)
        return {"success": True}

    async def bug(_call: Call, _: NoParams) -> None:
        raise RuntimeError("a secret of the inside")

    async def rejected(_call: Call, _: NoParams) -> None:
        raise DatabaseRejected("42703", "a secret of the inside")

    async def refused(_call: Call, _: NoParams) -> None:
        raise errors.SeatConflict('Seat 12 is "OCCUPIED".')

    async def away(_call: Call, _: NoParams) -> None:
        raise errors.ServiceUnavailable

    async def subscribe(_call: Call, _: NoParams) -> None:
        raise AssertionError("subscriptions are not for HTTP")

    return Registry(
        [
            Method("user.status", NoParams, status),
            Method("user.login", Named, login, makes_visitor=True),
            Method("user.enrol", NoParams, enrol, makes_visitor=True),
            Method("user.logout", NoParams, logout),
            Method("user.throttled", NoParams, throttled, makes_visitor=True),
            Method("hall.get", Numbered, get, aliases=("halls.get",)),
            Method("hall.slow", NoParams, slow),
            Method("hall.bug", NoParams, bug),
            Method("hall.rejected", NoParams, rejected),
            Method("hall.refused", NoParams, refused),
            Method("hall.away", NoParams, away),
            Method("hall.subscribe", NoParams, subscribe, kind=Kind.SUBSCRIBE),
        ],
        public_view=True,
    )


async def _document(name: str) -> bytes:
    return b'{"name":"%b"}' % name.encode()


async def _metrics() -> bytes:
    return b"seatsync_connections 0\n"
