"""Whose request it is behind proxies."""

from ipaddress import ip_network

import pytest

from seatsync.core.net.networks import client_address, is_loopback

PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("::1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("nothing", "198.51.100.1", "nothing"),
    ],
    ids=[
        "peer not trusted",
        "nothing forwarded",
        "one proxy",
        "forged beginning",
        "two proxies",
        "all trusted",
        "unreadable",
        "empty",
        "port",
        "port, IPv6",
        "IPv6",
        "mapped peer",
        "peer without an address",
    ],
)
def test_right_most_untrusted_address(peer: str, forwarded: str | None, address: str) -> None:
    """A proxy that is trusted tells whom it talked to; what a client claims itself counts for nothing."""
    assert client_address(peer, forwarded, PROXIES) == address


def test_without_trusted_proxies_nothing_is_believed() -> None:
    """The peer is the client, whatever it says."""
    assert client_address("10.0.0.1", "198.51.100.1", ()) == "10.0.0.1"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_loopback(address: str) -> None:
    """This machine's own addresses, also when mapped into IPv6."""
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "::", "localhost", "", "127.1"])
def test_not_loopback(address: str) -> None:
    """Everything else, names included."""
    assert not is_loopback(address)
