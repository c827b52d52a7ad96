"""Addresses: found behind proxies, compared, and folded into networks."""

from ipaddress import ip_network

import pytest

from seatsync.core.net.networks import client_address, client_network, is_in, is_loopback, plain_address

PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param("203.0.113.9", "198.51.100.1", "203.0.113.9", id="peer not trusted"),
        pytest.param("10.0.0.1", None, "10.0.0.1", id="nothing forwarded"),
        pytest.param("10.0.0.1", "198.51.100.1", "198.51.100.1", id="one proxy"),
        pytest.param("10.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1", id="forged beginning"),
        pytest.param("10.0.0.1", "192.0.2.66, 198.51.100.1, 10.0.0.2", "198.51.100.1", id="two proxies"),
        pytest.param("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3", id="all trusted"),
        pytest.param("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1", id="unreadable"),
        pytest.param("10.0.0.1", "", "10.0.0.1", id="empty"),
        pytest.param("10.0.0.1", "198.51.100.1:4711", "198.51.100.1", id="port"),
        pytest.param("::1", "[2001:db8::7]:4711", "2001:db8::7", id="port, IPv6"),
        pytest.param("::1", "2001:db8::7", "2001:db8::7", id="IPv6"),
        pytest.param("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1", id="mapped peer"),
        pytest.param("nothing", "198.51.100.1", "nothing", id="peer without an address"),
    ],
)
def test_right_most_untrusted_address(peer: str, forwarded: str | None, address: str) -> None:
    """The right-most untrusted address is the client's; values that a client sends itself are ignored."""
    assert client_address(peer, forwarded, PROXIES) == address


def test_without_trusted_proxies_nothing_is_believed() -> None:
    """Without trusted proxies the peer is the client, and its fields are ignored."""
    assert client_address("10.0.0.1", "198.51.100.1", ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_one_customer_is_one_network(address: str, network: str) -> None:
    """IPv4 counts by address, IPv6 by /64, and an IPv4 peer on an IPv6 socket as the IPv4 one."""
    assert client_network(address) == network


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_loopback(address: str) -> None:
    """This machine's own addresses, also when mapped into IPv6."""
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.0.1", "::", "localhost", "", "127.1"])
def test_not_loopback(address: str) -> None:
    """Every other address is not loopback, private networks and names included."""
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("address", "plain"), [("::ffff:192.0.2.7", "192.0.2.7"), ("fe80::1%eth0", "fe80::1"), ("2001:db8::7",) * 2]
)
def test_one_address_has_one_text(address: str, plain: str) -> None:
    """An IPv4 peer of an IPv6 socket is an IPv4 peer; zones are this machine's own names."""
    assert plain_address(address) == plain


def test_membership_is_of_addresses_only() -> None:
    """An address may be in a network of either version; other texts are in none."""
    assert [is_in(one, PROXIES) for one in ("10.9.9.9", "::ffff:10.0.0.1", "::1", "11.0.0.1", "unknown")] == [
        *[True] * 3,
        *[False] * 2,
    ]
