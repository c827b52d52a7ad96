"""Where a request comes from, as far as throttles care. The counting itself is PostgreSQL's (``throttle_attempt``)."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from seatsync import errors

_IPV6_PREFIX = 64


def refuse_if(wait_s: int, error: type[errors.TooMuch]) -> None:
    """Raises ``error`` with its `retry_after` if there are seconds to wait."""
    if wait_s > 0:
        raise error(retry_after=wait_s)


def network_of(address: str) -> str:
    """What is counted as one address: of IPv6 the /64, all of which a single subscriber has."""
    ip = _parse(address)
    if isinstance(ip, IPv6Address):
        return f"{IPv6Address(int(ip) >> _IPV6_PREFIX << _IPV6_PREFIX)}/{_IPV6_PREFIX}"
    return str(ip)


def is_loopback(address: str) -> bool:
    """Whether the peer is on this machine."""
    return _parse(address).is_loopback


def _parse(address: str) -> IPv4Address | IPv6Address:
    ip = ip_address(address)
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
