"""Admission: limits on sockets, requests, connections and messages, in total and per client network.

Sockets are counted by the peer's address when they are accepted: a silent one holds a descriptor, too. Loopback peers
are exempt from that, for a proxy's sockets look like any others yet. Everything else is counted by the client's
address, as trusted proxies report it; local requests are exempt, since load tests send those.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import structlog
from attrs import define

from seatsync import errors
from seatsync.config import Settings
from seatsync.config.values import Network
from seatsync.core.bucket import Bucket
from seatsync.core.net.networks import LOOPBACK, client_network, is_in
from seatsync.core.telemetry.sampling import REFUSALS, Lines

#: Sockets beyond MAX_CONNECTIONS, and of one peer beyond MAX_CONNECTIONS_PER_ADDRESS: for requests, health checks and
#: connections that are refused with advice.
SPARE_SOCKETS, SPARE_SOCKETS_PER_PEER = 256, 64

#: Sockets that a peer may open for each request it may send: most sockets beyond the limit get an answer.
SOCKETS_PER_REQUEST = 2

#: One network may send as many messages as this many connections.
BUSY_CONNECTIONS = 10

logger = structlog.get_logger(__name__)


@define(eq=False)
class Share:
    """The use of one network: its buckets by name, and its open sockets or connections."""

    buckets: Mapping[str, Bucket]
    open: int = 0

    @property
    def is_unused(self) -> bool:
        """Nothing is open and every bucket is full."""
        return not self.open and all(bucket.has(1.0) for bucket in self.buckets.values())


class Shares:
    """One `Share` for each client network; the ``exempt`` networks have none.

    ``rates`` are the buckets of a share, by name, in tokens a second. Unused shares are forgotten when there are
    ``many``, and then not before there are twice as many as were left.
    """

    def __init__(self, rates: Mapping[str, float], exempt: Sequence[Network] = (), many: int = 10_000) -> None:
        self._rates = rates
        self._exempt = exempt
        self._many = self._forget_at = many
        self._shares: dict[str, Share] = {}
        self._network = lru_cache(maxsize=4096)(self._find_network)

    def of(self, address: str) -> Share | None:
        """The share of the address's network; ``None`` if it is exempt."""
        network = self._network(address)
        if network is None:
            return None
        if (share := self._shares.get(network)) is None:
            self._forget_unused()
            share = self._shares[network] = Share({name: Bucket(rate) for name, rate in self._rates.items()})
        return share

    def close(self, address: str) -> None:
        """Count one that was open as closed."""
        if (share := self.of(address)) is not None:
            share.open -= 1

    def _find_network(self, address: str) -> str | None:
        return None if is_in(address, self._exempt) else client_network(address)

    def _forget_unused(self) -> None:
        if len(self._shares) >= self._forget_at:
            self._shares = {network: share for network, share in self._shares.items() if not share.is_unused}
            self._forget_at = max(self._many, 2 * len(self._shares))


class SocketLimits:
    """Counts the open sockets of this process, in total and per peer.

    Loopback and trusted proxies, through which many clients may connect, are exempt from the latter.
    """

    def __init__(self, settings: Settings) -> None:
        self.open = 0
        """Sockets that were admitted and not released."""
        self._most = settings.max_connections + SPARE_SOCKETS
        self._most_per_peer = settings.max_connections_per_address + SPARE_SOCKETS_PER_PEER
        rates = {"opened": settings.requests_per_s * SOCKETS_PER_REQUEST}
        self._shares = Shares(rates, (*LOOPBACK, *settings.trusted_proxies))
        self._lines = {reason: Lines(*REFUSALS) for reason in ("server full", "address full", "address too fast")}

    def admit(self, peer: str) -> bool:
        """Admit a new socket, to be released when it closes; ``False`` if it must be closed at once."""
        if self.open >= self._most:
            return self._refuse(peer, "server full")
        share = self._shares.of(peer)
        if share is not None:
            if share.open >= self._most_per_peer:
                return self._refuse(peer, "address full")
            if share.buckets["opened"].take():
                return self._refuse(peer, "address too fast")
            share.open += 1
        self.open += 1
        return True

    def release(self, peer: str) -> None:
        """Count an admitted socket as closed."""
        self.open -= 1
        self._shares.close(peer)

    def _refuse(self, peer: str, reason: str) -> bool:
        self._lines[reason].write(logger.warning, "sockets_refused", reason=reason, address=peer, open=self.open)
        return False


@define(eq=False)
class Budget:
    """The budget of one connection: its own bucket, as long as its network has tokens left."""

    own: Bucket
    shared: Bucket
    refused: int = 0
    """Frames beyond it since either bucket was last half full."""

    def take(self) -> float:
        """Take one frame's token: 0, or the seconds to wait."""
        wait_s = self.own.take() or self.shared.take()
        if wait_s:
            self.refused += 1
        elif self.refused and self.own.has(0.5) and self.shared.has(0.5):
            self.refused = 0
        return wait_s

    @property
    def is_ignored(self) -> bool:
        """The peer went on for another bucketful after the first refusal."""
        return self.refused > self.own.capacity


class ClientLimits:
    """Requests, connections and messages of each client network; those of local clients are not limited."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        requests, messages = settings.requests_per_s, settings.messages_per_s * BUSY_CONNECTIONS
        self._shares = Shares({"requests": requests, "pages": requests, "messages": messages})

    def request(self, address: str, *, is_local: bool, is_page: bool = False) -> None:
        """Count an HTTP request or a handshake; raises `TooManyRequests` beyond the limit.

        Pages about the server's health have a bucket of their own: they are needed when the other one is empty.
        """
        share = self._share(address, is_local)
        if share is not None and (wait_s := share.buckets["pages" if is_page else "requests"].take()):
            raise errors.TooManyRequests(retry_after=round(wait_s + 1.0, 1))

    def check_connections(self, address: str, *, is_local: bool) -> None:
        """Raises `TooManyConnections` if the network has as many as it may have."""
        share = self._share(address, is_local)
        most = self._settings.max_connections_per_address
        if share is not None and share.open >= most:
            raise errors.TooManyConnections(f"One address may have {most} connections.", retry_after=10.0)

    def opened(self, address: str, *, is_local: bool) -> Budget | None:
        """Count a connection as open; returns its budget, ``None`` for an unlimited one."""
        share = self._share(address, is_local)
        if share is None:
            return None
        share.open += 1
        return Budget(Bucket(self._settings.messages_per_s), share.buckets["messages"])

    def closed(self, address: str, *, is_local: bool) -> None:
        """Count a connection that was `opened` as closed."""
        if not is_local:
            self._shares.close(address)

    def _share(self, address: str, is_local: bool) -> Share | None:
        return None if is_local else self._shares.of(address)
