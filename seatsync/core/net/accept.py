"""Listening sockets, and the loop that accepts from them."""

import errno
import resource
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

import structlog
import trio

from seatsync.core.net.gate import SPARE_SOCKETS, SocketLimits
from seatsync.core.net.stream import Stream
from seatsync.core.telemetry.sampling import REFUSALS, Lines

#: Connections that may wait in the kernel to be accepted; the kernel's own limit (somaxconn) holds too.
BACKLOG = 4096

#: What the kernel takes of a connection beyond what is under way to the peer, in bytes. Left alone it takes four
#: megabytes of frames, all of them old by the time a peer that has stopped reading comes back to them.
UNSENT_BYTES = 64 * 1024

#: Descriptors that are not connections: listening sockets, the database, logs, libraries.
_OTHER_DESCRIPTORS = 128

#: Connections accepted before other tasks get their turn, by a server on its own and by one of several workers: those
#: that come together are for all of them.
BURST, SHARED_BURST = 64, 4

#: How long to leave connections waiting when there is no descriptor left, in seconds.
_EXHAUSTED_S = 0.1

#: How often a free port is looked for.
_TRIES = 5

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

logger = structlog.get_logger(__name__)


class BindError(Exception):
    """An address cannot be listened on; the message is one sentence for a person."""


def bind(hosts: Iterable[str], port: int) -> list[socket.socket]:
    """One non-blocking listening socket for each address that this machine has; port 0 picks one free for all.

    Raises `BindError` when the port is taken, may not be used, or none of the addresses exists here.
    """
    hosts = tuple(hosts)
    if port == 0:
        for _ in range(_TRIES):  # what is free on the first address may be taken on the next
            with suppress(BindError):
                return _bind_all(hosts, port)
    return _bind_all(hosts, port)


def _bind_all(hosts: Iterable[str], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    missing: list[str] = []
    try:
        for host in hosts:
            try:
                listening = _bind_one(host, port)
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise BindError(_sentence(host, port, error)) from error
                missing.append(host)
                continue
            bound.append(listening)
            port = listening.getsockname()[1]
    except BaseException:
        for listening in bound:
            listening.close()
        raise
    if not bound:
        raise BindError(f"This machine has no address {' or '.join(missing)}: set HOST to one it has.")
    return bound


def _bind_one(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host != "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Accepted sockets inherit both.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken: stop what uses it, or set PORT and WS_PORT to others."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}: set PORT and WS_PORT to ones above 1023."
    return f"Cannot listen on {host}, port {port}: {error.strerror}."


def make_room(connections: int) -> int:
    """Allow this process descriptors for that many connections; returns for how many it has them.

    Where that is not enough, the log has a sentence for a person.
    """
    others = SPARE_SOCKETS + _OTHER_DESCRIPTORS
    wanted = connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return connections
    room = max(1, allowed - others)
    sentence = (
        f"This process may open {allowed} files, which is room for {room} connections, "
        f"not the {connections} of MAX_CONNECTIONS: raise the limit (ulimit -n, LimitNOFILE)."
    )
    logger.warning("descriptors", message=sentence)
    return room


async def accept_forever(
    listening: socket.socket,
    gate: SocketLimits,
    serve: Callable[[Stream], Awaitable[None]],
    nursery: trio.Nursery,
    burst: int,
) -> None:
    """Serve every connection that the gate lets in, in a task of its own in ``nursery``, until cancelled.

    At most ``burst`` are accepted before other tasks get their turn. Accepting pauses, without losing a connection,
    while the process has no descriptor left.
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
                    if (left_out := pauses.next()) is not None:
                        logger.warning("accept_paused", reason=error.strerror, **left_out)
                    await trio.sleep(_EXHAUSTED_S)
                    break
                continue
            peer = _plain(address[0])
            if not gate.enter(peer):
                accepted.close()
                continue
            accepted.setblocking(False)
            nursery.start_soon(_serve_and_leave, gate, serve, Stream(accepted, peer, nursery.start_soon))


async def _serve_and_leave(gate: SocketLimits, serve: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
    try:
        await serve(stream)
    finally:
        gate.leave(stream.peer)


@lru_cache(maxsize=4096)
def _plain(address: str) -> str:
    """An IPv4 address that came in through an IPv6 socket, as IPv4; a link-local one without its zone."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return address.partition("%")[0]
