"""Listening sockets, and the file descriptors for what they accept."""

import errno
import os
import resource
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress

import structlog

from seatsync.core.net.limits import SPARE_SOCKETS
from seatsync.errors import Failure

#: Connections that may wait in the kernel to be accepted; the kernel's own limit (somaxconn) holds, too.
BACKLOG = 4096

#: Bytes that the kernel buffers for a connection beyond those in flight to the peer. By default it takes four megabytes
#: of frames, all of them stale by the time a peer that has stopped reading comes back to them.
UNSENT_BYTES = 64 * 1024

#: Part of the connections wanted for which there has to be room without a warning.
ENOUGH = 0.9

#: Descriptors that are not connections: listening sockets, the database, logs, libraries.
_OTHER_DESCRIPTORS = 128

_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

logger = structlog.get_logger(__name__)


class BindError(Failure):
    """An address cannot be listened on; the message is one sentence for a person."""


def bind(hosts: Iterable[str], port: int) -> list[socket.socket]:
    """Bind one non-blocking listening socket to each address that this machine has; port 0 picks one free on all.

    ``::`` alone takes IPv4, too; beside an IPv4 address it does not. An address that ``0.0.0.0`` or ``::`` covers needs
    no socket of its own. Raises `BindError` if the port is taken or not permitted, or no address exists here.
    """
    hosts = _uncovered(hosts)
    for _ in range(0 if port else 5):  # a port that is free on the first address may be taken on the next
        with suppress(BindError):
            return _bind_all(hosts, port)
    return _bind_all(hosts, port)


def _uncovered(hosts: Iterable[str]) -> tuple[str, ...]:
    """The addresses without those that a wildcard among them covers."""
    hosts = tuple(hosts)
    wildcards = {one for one in ("0.0.0.0", "::") if one in hosts}  # noqa: S104 - the operator's choice
    return tuple(one for one in hosts if one in wildcards or ("::" if ":" in one else "0.0.0.0") not in wildcards)  # noqa: S104


def _bind_all(hosts: tuple[str, ...], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    dual_stack = hosts == ("::",) and socket.has_dualstack_ipv6()
    with ExitStack() as opened:
        for host in hosts:
            try:
                bound.append(opened.enter_context(_bind_one(host, port, dual_stack=dual_stack)))
                port = bound[-1].getsockname()[1]
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise BindError(_sentence(host, port, error)) from error
        opened.pop_all()
    if not bound:
        raise BindError(f"This machine has no address {' or '.join(hosts)}: set HOST to one it has.")
    return bound


def _bind_one(host: str, port: int, *, dual_stack: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dual_stack)
    # Accepted sockets inherit both.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    listening.setblocking(False)
    return listening


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken: stop what uses it, or set PORT and WS_PORT to others."
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {port}: set PORT and WS_PORT to ones above 1023."
    return f"Cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}."


def make_room(connections: int) -> int:
    """Raise this process's limit of descriptors as far as needed; returns for how many connections it suffices.

    Logs a warning if that is fewer than nine tenths of those wanted.
    """
    others = SPARE_SOCKETS + _OTHER_DESCRIPTORS
    wanted = connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    room = max(1, allowed - others)
    if room < ENOUGH * connections:
        sentence = (
            f"This process may open {allowed} files, which is room for {room} connections, "
            f"not the {connections} of MAX_CONNECTIONS: raise the limit (ulimit -n, LimitNOFILE)."
        )
        logger.warning("descriptors", message=sentence)
    return room
