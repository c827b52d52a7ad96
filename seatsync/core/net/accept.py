"""The loop that accepts connections."""

import errno
import socket
from collections.abc import Awaitable, Callable

import structlog
import trio

from seatsync.core.net.limits import SocketLimits
from seatsync.core.net.networks import plain_address
from seatsync.core.net.stream import SLOW_BYTES, Stream
from seatsync.core.telemetry.sampling import REFUSALS, Lines
from seatsync.core.timing import Timing

#: Connections accepted in a row before other tasks run, by a single server and by one of several workers: a burst of
#: connections is to be spread over all workers.
BURST, SHARED_BURST = 64, 4

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

logger = structlog.get_logger(__name__)


async def accept_forever(
    listening: socket.socket,
    limits: SocketLimits,
    serve: Callable[[Stream], Awaitable[None]],
    nursery: trio.Nursery,
    *,
    burst: int,
    timing: Timing = Timing(),
    slow_bytes: int = SLOW_BYTES,
) -> None:
    """Serve every connection that the limits admit, in a task of its own in ``nursery``, until cancelled.

    At most ``burst`` are accepted before other tasks run. Accepting pauses, without losing a connection, while the
    process has no free descriptor.
    """
    pauses = Lines(*REFUSALS)
    while True:
        await trio.lowlevel.wait_readable(listening)
        for _ in range(burst):
            try:
                accepted, address = listening.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    pauses.write(logger.warning, "accept_paused", reason=error.strerror)
                    await trio.sleep(timing.exhausted_s)
                    break
                continue
            peer = plain_address(address[0])
            if not limits.admit(peer):
                accepted.close()
                continue
            accepted.setblocking(False)
            stream = Stream(accepted, peer, nursery.start_soon, timing=timing, slow_bytes=slow_bytes)
            nursery.start_soon(_serve_admitted, limits, serve, stream)


async def _serve_admitted(limits: SocketLimits, serve: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
    try:
        await serve(stream)
    finally:
        limits.release(stream.peer)
