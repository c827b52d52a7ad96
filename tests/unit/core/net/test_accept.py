"""Listening sockets, what is accepted from them, and how much there is room for."""

import errno
import resource
import socket
from contextlib import ExitStack, suppress

import pytest
import structlog
import trio

from seatsync.core.net.accept import accept_forever, bind, make_room
from seatsync.core.net.gate import SPARE_SOCKETS, SocketLimits
from seatsync.core.net.stream import Stream
from tests.support.waiting import eventually

MEBIBYTE = 1024 * 1024


def make_gate(connections: int = 10) -> SocketLimits:
    """A gate that lets in so many."""
    return SocketLimits(connections=connections, connections_per_address=10, requests_per_s=1000, trusted_proxies=())


def test_the_kernel_keeps_little_for_a_peer_that_does_not_read() -> None:
    """Such a peer is noticed, and merged updates are kept for it, before megabytes of old frames have gone out."""
    (listening,) = bind(["127.0.0.1"], 0)
    with listening, socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
        accepted.setblocking(False)
        taken = 0
        try:
            while taken < 2 * MEBIBYTE:
                taken += accepted.send(bytes(1000))
        except BlockingIOError:
            pass
    assert taken < MEBIBYTE


class Exhausted(socket.socket):
    """A listening socket of a process that has no descriptor left, until ``freed``."""

    freed = False

    def accept(self) -> tuple[socket.socket, object]:
        """Accept, or fail as the kernel would."""
        if not self.freed:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_accepting_waits_for_descriptors(nursery: trio.Nursery) -> None:
    """Connections stay in the queue meanwhile, and the log has one line of it."""
    served = trio.Event()

    async def serve(stream: Stream) -> None:
        served.set()
        await stream.aclose()

    with Exhausted() as listening, structlog.testing.capture_logs() as logs:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        nursery.start_soon(accept_forever, listening, make_gate(), serve, nursery, 4)
        async with await trio.open_tcp_stream(*listening.getsockname()) as client:
            await trio.sleep(0.35)
            listening.freed = True
            with trio.fail_after(5):
                await served.wait()
                assert await client.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert [line["event"] for line in logs] == ["accept_paused"]


async def test_sockets_beyond_the_gate_are_closed() -> None:
    """Without a word and at once; when one has closed, another is let in."""

    async def serve(stream: Stream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"hello")
                await stream.receive_some()

    (listening,) = bind(["127.0.0.1"], 0)
    gate = make_gate(connections=0)
    address = listening.getsockname()
    with listening, ExitStack() as filled:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept_forever, listening, gate, serve, nursery, 64)
            for _ in range(SPARE_SOCKETS):
                filled.enter_context(socket.create_connection(address))
            async with await trio.open_tcp_stream(*address) as last:
                assert await last.receive_some() == b""
            filled.close()

            async def is_let_in() -> bool:
                async with await trio.open_tcp_stream(*address) as stream:
                    return await stream.receive_some() == b"hello"

            await eventually(is_let_in)
            nursery.cancel_scope.cancel()
    assert gate.open == 0


@pytest.mark.parametrize(
    ("limits", "room", "allowed"),
    [
        ((20_000, 20_000), 1000, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 1000, None),
        ((1024, 20_000), 1000, 1384),
        ((1024, resource.RLIM_INFINITY), 1000, 1384),
        ((1024, 1024), 640, 1024),
        ((256, 1024), 640, 1024),
        ((64, 64), 1, 64),
    ],
)
def test_room_is_what_descriptors_allow(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], room: int, allowed: int | None
) -> None:
    """The process raises its own limit as far as it may; where that is not enough, it takes fewer connections."""
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: made.append(wanted))
    with structlog.testing.capture_logs() as logs:
        assert make_room(1000) == room
    assert made == ([] if allowed is None else [(allowed, limits[1])])
    assert [line["event"] for line in logs] == ([] if room == 1000 else ["descriptors"])
