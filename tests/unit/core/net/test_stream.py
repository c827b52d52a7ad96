"""The stream over a socket: writes that never wait, in order and whole, and a close that reaches the peer.

Real sockets throughout; the peer is the test's own end, read and written without trio where that makes it plainer.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from threading import Event, Thread

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from seatsync.core.net.stream import SLOW_BYTES, Stream, push_each
from seatsync.core.timing import Timing
from tests.support.pairs import FRAME, Pair, tcp_pair


@pytest.fixture
def open_pair(nursery: trio.Nursery) -> Iterator[Callable[..., Pair]]:
    """Makes streams over TCP."""
    with ExitStack() as stack:

        def make(close_s: float = 2.0) -> Pair:
            ours, peer = map(stack.enter_context, tcp_pair())
            return Pair(Stream(ours, "127.0.0.1", nursery.start_soon, timing=Timing(close_s=close_s)), peer)

        yield make


@pytest.fixture
def pair(open_pair: Callable[..., Pair]) -> Pair:
    """A stream over TCP."""
    return open_pair()


# Receiving


async def test_receive_returns_what_comes(pair: Pair) -> None:
    """Bytes as they arrive, then the end."""
    pair.peer.send(b"hello")
    assert await pair.stream.receive_some() == b"hello"
    pair.peer.close()
    assert await pair.stream.receive_some() == b""


async def test_unread_bytes_come_first(pair: Pair) -> None:
    """Unread bytes are received first, the newest unread before the older, then the socket's."""
    pair.peer.send(b"three")
    pair.stream.unread(b"two ")
    pair.stream.unread(b"one ")
    assert await pair.stream.receive_some() == b"one two "
    assert await pair.stream.receive_some() == b"three"


async def test_cancelled_receive_loses_nothing(pair: Pair) -> None:
    """A cancelled receive loses neither unread bytes nor later ones."""
    for prepare in (lambda: pair.stream.unread(b"x"), lambda: pair.peer.send(b"x")):
        with trio.CancelScope() as scope:
            scope.cancel()
            await pair.stream.receive_some()
        assert scope.cancelled_caught
        prepare()
        with trio.CancelScope() as scope:
            scope.cancel()
            await pair.stream.receive_some()
        assert await pair.stream.receive_some() == b"x"


async def test_reset_is_a_broken_stream(pair: Pair) -> None:
    """A reset is a broken stream for reader and writer; `push` does not raise."""
    pair.reset()
    with pytest.raises(trio.BrokenResourceError):
        await pair.stream.receive_some()
    pair.stream.push(FRAME)
    with pytest.raises(trio.BrokenResourceError):
        await pair.stream.send_all(FRAME)
    assert pair.stream.push(FRAME)
    assert pair.stream.unsent_bytes == 0


async def test_silence_counts_while_this_side_reads(pair: Pair, nursery: trio.Nursery) -> None:
    """Time that this side does not read is not the peer's silence."""
    assert pair.stream.silent_s == 0
    nursery.start_soon(pair.stream.receive_some)
    await wait_all_tasks_blocked(0.01)
    assert pair.stream.silent_s > 0
    pair.peer.send(b"x")
    await wait_all_tasks_blocked()
    assert pair.stream.silent_s == 0


# Sending


async def test_push_sends_at_once(pair: Pair) -> None:
    """`push` writes to the socket at once, without a task switch."""
    assert pair.stream.push(b"now")
    assert pair.peer.recv(10) == b"now"


async def test_frames_arrive_whole_and_in_order(pair: Pair, nursery: trio.Nursery) -> None:
    """Pushed and sent frames arrive whole and in order."""
    sent = b""
    for number in range(400):
        frame = bytes([number % 256]) * (1 + number * 37 % 5000)
        sent += frame
        if number % 3:
            pair.stream.push(frame)
        else:
            nursery.start_soon(pair.stream.send_all, frame)
            await wait_all_tasks_blocked()
    assert pair.stream.unsent_bytes > 0
    assert await pair.read(len(sent)) == sent
    await pair.stream.drained()
    assert pair.stream.unsent_bytes == 0


async def test_push_returns_false_when_the_peer_falls_behind(pair: Pair) -> None:
    """`push` is false with more than `SLOW_BYTES` beyond the kernel's buffers; the frame is still accepted."""
    frames = pair.fill()
    assert SLOW_BYTES < pair.stream.unsent_bytes <= SLOW_BYTES + len(FRAME)
    assert not pair.stream.push(FRAME)
    assert len(await pair.read((frames + 1) * len(FRAME))) == (frames + 1) * len(FRAME)


async def test_push_each_returns_those_that_are_full(open_pair: Callable[..., Pair]) -> None:
    """Full streams are notified, and their sinks returned; the others have the frame even if one is lost or sealed."""
    full, lost, sealed, well = pairs = [open_pair() for _ in range(4)]
    frames = full.fill()
    lost.reset()
    sealed.stream.seal()
    notified: list[Stream] = []
    for pair in pairs:
        pair.stream.on_full = partial(notified.append, pair.stream)
    assert push_each([(b"frame", {pair.stream: pair for pair in pairs})]) == [full]
    assert notified == [full.stream]
    assert well.peer.recv(10) == b"frame"
    assert (await full.read(frames * len(FRAME) + 5)).endswith(b"frame")


async def test_what_is_kept_is_not_copied(pair: Pair) -> None:
    """A frame kept for many slow peers is in memory once."""
    frame = b"x" * 1_000_000
    pair.stream.push(frame)
    pair.stream.push(frame)
    assert pair.stream._unsent is not None
    first, second = pair.stream._unsent
    assert isinstance(first, memoryview)
    assert first.obj is frame
    assert second is frame
    await pair.read(1_500_000)
    await wait_all_tasks_blocked()
    (kept,) = pair.stream._unsent
    assert isinstance(kept, memoryview)
    assert kept.obj is frame


async def test_drained_is_called_when_the_buffer_is_empty(pair: Pair) -> None:
    """`on_drained` is called once the buffer is empty; frames pushed from it follow."""
    called = trio.Event()

    def on_drained() -> None:
        assert pair.stream.unsent_bytes == 0
        pair.stream.push(b"after")
        called.set()

    pair.stream.on_drained = on_drained
    size = pair.fill() * len(FRAME)
    await wait_all_tasks_blocked()
    assert not called.is_set()
    await pair.read(size)
    await called.wait()
    assert await pair.read(5) == b"after"


async def test_every_refill_is_flushed(pair: Pair) -> None:
    """A stream may fill and drain repeatedly."""
    drained = 0

    def on_drained() -> None:
        nonlocal drained
        drained += 1

    pair.stream.on_drained = on_drained
    for _ in range(5):
        await pair.read(pair.fill() * len(FRAME))
        await pair.stream.drained()
    assert drained == 5


async def test_send_all_waits_for_room(pair: Pair, nursery: trio.Nursery) -> None:
    """`send_all` returns when the kernel has all bytes."""
    size = pair.fill() * len(FRAME)
    done = trio.Event()

    async def send() -> None:
        await pair.stream.send_all(b"last")
        done.set()

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    assert not done.is_set()
    await pair.read(size)
    await done.wait()
    assert await pair.read(4) == b"last"


async def test_peer_that_vanishes_wakes_senders(pair: Pair) -> None:
    """Tasks that wait to send wake up, and `on_drained` is not called."""
    pair.stream.on_drained = lambda: pytest.fail("nothing has gone")
    pair.fill()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.drained)
        await wait_all_tasks_blocked()
        pair.reset()
    with pytest.raises(trio.BrokenResourceError):
        await pair.stream.send_all(b"x")


async def test_sealed_stream_takes_no_more_pushes(pair: Pair) -> None:
    """A sealed stream ignores pushes; frames pushed before still arrive."""
    pair.stream.push(b"before")
    pair.stream.seal()
    assert pair.stream.push(b"after")
    pair.peer.shutdown(socket.SHUT_WR)
    await pair.stream.aclose()
    assert await pair.read_all() == b"before"


# The end


async def test_close_flushes_and_reads_out(pair: Pair, nursery: trio.Nursery) -> None:
    """Everything sent arrives before the end, even if the peer is still sending: no reset discards it."""
    pair.peer.send(b"unread" * 500)
    size = pair.fill() * len(FRAME)
    nursery.start_soon(pair.stream.aclose)
    await wait_all_tasks_blocked()
    assert len(await pair.read_all()) == size
    pair.peer.send(b"and more" * 100)
    assert pair.peer.recv(10) == b""


async def test_close_ends_when_the_peer_closes(pair: Pair, nursery: trio.Nursery) -> None:
    """A close returns when the peer closes."""
    nursery.start_soon(pair.stream.aclose)
    assert await pair.read_all() == b""
    pair.peer.close()
    await wait_all_tasks_blocked(0.05)
    assert pair.stream._socket.fileno() < 0


@pytest.mark.parametrize("reads", [True, False])
async def test_close_is_bounded(open_pair: Callable[..., Pair], reads: bool) -> None:
    """A close is bounded for a peer that neither closes nor reads; the descriptor is freed."""
    pair = open_pair(close_s=0.05)
    if not reads:
        pair.fill()
    with trio.fail_after(1):
        await pair.stream.aclose()
    assert pair.stream._socket.fileno() < 0
    await wait_all_tasks_blocked()
    assert not pair.stream._unsent


async def test_close_is_bounded_when_the_peer_never_stops(open_pair: Callable[..., Pair]) -> None:
    """A close discards a flood for a bounded time, and lets other tasks run."""
    pair = open_pair(close_s=0.1)
    stop = Event()
    pair.peer.setblocking(True)

    def flood() -> None:
        while not stop.is_set():
            try:
                pair.peer.send(b"x" * 65536)
            except OSError:
                return

    flooder = Thread(target=flood)
    flooder.start()
    before = trio.current_time()
    try:
        await pair.stream.aclose()
    finally:
        took_s = trio.current_time() - before
        stop.set()
        flooder.join()
    assert took_s < 0.5
    assert pair.stream._socket.fileno() < 0


async def test_cancelled_close_still_closes(pair: Pair) -> None:
    """A cancelled close closes the socket at once; a flusher that starts later ends quietly."""
    pair.fill()
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.stream.aclose()
    assert pair.stream._socket.fileno() < 0
    await wait_all_tasks_blocked()
    assert not pair.stream._unsent


async def test_close_wakes_the_reader(open_pair: Callable[..., Pair], nursery: trio.Nursery) -> None:
    """A close raises `ClosedResourceError` in a task that reads, and still drains the socket."""
    pair = open_pair(close_s=0.05)
    woken = trio.Event()

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await pair.stream.receive_some()
        woken.set()

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    await pair.stream.aclose()
    await woken.wait()


async def test_closed_stream_raises(pair: Pair) -> None:
    """Closing again does nothing; reading and sending raise; pushing vanishes."""
    pair.peer.close()
    await pair.stream.aclose()
    await pair.stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await pair.stream.receive_some()
    with pytest.raises(trio.ClosedResourceError):
        await pair.stream.send_all(b"x")
    assert pair.stream.push(b"x")
