"""Where a request comes from, as far as throttles care."""

import pytest

from seatsync import errors
from seatsync.user.throttle import is_loopback, network_of, refuse_if


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_one_subscriber_is_one_address(address: str, network: str) -> None:
    """IPv4 counts by address, IPv6 by /64, and an IPv4 peer on an IPv6 socket as the IPv4 one."""
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.168.0.1", False)],
)
def test_loopback_is_this_machine(address: str, local: bool) -> None:
    """Every spelling of a loopback address, and no private network."""
    assert is_loopback(address) is local


def test_waiting_is_an_error_that_says_how_long() -> None:
    """`retry_after` is what is left to wait."""
    with pytest.raises(errors.TooManyLoginAttempts) as caught:
        refuse_if(30, errors.TooManyLoginAttempts)
    assert caught.value.retry_after == 30


def test_nothing_to_wait_for_is_no_error() -> None:
    """0 lets the attempt through."""
    refuse_if(0, errors.TooManyLoginAttempts)
