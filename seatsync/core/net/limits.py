"""How much one connection and one address may ask: token buckets, and connections counted.

Loopback addresses are exempt: load tests come from there, and so does everybody behind a local proxy that
TRUSTED_PROXIES does not name. IPv6 addresses share with their /64: one customer has all of those.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Generic, Protocol, TypeVar

from attrs import define

from seatsync import errors
from seatsync.core.bucket import Bucket

#: One address may send what so many connections may.
BUSY_CONNECTIONS = 10

#: Beyond this many known addresses, those that have used nothing for a while are forgotten.
_MANY_ADDRESSES = 10_000

#: When a client whose address has too many connections should try again, in seconds.
_CONNECTIONS_RETRY_S = 10.0

#: Bits of an IPv6 address that its owner chooses.
_OWN_BITS = 64


@define(eq=False)
class Budget:
    """What one connection may send: its own share, as long as its address has one left."""

    own: Bucket
    shared: Bucket
    refused: int = 0
    """Frames beyond it since either bucket was last half full."""

    def take(self) -> float:
        """Take one frame's worth: 0, or the seconds to wait."""
        wait_s = self.own.take() or self.shared.take()
        if wait_s:
            self.refused += 1
        elif self.refused and self.own.has(0.5) and self.shared.has(0.5):
            self.refused = 0
        return wait_s

    @property
    def is_ignored(self) -> bool:
        """Whoever sends was told to wait, and has gone on for another bucketful."""
        return self.refused > self.own.capacity


class Share(Protocol):
    """What one owner of addresses uses."""

    @property
    def is_unused(self) -> bool:
        """It may be forgotten."""


_ShareT = TypeVar("_ShareT", bound=Share)


class Shares(Generic[_ShareT]):
    """The shares by owner; when there are many, those that are unused are forgotten."""

    def __init__(self, make: Callable[[], _ShareT]) -> None:
        self._make = make
        self._shares: dict[str, _ShareT] = {}
        self._forget_at = _MANY_ADDRESSES

    def __len__(self) -> int:
        return len(self._shares)

    def of(self, owner: str) -> _ShareT:
        """That owner's share."""
        share = self._shares.get(owner)
        if share is None:
            self._forget_unused()
            share = self._shares[owner] = self._make()
        return share

    def _forget_unused(self) -> None:
        """Look at all when there are many, and not again before there are twice as many as were left."""
        if len(self._shares) >= self._forget_at:
            self._shares = {owner: share for owner, share in self._shares.items() if not share.is_unused}
            self._forget_at = max(_MANY_ADDRESSES, 2 * len(self._shares))


@define(eq=False)
class _AddressShare:
    requests: Bucket
    pages: Bucket
    messages: Bucket
    connections: int = 0

    @property
    def is_unused(self) -> bool:
        return not self.connections and all(bucket.has(1.0) for bucket in (self.requests, self.pages, self.messages))


class ClientLimits:
    """What each client address has used of its share."""

    def __init__(self, *, requests_per_s: float, messages_per_s: float, connections: int) -> None:
        self._messages_per_s = messages_per_s
        self._max_connections = connections
        self._shares = Shares(
            lambda: _AddressShare(
                Bucket(requests_per_s), Bucket(requests_per_s), Bucket(messages_per_s * BUSY_CONNECTIONS)
            )
        )

    def request(self, address: str, *, is_page: bool = False) -> None:
        """Count an HTTP request or a handshake; raises `TooManyRequests` for one beyond the share.

        Pages that tell how the server is have a share of their own: they are asked for when the other is used up.
        """
        owner = owner_of(address)
        if owner is None:
            return
        share = self._shares.of(owner)
        wait_s = (share.pages if is_page else share.requests).take()
        if wait_s:
            raise errors.TooManyRequests(retry_after=round(wait_s + 1.0, 1))

    def check_connections(self, address: str) -> None:
        """Raises `TooManyConnections` when the address has as many as it may have."""
        owner = owner_of(address)
        if owner is not None and self._shares.of(owner).connections >= self._max_connections:
            raise errors.TooManyConnections(
                f"One address may have {self._max_connections} connections.", retry_after=_CONNECTIONS_RETRY_S
            )

    def opened(self, address: str) -> Budget | None:
        """A connection of that address has opened: what it may send, ``None`` for any amount."""
        owner = owner_of(address)
        if owner is None:
            return None
        share = self._shares.of(owner)
        share.connections += 1
        return Budget(Bucket(self._messages_per_s), share.messages)

    def closed(self, address: str) -> None:
        """A connection of that address, which was `opened`, has closed."""
        owner = owner_of(address)
        if owner is not None:
            self._shares.of(owner).connections -= 1


@lru_cache(maxsize=4096)
def owner_of(address: str) -> str | None:
    """Whom an IP address is counted as: itself, the /64 of an IPv6 one; ``None`` for loopback, which is not counted."""
    parsed = ip_address(address)
    if parsed.is_loopback:
        return None
    if isinstance(parsed, IPv6Address):
        return f"{IPv6Address(int(parsed) >> _OWN_BITS << _OWN_BITS)}/64"
    return address
