"""The loop that accepts connections."""

import errno
import socket
from contextlib import ExitStack, aclosing, suppress
from functools import partial

import structlog
import trio
from attrs import evolve

from seatsync.config import load_settings
from seatsync.core.net.accept import accept_forever
from seatsync.core.net.limits import SPARE_SOCKETS, SocketLimits
from seatsync.core.net.listen import bind
from seatsync.core.net.stream import Stream
from seatsync.core.timing import Timing
from tests.support.waiting import eventually


def limits(connections: int = 10) -> SocketLimits:
    """Limits of so many connections."""
    return SocketLimits(evolve(load_settings({}, None), max_connections=connections, max_connections_per_address=10))


class Exhausted(socket.socket):
    """A listening socket of a process that has no descriptor left, until ``freed``."""

    freed = False

    def accept(self) -> tuple[socket.socket, object]:
        """Accept, or fail as the kernel would."""
        if not self.freed:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_accepting_waits_for_descriptors(nursery: trio.Nursery) -> None:
    """Without a free descriptor connections stay in the kernel's queue, and the log has one line."""
    served = trio.Event()

    async def serve(stream: Stream) -> None:
        served.set()
        await stream.aclose()

    with Exhausted() as listening, structlog.testing.capture_logs() as logs:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        accept = partial(accept_forever, burst=4, timing=Timing(exhausted_s=0.01))
        nursery.start_soon(accept, listening, limits(), serve, nursery)
        async with await trio.open_tcp_stream(*listening.getsockname()) as client:
            await trio.sleep(0.05)
            listening.freed = True
            with trio.fail_after(5):
                await served.wait()
                assert await client.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert [line["event"] for line in logs] == ["accept_paused"]


async def test_sockets_beyond_the_limits_are_closed() -> None:
    """Sockets beyond the limits are closed without an answer, until another has closed."""

    async def serve(stream: Stream) -> None:
        async with aclosing(stream):
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"hello")
                await stream.receive_some()

    (listening,) = bind(["127.0.0.1"], 0)
    full = limits(connections=0)
    address = listening.getsockname()
    with listening, ExitStack() as filled:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(accept_forever, burst=64), listening, full, serve, nursery)
            for _ in range(SPARE_SOCKETS):
                filled.enter_context(socket.create_connection(address))
            async with await trio.open_tcp_stream(*address) as last:
                assert await last.receive_some() == b""
            filled.close()

            async def is_admitted() -> bool:
                async with await trio.open_tcp_stream(*address) as stream:
                    return await stream.receive_some() == b"hello"

            await eventually(is_admitted)
            nursery.cancel_scope.cancel()
    assert full.open == 0
