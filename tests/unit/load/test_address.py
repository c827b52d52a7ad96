"""Addresses of servers, and the refusal of anything else."""

import pytest

from seatsync.load import LoadError
from seatsync.load.address import Address, sources_needed


def test_an_address_is_resolved_once() -> None:
    """The host as it was written goes into the Host field; no path is the server's own."""
    address = Address.parse("ws://localhost:3001")
    assert (address.host, address.path, address.sockaddr) == ("localhost:3001", "/ws", ("127.0.0.1", 3001))
    assert address.is_loopback


@pytest.mark.parametrize("url", ["localhost:3001", "http://localhost", "wss://localhost", "ws://", "ws://localhost:x"])
def test_anything_else_is_refused(url: str) -> None:
    """Anything but an address is refused before the test starts."""
    with pytest.raises(LoadError):
        Address.parse(url)


@pytest.mark.parametrize(("connections", "sources"), [(1, 1), (20_000, 1), (20_001, 2), (100_000, 5)])
def test_many_connections_need_several_sources(connections: int, sources: int) -> None:
    """One address has some 28,000 ports, not all of them free."""
    assert sources_needed(connections) == sources
