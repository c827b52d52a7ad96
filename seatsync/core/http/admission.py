"""Admission of requests: the host and origin they may have, the limits of their address, and room on the server."""

from collections.abc import Callable, Sequence

from attrs import frozen

from seatsync import errors
from seatsync.core.http.origin import OriginPolicy
from seatsync.core.http.request import Request
from seatsync.core.net.limits import ClientLimits
from seatsync.core.net.networks import Network, client_address

#: Retry advice of a full server, in seconds.
NO_ROOM_RETRY_S = 5.0


@frozen
class Admission:
    """The checks of a request before it is looked at; all raise the error that answers it."""

    origins: OriginPolicy
    limits: ClientLimits
    trusted_proxies: Sequence[Network]
    has_room: Callable[[], bool]
    """Another connection may be accepted."""

    def address(self, request: Request, peer: str) -> str:
        """The client's IP address, behind trusted proxies too."""
        return client_address(peer, request.header(b"x-forwarded-for"), self.trusted_proxies)

    def check_handshake(self, request: Request, address: str) -> None:
        """Raises `Forbidden`, `TooManyRequests`, `TooManyConnections`; a full server is not checked for here."""
        self.origins.check_origin(request)
        self.limits.request(address)
        self.limits.check_connections(address)

    def check(self, request: Request, address: str, *, is_page: bool) -> None:
        """Raises `TooManyRequests`, `TooManyConnections`, `Forbidden`; pages about the server's health need no room."""
        self.limits.request(address, is_page=is_page)
        if not is_page and not self.has_room():
            raise errors.TooManyConnections(retry_after=NO_ROOM_RETRY_S)
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            self.origins.check_origin(request)
