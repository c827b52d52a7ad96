"""A TCP proxy before PostgreSQL or a server, with or without TLS, that can be cut, frozen and slow."""

import math
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import parse_qs, urlsplit

import trio
from attrs import define, field

_CHUNK_BYTES, _SLOW_CHUNK_BYTES = 65536, 4096


@define
class Proxy:
    """Passes connections on unless cut or frozen."""

    target: str
    """The address; new connections are passed on to another if it is changed."""
    tls: ssl.SSLContext | None = None
    """Accept encrypted connections alone."""
    port: int = 0
    bytes_per_s: float = math.inf
    """Of each connection, in each direction."""
    accepted: int = 0
    """Connections so far, those too that end at once."""
    _cut: bool = False
    _thawed: trio.Event = field(factory=trio.Event)
    _connections: set[trio.CancelScope] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self._thawed.set()

    @property
    def url(self) -> str:
        """The DSN of the same database through this proxy."""
        parts = urlsplit(self.target)
        user = parts.netloc.rpartition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{self.port}{parts.path}"

    @property
    def is_slow(self) -> bool:
        """It passes bytes on at a limited rate."""
        return self.bytes_per_s < math.inf

    def cut(self) -> None:
        """End every connection; new ones end at once."""
        self._cut = True
        for scope in self._connections:
            scope.cancel()

    def restore(self) -> None:
        """Let connections through again."""
        self._cut = False

    def freeze(self) -> None:
        """Pass nothing in either direction, and close nothing."""
        self._thawed = trio.Event()

    def thaw(self) -> None:
        """Pass everything again, buffered bytes included."""
        self._thawed.set()

    async def serve(self, socket: trio.SocketStream) -> None:
        """One connection."""
        self.accepted += 1
        stream: trio.abc.Stream = socket
        if self.tls is not None:
            await socket.receive_some(8)  # SSLRequest (PostgreSQL, section 54.2.11)
            await socket.send_all(b"S")
            stream = trio.SSLStream(socket, self.tls, server_side=True)
        if self._cut:
            await stream.aclose()
            return
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                async with stream, await self._connect() as onward, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass, stream, onward, scope)
                    nursery.start_soon(self._pass, onward, stream, scope)
            finally:
                self._connections.discard(scope)

    async def _connect(self) -> trio.SocketStream:
        parts = urlsplit(self.target)
        query = parse_qs(parts.query)
        host = query["host"][0] if "host" in query else parts.hostname or "localhost"
        port = int(query["port"][0] if "port" in query else parts.port or 5432)
        if host.startswith("/"):
            return await trio.open_unix_socket(f"{host}/.s.PGSQL.{port}")
        return await trio.open_tcp_stream(host, port)

    async def _pass(self, source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
        try:
            while data := await source.receive_some(_SLOW_CHUNK_BYTES if self.is_slow else _CHUNK_BYTES):
                await self._thawed.wait()
                await trio.sleep(len(data) / self.bytes_per_s)
                await sink.send_all(data)
            await sink.aclose()  # with the end of TLS
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


@asynccontextmanager
async def proxy_to(address: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy to that database or server."""
    proxy = Proxy(address, tls)
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1"))
        proxy.port = listener.socket.getsockname()[1]
        yield proxy
        nursery.cancel_scope.cancel()
