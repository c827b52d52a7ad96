"""The source of a request: the client's address and name, whether it is local, and whether it came over TLS.

**Local** is a request of a program on this machine: its TCP peer is a loopback address, it was not forwarded, and it is
not HTTP/1.0, which proxies speak without saying so. No header can make a request local. A proxy that forwards
connections, not requests, cannot be distinguished from such a program.
"""

from collections.abc import Sequence

import structlog
from attrs import define, frozen

from seatsync.config.values import Network
from seatsync.core.http.request import Request
from seatsync.core.net.networks import client_address, is_in, is_loopback

#: Characters of a ``User-Agent`` that are kept; those of browsers have about 120.
MAX_USER_AGENT = 256

#: Fields that proxies add; one of them is enough.
FORWARDING = frozenset(
    {b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via", b"x-forwarded-proto", b"x-forwarded-host"}
)

logger = structlog.get_logger(__name__)


@frozen
class Source:
    """The source of one request."""

    address: str
    """The client's IP address, as text; the trusted proxies are skipped."""
    is_local: bool = False
    """It is exempt from the limits of an address, and may read the metrics."""
    is_tls: bool = False
    """The client, as far as is known, speaks TLS, to a proxy."""
    user_agent: str | None = None
    """What the client calls itself, cut to `MAX_USER_AGENT`."""


@define(eq=False)
class Sources:
    """Finds the source of each request. ``always_tls`` states that clients reach this server through TLS alone."""

    _trusted_proxies: Sequence[Network]
    _always_tls: bool
    _has_warned: bool = False

    def of_unread(self, peer: str) -> Source:
        """The source of a request that could not be read."""
        return Source(peer, is_tls=self._always_tls)

    def of(self, request: Request, peer: str) -> Source:
        """The source of a request from that TCP peer."""
        is_forwarded = not FORWARDING.isdisjoint(request.headers)
        is_trusted = is_forwarded and is_in(peer, self._trusted_proxies)
        on_loopback = is_loopback(peer)
        if is_forwarded and on_loopback and not is_trusted:
            self._warn(peer)
        return Source(
            client_address(peer, request.header(b"x-forwarded-for"), self._trusted_proxies),
            is_local=on_loopback and not is_forwarded and request.version != b"1.0",
            is_tls=self._always_tls or (is_trusted and request.has_token(b"x-forwarded-proto", b"https")),
            user_agent=(request.header(b"user-agent") or "")[:MAX_USER_AGENT] or None,
        )

    def _warn(self, peer: str) -> None:
        """Warn once of a proxy on this machine that is not trusted: all of its clients count as one."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "proxy_not_trusted",
                address=peer,
                message=f"A proxy on this machine forwards requests, and all of its clients count as one address: set "
                f"TRUSTED_PROXIES={peer}",
            )
