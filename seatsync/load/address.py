"""The server's address, the addresses of this machine to connect from, and the requests before a test."""

import resource
import socket
import ssl
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from attrs import field, frozen

from seatsync import client
from seatsync.client.address import parse
from seatsync.errors import SeatSyncError
from seatsync.load import LoadError
from seatsync.load.plan import Halls, Plan

#: Connections from one address to one port: the range of ephemeral ports has about 28,000, and other programs use some.
PER_SOURCE = 20_000

#: IP_BIND_ADDRESS_NO_PORT of Linux, which the socket module does not name before Python 3.12.
_BIND_ADDRESS_NO_PORT = 24

#: Descriptors of a process that are not connections, and how long a request may take, in seconds.
_OTHER_DESCRIPTORS, _TIMEOUT_S = 64, 10.0


@frozen
class Address:
    """A server's address, resolved once."""

    name: str
    """That a certificate has to have."""
    host: str
    """For the ``Host`` field."""
    path: str
    family: socket.AddressFamily
    sockaddr: tuple[str, int]
    tls: ssl.SSLContext | None
    _sources: Iterator[str] | None = field(default=None, eq=False)
    """Addresses to connect from, used in turn; ``None``: the kernel's choice."""

    @classmethod
    def parse(cls, url: str, connections: int = 1) -> "Address":
        """Resolve a URL in any of the forms that the client takes; raises `LoadError` and the client's `NoConnection`.

        ``localhost`` is 127.0.0.1: only that loopback network has more addresses, of which that many connections use as
        many as they need.
        """
        known = parse(url)
        name = "127.0.0.1" if known.host == "localhost" else known.host
        try:
            found = socket.getaddrinfo(name, known.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise LoadError(f"The server's address {name!r} is not known: {error.strerror}.") from None
        family, _, _, _, sockaddr = found[0]
        host, port = str(sockaddr[0]), int(sockaddr[1])
        tls = ssl.create_default_context() if known.is_tls else None
        needed = -(-connections // PER_SOURCE) if host.startswith("127.") else 1
        sources = cycle([f"127.0.0.{number}" for number in range(1, needed + 1)]) if needed > 1 else None
        return cls(known.host, known.netloc, known.path, family, (host, port), tls, sources)

    def bind(self, sock: socket.socket) -> None:
        """Bind a socket to the next source; the kernel picks the port on connect, so that other servers share it."""
        if self._sources is not None:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((next(self._sources), 0))

    def connect(self) -> socket.socket:
        """A connected socket, for a request before the test; raises `LoadError`."""
        try:
            sock = socket.create_connection(self.sockaddr, _TIMEOUT_S)
            return self.tls.wrap_socket(sock, server_hostname=self.name) if self.tls else sock
        except OSError as error:
            host, port = self.sockaddr
            raise LoadError(f"Cannot connect to {host}, port {port}: {tls_fault(error)}.") from None


async def find_halls(plan: Plan, token: str | None) -> Halls:
    """The halls of the test; raises `LoadError` if this user sees none, and what the client raises."""
    halls: dict[int, dict[int, str]] = {hall_id: {} for hall_id in plan.halls}
    if halls and not plan.changes_seats:
        return halls
    async with client.connect(plan.url, token) as seats:
        if not halls:
            halls[_largest(await seats.call("cinemas.get_cinemas"))] = {}
        for hall_id in halls if plan.changes_seats else ():
            try:
                hall = await seats.call("hall.get", {"id": hall_id})
            except SeatSyncError as error:
                raise LoadError(f"Hall {hall_id} could not be read: {error.code}.") from None
            halls[hall_id] = {seat["id"]: seat["status"] for seat in hall["seats"]}
    return halls


def _largest(cinemas: list[dict[str, Any]]) -> int:
    """The id of the hall with the most seats."""
    halls = [hall for cinema in cinemas for hall in cinema["halls"]]
    if not halls:
        raise LoadError("The server has no hall: seatsync seed hall --seats 500 --name Load makes one.")
    return int(max(halls, key=lambda hall: sum(hall["seats_count"].values()))["id"])


def tls_fault(error: OSError) -> str:
    """Why a connection could not be made; of a certificate that is refused, why."""
    return getattr(error, "verify_message", None) or error.strerror or str(error)


def raise_descriptor_limit(connections: int) -> None:
    """Allow this process all descriptors it may have; raises `LoadError` if they are too few for the connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < connections + _OTHER_DESCRIPTORS:
        raise LoadError(
            f"A process may open {hard} files here, which is too few for {connections} connections: spread them over"
            " more --processes, or raise the limit (ulimit -n)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
