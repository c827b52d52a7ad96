"""Where the server is, and from which of this machine's addresses to connect to it."""

import re
import socket
from itertools import cycle
from urllib.parse import urlsplit

from attrs import frozen

from seatsync.load.failure import LoadError

#: Connections from one address to one port: the range of ephemeral ports has about 28,000, and other programs use some.
PER_SOURCE = 20_000

_DEFAULT_PORT = 80
_LOOPBACK_V4 = re.compile(r"127\.[0-9.]+")


@frozen
class Address:
    """A server's address, resolved once."""

    host: str
    """What goes into the ``Host`` field."""
    path: str
    family: socket.AddressFamily
    sockaddr: tuple[str, int]

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Resolve a ``ws://`` URL; raises `LoadError`.

        ``localhost`` is 127.0.0.1, the only loopback network with more than one address.
        """
        parts = urlsplit(url)
        try:
            name, port = parts.hostname, parts.port or _DEFAULT_PORT
        except ValueError as error:
            raise LoadError(f"{url!r} is no address: {error}.") from None
        if parts.scheme != "ws" or not name:
            raise LoadError(f"{url!r} is not of the form ws://host:port/path; TLS belongs to a proxy in front.")
        try:
            found = socket.getaddrinfo("127.0.0.1" if name == "localhost" else name, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise LoadError(f"The server's address {name!r} is not known: {error.strerror}.") from None
        family, _, _, _, sockaddr = found[0]
        return cls(parts.netloc, parts.path or "/ws", family, (str(sockaddr[0]), int(sockaddr[1])))

    @property
    def is_loopback(self) -> bool:
        """Whether there are more source addresses for the taking: 127.0.0.1, 127.0.0.2, …"""
        return _LOOPBACK_V4.fullmatch(self.sockaddr[0]) is not None


class Sources:
    """The source addresses to connect from, in turn; none named means that the kernel chooses."""

    def __init__(self, count: int) -> None:
        self._names = cycle([f"127.0.0.{number}" for number in range(1, count + 1)]) if count > 1 else None

    def bind(self, sock: socket.socket) -> None:
        """Give a socket its source address; the port is left to the connect, or it would be taken for all servers."""
        if self._names is not None:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((next(self._names), 0))


#: IP_BIND_ADDRESS_NO_PORT of Linux, which the socket module does not name before Python 3.12.
_BIND_ADDRESS_NO_PORT = 24


def sources_needed(connections: int) -> int:
    """How many source addresses that many connections to one server need."""
    return -(-connections // PER_SOURCE)
