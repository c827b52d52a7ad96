"""The server's side of a WebSocket, against wsproto's client over real sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from wsproto.events import CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from seatsync.core.bucket import Bucket
from seatsync.core.net.limits import Budget
from seatsync.core.net.stream import SLOW_BYTES, Stream
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import ABNORMAL, CloseCode, FrameReader, text_frame
from seatsync.core.websocket.socket import WebSocket
from tests.support.pairs import Peer, tcp_pair
from tests.support.raw_socket import BINARY, CONTINUATION, TEXT, frame

LIMIT = 1000


@pytest.fixture
def open_peer(nursery: trio.Nursery) -> Iterator[Callable[..., Peer]]:
    """Opens WebSockets with these waits, and returns their clients."""
    with ExitStack() as stack:

        def make(timing: Timing = Timing()) -> Peer:
            ours, theirs = map(stack.enter_context, tcp_pair())
            stream = Stream(ours, "127.0.0.1", nursery.start_soon, timing=timing)
            return Peer(stream, theirs, WebSocket(stream, FrameReader(LIMIT), timing))

        yield make


@pytest.fixture
def peer(open_peer: Callable[..., Peer]) -> Peer:
    """The client of an open WebSocket."""
    return open_peer()


# Messages


async def test_messages_come_in_order_however_they_are_cut(peer: Peer) -> None:
    """Messages arrive in order, sent byte by byte, at once, or in fragments, even within a character."""
    messages = ["one", "zwölf €", "", "🎭" * 20]
    data = b"".join(peer.protocol.send(TextMessage(data=message)) for message in messages)
    for byte in data:
        await peer.send_bytes(bytes([byte]))
    assert [await peer.socket.receive() for _ in messages] == messages
    await peer.send_bytes(data)
    assert [await peer.socket.receive() for _ in messages] == messages
    euro = "€".encode()
    await peer.send_bytes(frame(TEXT, euro[:1], last=False) + frame(CONTINUATION, euro[1:2], last=False))
    await peer.send(Ping(payload=b"between fragments"))
    await peer.send_bytes(frame(CONTINUATION, euro[2:]))
    assert await peer.socket.receive() == "€"
    assert await peer.event() == Pong(payload=b"between fragments")


async def test_what_came_with_the_handshake_is_read(peer: Peer) -> None:
    """A client may send its first message before it has seen the 101."""
    peer.stream.unread(peer.protocol.send(TextMessage(data="early")))
    assert await peer.socket.receive() == "early"


async def test_cancelled_receive_loses_nothing(peer: Peer) -> None:
    """A cancelled receive loses no part of a message."""
    data = peer.protocol.send(TextMessage(data="whole"))
    for part in (data[:4], data[4:]):
        with trio.CancelScope() as scope:
            scope.cancel()
            await peer.socket.receive()
        await peer.send_bytes(part)
    assert await peer.socket.receive() == "whole"


async def test_heartbeat_is_answered_and_is_no_message(peer: Peer, nursery: trio.Nursery) -> None:
    """The text ``1`` is echoed and not delivered as a message."""
    await peer.send(TextMessage(data="1"), TextMessage(data="11"))
    await peer.send_bytes(frame(TEXT, b"1", last=False) + frame(CONTINUATION, b"0"))
    assert [await peer.socket.receive() for _ in range(2)] == ["11", "10"]
    assert await peer.event() == TextMessage(data="1")
    nursery.start_soon(peer.socket.receive)
    await peer.send(TextMessage(data="1"))
    assert await peer.event() == TextMessage(data="1")


async def test_ping_is_answered(peer: Peer, nursery: trio.Nursery) -> None:
    """With its own payload (RFC 6455, section 5.5.3); pings of the server are empty."""
    nursery.start_soon(peer.socket.receive)
    await peer.send(Ping(payload=b"are you there?"))
    assert await peer.event() == Pong(payload=b"are you there?")
    peer.socket.ping()
    assert await peer.event() == Ping(payload=b"")


async def test_unread_answers_stop_the_reading(peer: Peer, nursery: trio.Nursery) -> None:
    """A flood of heartbeats and pings from a peer that takes no answers fills no memory."""
    nursery.start_soon(peer.socket.receive)
    flood = (peer.protocol.send(TextMessage(data="1")) + peer.protocol.send(Ping(payload=b"x" * 120))) * 100
    with trio.move_on_after(0.3):
        while True:
            await peer.send_bytes(flood)
    assert SLOW_BYTES < peer.stream.unsent_bytes < 4 * SLOW_BYTES


async def test_empty_fragments_fill_no_memory(peer: Peer) -> None:
    """Empty fragments are not kept."""
    await peer.send_bytes(frame(TEXT, b"a", last=False) + frame(CONTINUATION, last=False) * 1000)
    await peer.send_bytes(frame(CONTINUATION, b"b"))
    assert await peer.socket.receive() == "ab"
    peer.stream.unread(frame(TEXT, b"c", last=False) + frame(CONTINUATION, last=False) * 1000)
    with trio.move_on_after(0.05):
        await peer.socket.receive()
    assert peer.socket._frames._message == b"c"


# The peer breaks the rules


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, b"x"), CloseCode.UNSUPPORTED),
        (frame(BINARY, b"1"), CloseCode.UNSUPPORTED),
        (frame(TEXT, b"\xff"), CloseCode.INVALID_UTF8),
        (frame(TEXT, "€".encode()[:2]), CloseCode.INVALID_UTF8),
        (frame(TEXT, b"x", masked=False), CloseCode.PROTOCOL_ERROR),
        (frame(TEXT, b"x", reserved=4), CloseCode.PROTOCOL_ERROR),
        (frame(CONTINUATION, b"x"), CloseCode.PROTOCOL_ERROR),
        (frame(0x3, b"x"), CloseCode.PROTOCOL_ERROR),
        (frame(0x9, b"x" * 126), CloseCode.PROTOCOL_ERROR),
        (frame(0x8, b"\x03"), CloseCode.PROTOCOL_ERROR),
        (frame(TEXT, b"x" * (LIMIT + 1)), CloseCode.TOO_BIG),
        (frame(TEXT, "€".encode() * (LIMIT // 3 + 1)), CloseCode.TOO_BIG),
        (frame(TEXT, b"x" * LIMIT, last=False) + frame(CONTINUATION, b"x"), CloseCode.TOO_BIG),
    ],
    ids=str,
)
async def test_broken_rule_ends_in_a_close_frame(
    peer: Peer, nursery: trio.Nursery, data: bytes, code: CloseCode
) -> None:
    """A broken rule ends in a close frame with its code; messages before it are delivered, and nothing follows."""
    await peer.send_bytes(frame(TEXT, b"before") + data + frame(TEXT, b"after"))
    assert await peer.socket.receive() == "before"
    assert await peer.over() == code
    peer.stream.push(text_frame(b"too late"))
    nursery.start_soon(peer.socket.close, CloseCode.NORMAL, "")
    assert (await peer.closed())[0] == code
    peer.peer.close()


async def test_size_is_counted_in_bytes_and_may_be_reached(peer: Peer) -> None:
    """The limit itself is allowed, for every message anew."""
    for message in ("x" * LIMIT, "€" * (LIMIT // 3), "x" * LIMIT):
        await peer.send(TextMessage(data=message))
        assert await peer.socket.receive() == message


async def test_message_that_is_too_big_is_refused_before_it_has_come(peer: Peer) -> None:
    """A message is refused as soon as its announced or received size exceeds the limit."""
    await peer.send_bytes(frame(TEXT, b"x" * (10 * LIMIT))[: 2 * LIMIT])
    assert await peer.over() == CloseCode.TOO_BIG


async def test_budget_counts_frames_not_segments(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame counts once in the budget, in however many segments it arrives."""
    peer.socket.budget = Budget(Bucket(0.001, 2), Bucket(0.001, 2))
    segments = iter(peer.protocol.send(TextMessage(data="x" * 20)) * 2)

    async def receive_some(_: Stream) -> bytes:
        return bytes([next(segments)])

    with monkeypatch.context() as patched:
        patched.setattr(Stream, "receive_some", receive_some)
        assert [await peer.socket.receive() for _ in range(2)] == ["x" * 20] * 2
    assert peer.socket.over_budget_s == 0
    await peer.send(TextMessage(data="one too many"))
    assert await peer.socket.receive() == "one too many"
    assert peer.socket.over_budget_s > 0


async def test_beyond_the_budget_nothing_is_answered_and_then_closed(peer: Peer, nursery: trio.Nursery) -> None:
    """A peer that goes on after its refusals is closed with 1008."""
    peer.socket.budget = Budget(Bucket(0.001, 2), Bucket(0.001, 2))
    await peer.send(*[TextMessage(data="1")] * 3, TextMessage(data="a message"), *[Ping()] * 2)
    assert await peer.socket.receive() == "a message"
    assert peer.socket.over_budget_s > 0
    assert await peer.over() == CloseCode.POLICY
    assert [await peer.event(), await peer.event()] == [TextMessage(data="1")] * 2
    assert (await peer.closed())[0] == CloseCode.POLICY


# The end


@pytest.mark.parametrize("code", [1000, 1001, 4999, CloseReason.NO_STATUS_RCVD])
async def test_close_of_the_peer_is_answered(peer: Peer, nursery: trio.Nursery, code: int) -> None:
    """A peer's close is answered with its own code, after the messages before it; the stream ends."""
    await peer.send(TextMessage(data="last"), CloseConnection(code=code))
    assert await peer.socket.receive() == "last"
    assert await peer.over() == code
    nursery.start_soon(peer.socket.close, CloseCode.NORMAL, "")
    assert (await peer.closed())[0] == code
    assert await peer.read_all() == b""
    peer.peer.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_peer_that_vanishes_ends_the_connection(peer: Peer, reset: bool) -> None:
    """Without a close frame the code is 1006, and nothing more is sent."""
    if reset:
        peer.reset()
    else:
        peer.peer.close()
    assert await peer.over() == ABNORMAL
    with trio.fail_after(1):
        await peer.socket.close(CloseCode.GOING_AWAY, "")


async def test_close_waits_for_the_peer(peer: Peer, nursery: trio.Nursery) -> None:
    """The close frame arrives with its reason; later frames, pings too, are skipped; then the stream ends."""
    closed = trio.Event()

    async def close() -> None:
        await peer.socket.close(CloseCode.GOING_AWAY, '{"reason":"drain"}')
        closed.set()

    nursery.start_soon(close)
    assert await peer.closed() == (CloseCode.GOING_AWAY, '{"reason":"drain"}')
    peer.stream.push(text_frame(b"too late"))
    await peer.send_bytes(frame(TEXT, b"x") + frame(0x9, b"late ping") + frame(TEXT, b"1"))
    await wait_all_tasks_blocked()
    assert not closed.is_set()
    await peer.send_bytes(frame(0x8, (1001).to_bytes(2)))
    assert await peer.read_all() == b""
    peer.peer.close()
    with trio.fail_after(1):
        await closed.wait()
    assert peer.socket.close_code == CloseCode.GOING_AWAY


@pytest.mark.parametrize("piece", [1, 3, 7, 1000, 100_000])
async def test_frames_after_the_close_are_skipped_however_they_are_cut(
    peer: Peer, nursery: trio.Nursery, piece: int
) -> None:
    """Frames after the close are skipped without being kept; payloads that look like a close frame are none."""
    closed = trio.Event()

    async def close() -> None:
        await peer.socket.close(CloseCode.GOING_AWAY, "")
        closed.set()

    deceptive = frame(0x8, (1000).to_bytes(2))
    late = frame(TEXT, deceptive, masked=False) + frame(BINARY, deceptive * 20) + frame(TEXT, b"x" * 70_000)
    late = late[: 3000 if piece < 100 else None]  # byte by byte, the last one is left unfinished
    nursery.start_soon(close)
    await peer.closed()
    for start in range(0, len(late), piece):
        await peer.send_bytes(late[start : start + piece])
        await wait_all_tasks_blocked()
    assert not closed.is_set()
    if piece >= 100:
        await peer.send_bytes(frame(0x8, (1001).to_bytes(2)))
    peer.peer.close()
    with trio.fail_after(1):
        await closed.wait()


@pytest.mark.parametrize("noise", [b"", frame(BINARY, b"x"), frame(TEXT, b"\xff"), frame(0x3)])
async def test_close_does_not_wait_for_ever(open_peer: Callable[..., Peer], noise: bytes) -> None:
    """A close is bounded for a silent peer and for one that sends garbage; the close frame arrives."""
    peer = open_peer(Timing(close_s=0.05))
    await peer.send_bytes(noise)
    with trio.fail_after(1):
        await peer.socket.close(CloseCode.GOING_AWAY, "")
    assert (await peer.closed())[0] == CloseCode.GOING_AWAY


async def test_close_reaches_a_peer_that_is_still_sending(peer: Peer, nursery: trio.Nursery) -> None:
    """The rest of a too big message is discarded after the close frame, which a reset would destroy."""
    huge = frame(TEXT, b"x" * 1_000_000)
    nursery.start_soon(peer.send_bytes, huge)
    assert await peer.over() == CloseCode.TOO_BIG
    nursery.start_soon(peer.socket.close, CloseCode.NORMAL, "")
    await wait_all_tasks_blocked(0.05)
    assert (await peer.closed())[0] == CloseCode.TOO_BIG
    assert await peer.read_all() == b""
    peer.peer.close()
