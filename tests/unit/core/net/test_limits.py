"""Admission: buckets, shares of networks, sockets, requests, connections, messages. The clock is trio's and jumps."""

from ipaddress import ip_network

import pytest
import structlog
from attrs import evolve
from trio.testing import MockClock

from seatsync import errors
from seatsync.config import load_settings
from seatsync.core.bucket import BURST_S, Bucket
from seatsync.core.net.limits import (
    BUSY_CONNECTIONS,
    SOCKETS_PER_REQUEST,
    SPARE_SOCKETS,
    SPARE_SOCKETS_PER_PEER,
    Budget,
    ClientLimits,
    Share,
    Shares,
    SocketLimits,
)
from seatsync.core.net.networks import LOOPBACK

SETTINGS = load_settings({}, None)

HERE, THERE, PROXY = "192.0.2.1", "198.51.100.7", "10.0.0.1"


def took(bucket: Bucket | Budget, times: int) -> int:
    """The number of granted attempts."""
    return sum(not bucket.take() for _ in range(times))


# Buckets


async def test_a_burst_is_granted_and_then_the_rate(mock_clock: MockClock) -> None:
    """A bucket begins full; unused tokens are kept, up to its capacity."""
    bucket = Bucket(10)
    assert took(bucket, 100) == 10 * BURST_S
    mock_clock.jump(1)
    assert took(bucket, 100) == 10
    mock_clock.jump(1000)
    assert took(bucket, 100) == 10 * BURST_S


async def test_a_steady_flood_gets_the_rate(mock_clock: MockClock) -> None:
    """A refusal takes no token: a thousand attempts a second are granted as much as patient ones."""
    bucket = Bucket(10)
    took(bucket, 40)
    granted = 0
    for _ in range(10_000):
        mock_clock.jump(0.001)
        granted += took(bucket, 1)
    assert granted == pytest.approx(100, abs=1)


async def test_the_wait_is_exact(mock_clock: MockClock) -> None:
    """A token is available exactly after the seconds that `take` returned."""
    bucket = Bucket(3, 1)
    assert not bucket.take()
    wait_s = bucket.take()
    assert 0 < wait_s <= 1 / 3
    mock_clock.jump(wait_s / 2)
    assert bucket.take()
    mock_clock.jump(wait_s / 2 + 0.001)
    assert not bucket.take()


async def test_refusals_are_forgotten_with_time(mock_clock: MockClock) -> None:
    """A peer that waits when refused does not count as ignoring it: half a bucket later it begins anew."""
    budget = Budget(Bucket(10), Bucket(100))
    for _ in range(20):
        took(budget, 70)
        assert not budget.is_ignored
        mock_clock.jump(BURST_S)


@pytest.mark.parametrize("factor", [1.2, 2.0, 1000.0])
async def test_a_peer_that_never_waits_ignores_its_budget(mock_clock: MockClock, factor: float) -> None:
    """A steady excess of any size ignores the budget in the end, although some frames are granted."""
    budget = Budget(Bucket(10), Bucket(100))
    took(budget, 40)
    refused = 0
    while not budget.is_ignored:
        mock_clock.jump(1 / (10 * factor))
        refused += bool(budget.take())
        assert refused <= 41
    assert refused == 41


# Shares


async def test_unused_shares_are_forgotten(mock_clock: MockClock) -> None:
    """Shares with open connections, or with a bucket that is not full, are kept."""
    shares = Shares({"first": 1, "second": 1}, many=10)
    open_, used = shares.of(HERE), shares.of(THERE)
    assert open_ and used  # noqa: PT018 - neither is exempt
    open_.open += 1
    for number in range(1000):
        used.buckets["second"].take()
        assert shares.of(f"203.0.{number // 256}.{number % 256}") is not None
        mock_clock.jump(1)
        assert len(shares._shares) <= 20
        assert shares.of(HERE) is open_
        assert shares.of(THERE) is used


async def test_forgetting_takes_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Used shares are searched only when their number has doubled, not for each new one."""
    searched = 0

    def is_unused(_: Share) -> bool:
        nonlocal searched
        searched += 1
        return False

    monkeypatch.setattr(Share, "is_unused", property(is_unused))
    shares = Shares({}, many=8)
    for number in range(1024):
        shares.of(f"10.0.{number // 256}.{number % 256}")
    assert searched <= 2 * 1024


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::1", PROXY])
async def test_exempt_addresses_have_no_share(address: str) -> None:
    """The given networks are exempt, loopback's for example."""
    shares = Shares({}, exempt=[*LOOPBACK, ip_network("10.0.0.0/8")])
    assert shares.of(address) is None
    assert shares.of(HERE) is not None


# Sockets


def socket_limits(*, connections: int = 1000, per_address: int = 1000, requests_per_s: int = 1000) -> SocketLimits:
    """Limits behind a trusted proxy."""
    return SocketLimits(
        evolve(
            SETTINGS,
            max_connections=connections,
            max_connections_per_address=per_address,
            requests_per_s=requests_per_s,
            trusted_proxies=(ip_network("10.0.0.0/8"),),
        )
    )


def admitted(limits: SocketLimits, peer: str) -> int:
    """Open sockets of a peer until one is refused; returns how many were admitted."""
    count = 0
    while limits.admit(peer):
        count += 1
    return count


async def test_all_sockets_together_are_bounded() -> None:
    """All sockets are bounded together, loopback's too, since descriptors are the limit."""
    limits = socket_limits(connections=10)
    assert admitted(limits, "127.0.0.1") == 10 + SPARE_SOCKETS
    assert not limits.admit(THERE)
    limits.release("127.0.0.1")
    assert limits.admit(THERE)
    assert not limits.admit(THERE)


async def test_one_peer_cannot_have_all_sockets() -> None:
    """A peer may have the connections of an address, and some more sockets."""
    limits = socket_limits(per_address=10)
    assert admitted(limits, HERE) == 10 + SPARE_SOCKETS_PER_PEER
    assert limits.admit(THERE)
    limits.release(HERE)
    assert admitted(limits, HERE) == 1


async def test_one_network_counts_as_one_peer() -> None:
    """A /64 of IPv6 belongs to one customer."""
    limits = socket_limits(per_address=1)
    assert sum(limits.admit(f"2001:db8::{number:x}") for number in range(200)) == 1 + SPARE_SOCKETS_PER_PEER
    assert limits.admit("2001:db8:0:1::1")


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", PROXY])
async def test_loopback_and_trusted_proxies_may_have_all_sockets(peer: str) -> None:
    """Peers that many clients connect through have no share."""
    limits = socket_limits(per_address=1)
    assert admitted(limits, peer) == 1000 + SPARE_SOCKETS


async def test_a_peer_may_not_connect_too_fast(mock_clock: MockClock) -> None:
    """A peer's rate of connects is bounded, however few are open; others may connect meanwhile."""
    limits = socket_limits(requests_per_s=1)
    count = 0
    while limits.admit(HERE):
        limits.release(HERE)
        count += 1
    assert count == SOCKETS_PER_REQUEST * BURST_S
    assert limits.admit(THERE)
    mock_clock.jump(1)
    assert limits.admit(HERE)


async def test_peers_that_have_gone_are_forgotten(mock_clock: MockClock) -> None:
    """Addresses without open connections take no memory for long."""
    limits = socket_limits()
    limits._shares = Shares({"opened": 2000}, many=10)
    for number in range(1000):
        peer = f"203.0.{number // 256}.{number % 256}"
        assert limits.admit(peer)
        limits.release(peer)
        mock_clock.jump(0.1)
        assert len(limits._shares._shares) <= 10
    assert limits.open == 0


async def test_a_flood_is_a_line_in_the_log(mock_clock: MockClock) -> None:
    """A flood logs one line at its start, and one a minute with the number left out."""
    limits = socket_limits(per_address=0)
    with structlog.testing.capture_logs() as logs:
        admitted(limits, HERE)
        for _ in range(500):
            assert not limits.admit(HERE)
        mock_clock.jump(61)
        assert not limits.admit(HERE)
    first, second = logs
    assert (first["event"], first["reason"], first["address"]) == ("sockets_refused", "address full", HERE)
    assert second["left_out"] == 500


# Clients


def client_limits(*, requests_per_s: int, messages_per_s: int, connections: int) -> ClientLimits:
    """Limits of each network."""
    rates = evolve(SETTINGS, requests_per_s=requests_per_s, messages_per_s=messages_per_s)
    return ClientLimits(evolve(rates, max_connections_per_address=connections))


def granted_requests(limits: ClientLimits, address: str, *, is_local: bool = False) -> int:
    """How many requests, of a thousand, are granted before one is refused."""
    for count in range(1000):
        try:
            limits.request(address, is_local=is_local)
        except errors.TooManyRequests as error:
            return count if error.retry_after else -1
    return 1000


async def test_an_address_has_its_share_for_all_connections() -> None:
    """Connections of an address share a budget; past it each is refused, and the one that goes on ignores it."""
    limits = client_limits(requests_per_s=1, messages_per_s=5, connections=1000)
    budgets = [budget for _ in range(3 * BUSY_CONNECTIONS) if (budget := limits.opened(HERE, is_local=False))]
    assert len(budgets) == 3 * BUSY_CONNECTIONS
    assert sum(took(budget, 20) for budget in budgets) == BUSY_CONNECTIONS * 5 * BURST_S
    other = limits.opened(THERE, is_local=False)
    assert other is not None
    assert took(other, 20) == 20
    assert not budgets[0].is_ignored
    assert took(budgets[-1], 1) == 0
    assert budgets[-1].is_ignored


async def test_requests_are_counted_by_address(mock_clock: MockClock) -> None:
    """Requests are counted by address; local ones have no limit."""
    limits = client_limits(requests_per_s=2, messages_per_s=1, connections=1)
    assert granted_requests(limits, HERE) == 2 * BURST_S
    assert granted_requests(limits, HERE) == 0
    assert granted_requests(limits, THERE) == 2 * BURST_S
    assert granted_requests(limits, "127.0.0.1", is_local=True) == 1000


async def test_pages_have_a_share_of_their_own(mock_clock: MockClock) -> None:
    """Pages such as /healthz have a budget of their own, apart from other requests."""
    limits = client_limits(requests_per_s=2, messages_per_s=1, connections=1)
    granted_requests(limits, HERE)
    for _ in range(8):
        limits.request(HERE, is_local=False, is_page=True)
    with pytest.raises(errors.TooManyRequests):
        limits.request(HERE, is_local=False, is_page=True)


async def test_connections_are_counted_by_address() -> None:
    """Open connections are counted by address; a closed one makes room."""
    limits = client_limits(requests_per_s=1, messages_per_s=1, connections=2)
    for _ in range(2):
        limits.check_connections(HERE, is_local=False)
        limits.opened(HERE, is_local=False)
    with pytest.raises(errors.TooManyConnections) as caught:
        limits.check_connections(HERE, is_local=False)
    assert caught.value.retry_after
    limits.check_connections(THERE, is_local=False)
    limits.closed(HERE, is_local=False)
    limits.check_connections(HERE, is_local=False)


async def test_local_clients_have_no_budget() -> None:
    """Their connections are not counted, and their messages not limited."""
    limits = client_limits(requests_per_s=1, messages_per_s=1, connections=0)
    limits.check_connections("127.0.0.1", is_local=True)
    assert limits.opened("127.0.0.1", is_local=True) is None
    limits.closed("127.0.0.1", is_local=True)


async def test_a_loopback_address_alone_exempts_nobody() -> None:
    """The clients of a proxy on this machine, and those that claim such an address, share what it may have."""
    limits = client_limits(requests_per_s=2, messages_per_s=1, connections=1)
    assert granted_requests(limits, "127.0.0.1") == 2 * BURST_S
    assert limits.opened("127.0.0.1", is_local=False) is not None
    with pytest.raises(errors.TooManyConnections):
        limits.check_connections("127.0.0.1", is_local=False)
    limits.closed("127.0.0.1", is_local=True)
    with pytest.raises(errors.TooManyConnections):
        limits.check_connections("127.0.0.1", is_local=False)
    limits.closed("127.0.0.1", is_local=False)
    limits.check_connections("127.0.0.1", is_local=False)
