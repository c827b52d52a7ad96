"""Who may have a socket: how many are open in all and from one peer, whatever is spoken on them, or nothing yet.

A connection that never sends a byte holds a descriptor too, and one that is refused politely costs as much as one that
is served. So sockets are counted where they are accepted, and closed there without a word when they are too many; what
an open WebSocket or a request may cost is limited further on (`seatsync.core.net.limits`).
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

import structlog
from attrs import define

from seatsync.core.bucket import Bucket
from seatsync.core.net.limits import Shares, owner_of
from seatsync.core.net.networks import Network
from seatsync.core.telemetry.sampling import REFUSALS, Lines

#: Sockets beyond `MAX_CONNECTIONS`, and of one peer beyond `MAX_CONNECTIONS_PER_ADDRESS`: for requests, health checks
#: and those that are being told to come back later.
SPARE_SOCKETS, SPARE_SOCKETS_PER_PEER = 256, 64

#: A peer may open so many sockets for each request that it may send: most that are too many are told so.
SOCKETS_PER_REQUEST = 2

logger = structlog.get_logger(__name__)


@define(eq=False)
class _Peer:
    """What one peer has of the sockets."""

    opened: Bucket
    sockets: int = 0

    @property
    def is_unused(self) -> bool:
        return not self.sockets and self.opened.has(1.0)


class SocketLimits:
    """Counts the open sockets of this process. Loopback peers and trusted proxies may have any share of them."""

    def __init__(
        self,
        *,
        connections: int,
        connections_per_address: int,
        requests_per_s: float,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self.open = 0
        """Sockets that were let in and have not left."""
        self._room = connections + SPARE_SOCKETS
        self._room_per_peer = connections_per_address + SPARE_SOCKETS_PER_PEER
        self._trusted_proxies = trusted_proxies
        self._peers = Shares(lambda: _Peer(Bucket(requests_per_s * SOCKETS_PER_REQUEST)))
        self._owner = lru_cache(maxsize=4096)(self._find_owner)
        self._lines = {reason: Lines(*REFUSALS) for reason in ("server full", "address full", "address too fast")}

    def enter(self, peer: str) -> bool:
        """Let a new socket in, to `leave` when it closes; ``False`` when it has to be closed at once."""
        if self.open >= self._room:
            return self._refuse(peer, "server full")
        owner = self._owner(peer)
        if owner is not None:
            share = self._peers.of(owner)
            if share.sockets >= self._room_per_peer:
                return self._refuse(peer, "address full")
            if share.opened.take():
                return self._refuse(peer, "address too fast")
            share.sockets += 1
        self.open += 1
        return True

    def leave(self, peer: str) -> None:
        """A socket that was let in has closed."""
        self.open -= 1
        owner = self._owner(peer)
        if owner is not None:
            self._peers.of(owner).sockets -= 1

    def _find_owner(self, peer: str) -> str | None:
        """Whom a peer counts as; ``None`` for those who may have any share."""
        address = ip_address(peer)
        return None if any(address in network for network in self._trusted_proxies) else owner_of(peer)

    def _refuse(self, peer: str, reason: str) -> bool:
        left_out = self._lines[reason].next()
        if left_out is not None:
            logger.warning("sockets_refused", reason=reason, address=peer, open=self.open, **left_out)
        return False
