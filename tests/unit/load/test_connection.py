"""Connections: messages come out whole and in order however the bytes arrive, and each end is reported once."""

import select
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from seatsync.client.closing import Closing
from seatsync.load.address import PER_SOURCE, Address
from seatsync.load.connection import Connection
from seatsync.load.loop import Loop

#: An upper bound for every wait.
PATIENCE_S = 5.0


@define(eq=False)
class Owner:
    """Records the calls."""

    opened_at: list[float] = field(factory=list)
    texts: list[bytes] = field(factory=list)
    closings: list[Closing] = field(factory=list)

    def opened(self, now: float) -> None:
        """The handshake is done."""
        self.opened_at.append(now)

    def text(self, data: bytes, start: int, end: int, _now: float) -> None:
        """A message."""
        self.texts.append(data[start:end])

    def lost(self, closing: Closing) -> None:
        """The end."""
        self.closings.append(closing)


@define(eq=False)
class Line:
    """A connection, and the server's end of it."""

    loop: Loop
    owner: Owner
    connection: Connection
    server: socket.socket
    peer: WSConnection = field(factory=lambda: WSConnection(ConnectionType.SERVER))

    def until(self, condition: Callable[[], object]) -> None:
        """Run the client until the condition holds."""
        deadline = monotonic() + PATIENCE_S

        def look() -> None:
            if condition():
                self.loop.stop()
            else:
                assert monotonic() < deadline, "it did not come about"
                self.loop.after(0.0005, look)

        self.loop.at(0.0, look)
        self.loop.run()

    def receive(self) -> list[Event]:
        """The events of the client's next bytes."""
        self.until(lambda: select.select([self.server], [], [], 0)[0])
        self.peer.receive_data(self.server.recv(1 << 20) or None)
        return list(self.peer.events())

    def send(self, event: Event) -> None:
        """Send an event."""
        self.server.sendall(self.peer.send(event))

    def upgrade(self) -> None:
        """Answer the handshake."""
        (request,) = self.receive()
        assert isinstance(request, Request)
        self.send(AcceptConnection())
        self.until(lambda: self.owner.opened_at)


@contextmanager
def open_line() -> Iterator[Line]:
    """A connection whose handshake is still to be answered."""
    loop, owner = Loop(), Owner()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address.parse(f"ws://127.0.0.1:{listening.getsockname()[1]}/ws")
        connection = Connection(loop, address, None, owner)
        server, _ = listening.accept()
    with server:
        yield Line(loop, owner, connection, server)
        connection.close()
    loop.close()


@pytest.fixture
def line() -> Iterator[Line]:
    """A connection whose handshake is still to be answered."""
    with open_line() as line:
        yield line


@pytest.fixture
def upgraded(line: Line) -> Line:
    """An open connection."""
    line.upgrade()
    return line


messages = st.lists(st.integers(0, 300).map(lambda size: b"x" * size) | st.just(b"y" * 70_000), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(messages, st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_messages_are_whole_however_they_arrive(texts: list[bytes], sizes: Sequence[int]) -> None:
    """Messages are delivered whole, several at once or one in pieces."""
    with open_line() as line:
        line.upgrade()
        data = b"".join(line.peer.send(TextMessage(text.decode())) for text in texts)
        for size in sizes:
            line.server.sendall(data[:size])
            data = data[size:]
            line.until(lambda: True)
        line.server.sendall(data)
        line.until(lambda: len(line.owner.texts) == len(texts))
        assert line.owner.texts == texts


def test_what_comes_right_behind_the_handshake_is_not_lost(line: Line) -> None:
    """A server may send its first message in the same packet as the answer."""
    line.receive()
    line.server.sendall(line.peer.send(AcceptConnection()) + line.peer.send(TextMessage("early")))
    line.until(lambda: line.owner.texts)
    assert line.owner.texts == [b"early"]


def test_a_message_in_fragments_is_one(upgraded: Line) -> None:
    """With a ping in between, which RFC 6455, section 5.4, allows, and which is answered."""
    for event in (TextMessage("one", message_finished=False), Ping(b"now"), TextMessage(" two")):
        upgraded.send(event)
    assert upgraded.receive() == [Pong(b"now")]
    upgraded.until(lambda: upgraded.owner.texts)
    assert upgraded.owner.texts == [b"one two"]


def test_a_close_frame_is_answered_and_reported(upgraded: Line) -> None:
    """A close frame is answered, reported with its advice, and ends the connection."""
    upgraded.send(CloseConnection(1001, '{"reason":"drain","retry_ms":[0,9]}'))
    upgraded.until(lambda: upgraded.owner.closings)
    assert upgraded.owner.closings == [Closing(1001, "drain", (0, 9))]
    (answer,) = upgraded.receive()
    assert isinstance(answer, CloseConnection)
    assert answer.code == 1001
    assert not upgraded.connection.is_open


def test_an_end_without_a_close_frame_is_reported(upgraded: Line) -> None:
    """An end without a close frame is reported as 1006 (RFC 6455, section 7.4.1)."""
    upgraded.server.close()
    upgraded.until(lambda: upgraded.owner.closings)
    assert [closing.code for closing in upgraded.owner.closings] == [1006]


def test_a_masked_frame_is_the_end(upgraded: Line) -> None:
    """A server must not mask (RFC 6455, section 5.1)."""
    upgraded.server.sendall(b"\x81\x81\0\0\0\0x")
    upgraded.until(lambda: upgraded.owner.closings)
    assert upgraded.owner.closings == [Closing(1006, "the server masked a frame")]
    assert upgraded.owner.texts == []


def test_a_refused_handshake_is_reported(line: Line) -> None:
    """A refused handshake is reported with its status line."""
    line.receive()
    line.send(RejectConnection(status_code=503))
    line.until(lambda: line.owner.closings)
    assert "503" in line.owner.closings[0].reason


def test_a_refused_connect_is_reported_from_the_loop() -> None:
    """A refused connect is reported by the loop and not by the constructor."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    loop, owner = Loop(), Owner()
    connection = Connection(loop, Address.parse(f"ws://127.0.0.1:{port}/ws"), None, owner)
    assert not owner.closings
    loop.after(0.05, loop.stop)
    loop.run()
    assert [closing.reason for closing in owner.closings] == ["cannot connect: ECONNREFUSED"]
    assert not connection.is_open
    loop.close()


def test_what_the_kernel_does_not_take_is_sent_later(upgraded: Line) -> None:
    """Bytes that the kernel does not accept are sent later, in order."""
    texts = [str(number) * 400_000 for number in range(8)]
    for text in texts:
        upgraded.connection.send(text.encode())
    received: list[str] = []
    while sum(map(len, received)) < sum(map(len, texts)):
        received += [event.data for event in upgraded.receive() if isinstance(event, TextMessage)]
    assert "".join(received) == "".join(texts)


def test_closing_sends_a_close_frame(upgraded: Line) -> None:
    """The server sees a clean end, and the owner is not called."""
    upgraded.connection.close()
    (event,) = upgraded.receive()
    assert isinstance(event, CloseConnection)
    assert event.code == 1000
    assert upgraded.owner.closings == []


def test_connections_come_from_several_addresses() -> None:
    """In turn: one address has too few ports for a hundred thousand clients."""
    loop, owner = Loop(), Owner()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address.parse(f"ws://localhost:{listening.getsockname()[1]}", 2 * PER_SOURCE + 1)
        connections = [Connection(loop, address, None, owner) for _ in range(4)]
        peers = [listening.accept() for _ in connections]
    assert [host for _, (host, _) in peers] == ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]
    for connection, (server, _) in zip(connections, peers, strict=True):
        connection.close()
        server.close()
    loop.close()
