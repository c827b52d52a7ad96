"""Token buckets, and what one connection and one address have of them. The clock is trio's and jumps."""

import pytest
import trio
import trio.testing

from seatsync import errors
from seatsync.core.bucket import BURST_S, Bucket
from seatsync.core.net import limits
from seatsync.core.net.limits import BUSY_CONNECTIONS, Budget, ClientLimits, owner_of

HERE, THERE = "192.0.2.1", "198.51.100.7"


def took(bucket: Bucket | Budget, times: int) -> int:
    """How many of so many attempts were granted."""
    return sum(not bucket.take() for _ in range(times))


async def test_a_burst_is_granted_and_then_the_rate(mock_clock: trio.testing.MockClock) -> None:
    """A bucket begins full; what is not used is kept, but no more than its capacity."""
    bucket = Bucket(10)
    assert took(bucket, 100) == 10 * BURST_S
    mock_clock.jump(1)
    assert took(bucket, 100) == 10
    mock_clock.jump(1000)
    assert took(bucket, 100) == 10 * BURST_S


async def test_a_steady_flood_gets_the_rate(mock_clock: trio.testing.MockClock) -> None:
    """Being refused costs nothing: who asks a thousand times a second is granted as much as who waits."""
    bucket = Bucket(10)
    took(bucket, 40)
    granted = 0
    for _ in range(10_000):
        mock_clock.jump(0.001)
        granted += took(bucket, 1)
    assert granted == pytest.approx(100, abs=1)


async def test_the_wait_is_exact(mock_clock: trio.testing.MockClock) -> None:
    """Whoever waits as long as told is granted."""
    bucket = Bucket(3, 1)
    assert not bucket.take()
    wait_s = bucket.take()
    assert 0 < wait_s <= 1 / 3
    mock_clock.jump(wait_s / 2)
    assert bucket.take()
    mock_clock.jump(wait_s / 2 + 0.001)
    assert not bucket.take()


async def test_who_waits_when_told_is_not_closed(mock_clock: trio.testing.MockClock) -> None:
    """Refusals are forgiven once the bucket is half full again."""
    budget = Budget(Bucket(10), Bucket(100))
    for _ in range(20):
        took(budget, 70)
        assert not budget.is_ignored
        mock_clock.jump(BURST_S)


@pytest.mark.parametrize("factor", [1.2, 2.0, 1000.0])
async def test_who_never_waits_is_ignoring_it(mock_clock: trio.testing.MockClock, factor: float) -> None:
    """However little the rate is exceeded, and although some are granted in between."""
    budget = Budget(Bucket(10), Bucket(100))
    took(budget, 40)
    refused = 0
    while not budget.is_ignored:
        mock_clock.jump(1 / (10 * factor))
        refused += bool(budget.take())
        assert refused <= 41
    assert refused == 41


async def test_an_address_has_its_share_for_all_connections() -> None:
    """Past it each of them is refused, however little it sent itself, and the one that goes on is ignoring it."""
    addresses = ClientLimits(requests_per_s=1, messages_per_s=5, connections=1000)
    budgets = [budget for _ in range(3 * BUSY_CONNECTIONS) if (budget := addresses.opened(HERE))]
    assert len(budgets) == 3 * BUSY_CONNECTIONS
    granted = sum(took(budget, 20) for budget in budgets)
    assert granted == BUSY_CONNECTIONS * 5 * BURST_S
    other = addresses.opened(THERE)
    assert other is not None
    assert took(other, 20) == 20
    assert not budgets[0].is_ignored
    assert took(budgets[-1], 1) == 0
    assert budgets[-1].is_ignored


def refused_request(addresses: ClientLimits, address: str) -> float:
    """How many requests, of a thousand, are granted before one is refused."""
    for count in range(1000):
        try:
            addresses.request(address)
        except errors.TooManyRequests as error:
            return count if error.retry_after else -1
    return 1000


async def test_requests_are_counted_by_address(mock_clock: trio.testing.MockClock) -> None:
    """One address's requests are not another's; loopback has any number."""
    addresses = ClientLimits(requests_per_s=2, messages_per_s=1, connections=1)
    assert refused_request(addresses, HERE) == 2 * BURST_S
    assert refused_request(addresses, HERE) == 0
    assert refused_request(addresses, THERE) == 2 * BURST_S
    assert refused_request(addresses, "127.0.0.1") == 1000
    assert refused_request(addresses, "::1") == 1000


async def test_pages_have_a_share_of_their_own(mock_clock: trio.testing.MockClock) -> None:
    """Health can be asked for when other requests are refused, but not without limit either."""
    addresses = ClientLimits(requests_per_s=2, messages_per_s=1, connections=1)
    refused_request(addresses, HERE)
    for _ in range(8):
        addresses.request(HERE, is_page=True)
    with pytest.raises(errors.TooManyRequests):
        addresses.request(HERE, is_page=True)


async def test_connections_are_counted_by_address() -> None:
    """So many at the same time: one that has closed makes room."""
    addresses = ClientLimits(requests_per_s=1, messages_per_s=1, connections=2)
    for _ in range(2):
        addresses.check_connections(HERE)
        addresses.opened(HERE)
    with pytest.raises(errors.TooManyConnections) as caught:
        addresses.check_connections(HERE)
    assert caught.value.retry_after
    addresses.check_connections(THERE)
    addresses.closed(HERE)
    addresses.check_connections(HERE)


async def test_loopback_may_send_anything() -> None:
    """It has no budget."""
    addresses = ClientLimits(requests_per_s=1, messages_per_s=1, connections=0)
    addresses.check_connections("127.0.0.1")
    assert addresses.opened("127.0.0.1") is None
    addresses.closed("127.0.0.1")


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("127.0.0.1", None),
        ("127.255.0.9", None),
        ("::1", None),
    ],
)
def test_whom_an_address_counts_as(address: str, owner: str | None) -> None:
    """Who has one address of a /64 has all of them."""
    assert owner_of(address) == owner


async def test_unused_addresses_are_forgotten(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those with a connection, and not those that have just been asking."""
    monkeypatch.setattr(limits, "_MANY_ADDRESSES", 10)
    addresses = ClientLimits(requests_per_s=1, messages_per_s=1, connections=5)
    addresses.opened(HERE)
    for number in range(200):
        addresses.request(f"203.0.113.{number}")
        mock_clock.jump(1)
        assert len(addresses._shares) <= 20
    addresses.request(THERE)
    assert refused_request(addresses, THERE) == BURST_S - 1
    addresses.closed(HERE)


async def test_forgetting_is_no_work_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """While all of very many addresses are in use, they are gone over when their number has doubled, not at each."""
    monkeypatch.setattr(limits, "_MANY_ADDRESSES", 8)
    looked = 0

    def unused(_: object) -> bool:
        nonlocal looked
        looked += 1
        return False

    monkeypatch.setattr(limits._AddressShare, "is_unused", property(unused))
    addresses = ClientLimits(requests_per_s=1, messages_per_s=1, connections=5)
    for number in range(1024):
        addresses.request(f"10.0.{number // 256}.{number % 256}")
    assert looked <= 2 * 1024
