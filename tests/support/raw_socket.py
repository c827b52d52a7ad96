"""A WebSocket client without a library: sends invalid frames, and observes exactly how a connection ends."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
from attrs import define, field, frozen

from tests.support.client import PATIENCE_S, parse

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_MASK = b"\x01\x02\x03\x04"
_PERIOD = 4


@frozen
class Frame:
    """One received frame."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2])

    @property
    def close_reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode()


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A frame's bytes (RFC 6455, section 5.2)."""
    return head(opcode, len(payload), last=last, masked=masked, reserved=reserved) + (
        mask(payload) if masked else payload
    )


def head(opcode: int, size: int, *, last: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A frame's bytes before its payload, the masking key included."""
    first = (0x80 if last else 0) | reserved << 4 | opcode
    bit = 0x80 if masked else 0
    if size < 126:
        length = bytes([bit | size])
    elif size < 1 << 16:
        length = bytes([bit | 126]) + size.to_bytes(2)
    else:
        length = bytes([bit | 127]) + size.to_bytes(8)
    return bytes([first]) + length + (_MASK if masked else b"")


def mask(payload: bytes) -> bytes:
    """A payload as it goes over the wire from a client."""
    keys = _MASK * (len(payload) // _PERIOD + 1)
    return (int.from_bytes(payload) ^ int.from_bytes(keys[: len(payload)])).to_bytes(len(payload))


@define
class RawSocket:
    """A TCP connection to a server, with frames read one by one. It answers nothing by itself."""

    stream: trio.SocketStream
    status: int = 0
    headers: list[tuple[str, str]] = field(factory=list)
    _buffer: bytes = b""

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self.stream.send_all(data)

    async def send_frame(self, opcode: int, payload: bytes = b"", *, last: bool = True) -> None:
        """Send a masked frame."""
        await self.send(frame(opcode, payload, last=last))

    async def handshake(self, path: str = "/ws", headers: Mapping[str, str] | None = None) -> int:
        """Request the upgrade; returns the status. Fields given replace the usual ones, ``""`` leaves one out."""
        fields = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": _KEY,
            "Sec-WebSocket-Version": "13",
            **(headers or {}),
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value), "", ""]
        await self.send("\r\n".join(lines).encode("latin-1"))
        return await self.response()

    async def response(self) -> int:
        """Read the head of an HTTP response; its status."""
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        text, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.status = int(first.split()[1])
        return self.status

    def header(self, name: str) -> str | None:
        """The first header field of that name in the response."""
        return next((value for key, value in self.headers if key == name), None)

    async def receive(self) -> Frame:
        """The next frame of any kind; fails the test at the end of the stream."""
        opcode, payload_size = (await self.take(1))[0] & 0x0F, (await self.take(1))[0]
        if payload_size == 126:
            payload_size = int.from_bytes(await self.take(2))
        elif payload_size == 127:
            payload_size = int.from_bytes(await self.take(8))
        return Frame(opcode, await self.take(payload_size))

    async def receive_text(self) -> str:
        """The next text frame; anything else, or one that the schemas do not know, fails the test."""
        received = await self.receive()
        assert received.opcode == TEXT, received
        text = received.payload.decode()
        if text != "1":
            parse(text)
        return text

    async def receive_close(self) -> Frame:
        """Receive the close frame; frames before it are skipped."""
        while (received := await self.receive()).opcode != CLOSE:
            pass
        return received

    async def ends(self) -> None:
        """Wait for the end of the server's stream; a reset fails the test."""
        with trio.fail_after(PATIENCE_S):
            assert self._buffer == b""
            assert await self.stream.receive_some() == b""

    async def closed_cleanly(self) -> Frame:
        """Receive the server's close frame and answer it; the end of the stream has to follow."""
        received = await self.receive_close()
        await self.send_frame(CLOSE, received.payload)
        await self.ends()
        return received

    async def take(self, size: int) -> bytes:
        """Receive exactly that many bytes."""
        while len(self._buffer) < size:
            await self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    async def _more(self) -> None:
        with trio.fail_after(PATIENCE_S):
            data = await self.stream.receive_some(65536)
        assert data, f"the connection ended after {self._buffer!r}"
        self._buffer += data

    def reset(self) -> None:
        """Abort the connection with a TCP reset."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.stream.socket.close()


@asynccontextmanager
async def raw_tcp(
    port: int, *, receive_buffer_bytes: int | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[RawSocket]:
    """A connection before its first byte, with a receive buffer of that size if it is given."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = trio.socket.socket(family)
    if receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    await sock.connect((host, port))
    async with trio.SocketStream(sock) as stream:
        yield RawSocket(stream)


@asynccontextmanager
async def raw_websocket(
    port: int, headers: Mapping[str, str] | None = None, *, receive_buffer_bytes: int | None = None
) -> AsyncIterator[RawSocket]:
    """A connection after its handshake."""
    async with raw_tcp(port, receive_buffer_bytes=receive_buffer_bytes) as raw:
        assert await raw.handshake(headers=headers) == 101
        yield raw
