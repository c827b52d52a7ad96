"""IP addresses: found behind proxies, compared, and folded into the network they are counted as.

An IPv4 address mapped into IPv6 is the IPv4 address, and the zone of a link-local address is dropped.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from seatsync.config.values import Network

Address = IPv4Address | IPv6Address

#: This machine's own addresses.
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def parse_address(text: str) -> Address | None:
    """The address in a text; ``None`` for anything else, host names included."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


@lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """The address as `parse_address` reads it; any other text as it is."""
    return str(parse_address(text) or text)


def is_loopback(address: str) -> bool:
    """The address is one of this machine's own."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """The address belongs to one of the networks."""
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


def client_network(address: str) -> str:
    """The network that a client is counted as: its IPv4 address, or the /64 of its IPv6 address, as text."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed or address)


def client_address(peer: str, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """The right-most untrusted address of ``X-Forwarded-For`` if the peer is a trusted proxy, else the peer.

    Each proxy appends the address of its own peer, so everything left of the first untrusted address is that client's
    claim. An entry that is not an address ends the search at the last proxy known.
    """
    if not trusted or forwarded_for is None:
        return peer
    address = plain_address(peer)
    for entry in reversed(forwarded_for.split(",")):
        claimed = parse_address(_without_port(entry.strip()))
        if claimed is None or not is_in(address, trusted):
            break
        address = str(claimed)
    return address


def _without_port(entry: str) -> str:
    """``1.2.3.4:567`` and ``[::1]:567`` as some proxies write them."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
