"""Whose request it is when reverse proxies stand in between: the client's IP address."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """The right-most address of ``X-Forwarded-For`` that no trusted proxy has, where the peer is one; else the peer.

    Each proxy appends whom it talked to, so everything left of the first untrusted address is that one's own claim. An
    entry that is no address ends the search at the last proxy known.
    """
    if not trusted or forwarded_for is None:
        return peer
    address = _parse(peer)
    for entry in reversed(forwarded_for.split(",")):
        if address is None or not _is_in(address, trusted):
            break
        claimed = _parse(_without_port(entry.strip()))
        if claimed is None:
            break
        address = claimed
    return peer if address is None else str(address)


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether the address is this machine's own."""
    parsed = _parse(address)
    return parsed is not None and parsed.is_loopback


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _without_port(entry: str) -> str:
    """``1.2.3.4:567`` and ``[::1]:567`` as some proxies write them."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
