"""The server's side of a real TCP connection, bare or as a WebSocket, and the peer at its other end."""

import json
import socket
from typing import Any

import pytest
import trio
from attrs import define, field
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionType
from wsproto.events import CloseConnection, Event, TextMessage

from seatsync.core.net.stream import Stream
from seatsync.core.websocket.socket import WebSocket

FRAME = b"f" * 1000


@define
class Pair:
    """A stream and its peer."""

    stream: Stream
    peer: socket.socket

    async def read(self, size: int) -> bytes:
        """So many bytes of what the stream sent."""
        data = b""
        while len(data) < size:
            await trio.lowlevel.wait_readable(self.peer)
            more = self.peer.recv(size - len(data))
            assert more, f"the end after {len(data)} bytes"
            data += more
        return data

    async def read_all(self) -> bytes:
        """Everything up to the end; a reset fails the test."""
        data = b""
        while True:
            await trio.lowlevel.wait_readable(self.peer)
            more = self.peer.recv(1 << 16)
            if not more:
                return data
            data += more

    def fill(self) -> int:
        """Push until more than `SLOW_BYTES` are unsent; returns the number of frames."""
        frames = 1
        while self.stream.push(FRAME):
            frames += 1
        return frames

    def reset(self) -> None:
        """The peer vanishes with a TCP reset."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.peer.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection with small buffers, neither of which blocks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        peer = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    for end in (ours, peer):
        end.setblocking(False)
    return ours, peer


@define
class Peer(Pair):
    """A WebSocket client: wsproto over a plain socket. It answers nothing by itself."""

    socket: WebSocket
    protocol: Protocol = field(factory=lambda: Protocol(ConnectionType.CLIENT))

    async def send(self, *events: Event) -> None:
        """Send frames."""
        for event in events:
            await self.send_bytes(self.protocol.send(event))

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        while data:
            await trio.lowlevel.wait_writable(self.peer)
            data = data[self.peer.send(data) :]

    async def event(self) -> Event:
        """The next event from the server."""
        while True:
            for event in self.protocol.events():
                return event
            await trio.lowlevel.wait_readable(self.peer)
            data = self.peer.recv(1 << 16)
            self.protocol.receive_data(data or None)

    async def request(self, type_: str, eid: str = "1", data: Any = None) -> None:
        """Send a request."""
        await self.send(TextMessage(data=json.dumps({"type": type_, "data": data, "eid": eid})))

    async def answer(self) -> dict[str, Any]:
        """The next message, which is JSON."""
        event, text = await self.event(), ""
        while isinstance(event, TextMessage):
            text += event.data
            if event.message_finished:
                message: dict[str, Any] = json.loads(text)
                return message
            event = await self.event()
        raise AssertionError(event)

    async def closed(self) -> tuple[int, str | None]:
        """The code and reason of the server's close frame, which comes next and last."""
        event = await self.event()
        assert isinstance(event, CloseConnection), event
        return event.code, event.reason

    async def over(self) -> int | None:
        """Wait until the server's receiving ends; returns the close code that it recorded."""
        with pytest.raises(trio.EndOfChannel):
            await self.socket.receive()
        return self.socket.close_code
