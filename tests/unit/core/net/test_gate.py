"""Sockets are counted where they are accepted, whatever is spoken on them."""

from ipaddress import ip_network

import pytest
import structlog
import trio
import trio.testing

from seatsync.core.bucket import BURST_S
from seatsync.core.net import limits
from seatsync.core.net.gate import SOCKETS_PER_REQUEST, SPARE_SOCKETS, SPARE_SOCKETS_PER_PEER, SocketLimits

HERE, THERE, PROXY = "192.0.2.1", "198.51.100.7", "10.0.0.1"


def make_gate(*, connections: int = 1000, per_address: int = 1000, requests_per_s: float = 1000) -> SocketLimits:
    """A gate behind a trusted proxy."""
    return SocketLimits(
        connections=connections,
        connections_per_address=per_address,
        requests_per_s=requests_per_s,
        trusted_proxies=[ip_network("10.0.0.0/8")],
    )


def fits(gate: SocketLimits, peer: str) -> int:
    """How many sockets of a peer are let in."""
    count = 0
    while gate.enter(peer):
        count += 1
    return count


async def test_all_sockets_together_are_bounded() -> None:
    """Loopback's too: what is bounded is descriptors. One that is closed makes room for one."""
    gate = make_gate(connections=10)
    assert fits(gate, "127.0.0.1") == 10 + SPARE_SOCKETS
    assert not gate.enter(THERE)
    gate.leave("127.0.0.1")
    assert gate.enter(THERE)
    assert not gate.enter(THERE)


async def test_one_peer_cannot_have_them_all() -> None:
    """A peer's share is what an address may have of connections, and some more."""
    gate = make_gate(per_address=10)
    assert fits(gate, HERE) == 10 + SPARE_SOCKETS_PER_PEER
    assert gate.enter(THERE)
    gate.leave(HERE)
    assert fits(gate, HERE) == 1


async def test_one_network_counts_as_one_peer() -> None:
    """A /64 of IPv6 belongs to one customer."""
    gate = make_gate(per_address=1)
    assert sum(gate.enter(f"2001:db8::{number:x}") for number in range(200)) == 1 + SPARE_SOCKETS_PER_PEER
    assert gate.enter("2001:db8:0:1::1")


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", PROXY])
async def test_whom_everybody_comes_through_has_no_share(peer: str) -> None:
    """Loopback and trusted proxies may have all there is."""
    gate = make_gate(per_address=1)
    assert fits(gate, peer) == 1000 + SPARE_SOCKETS


async def test_a_peer_may_not_connect_too_fast(autojump_clock: trio.testing.MockClock) -> None:
    """However few of its sockets are open at the same time; others may connect meanwhile."""
    gate = make_gate(requests_per_s=1)
    let_in = 0
    while gate.enter(HERE):
        gate.leave(HERE)
        let_in += 1
    assert let_in == SOCKETS_PER_REQUEST * BURST_S
    assert gate.enter(THERE)
    await trio.sleep(1)
    assert gate.enter(HERE)


async def test_peers_that_have_gone_are_forgotten(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million addresses that came once cost nothing for long."""
    monkeypatch.setattr(limits, "_MANY_ADDRESSES", 10)
    gate = make_gate()
    for number in range(1000):
        peer = f"203.0.{number // 256}.{number % 256}"
        assert gate.enter(peer)
        gate.leave(peer)
        await trio.sleep(0.1)
        assert len(gate._peers) <= 10
    assert gate.open == 0


async def test_a_flood_is_a_line_in_the_log(autojump_clock: trio.testing.MockClock) -> None:
    """One when it begins, and one a minute that says how many there were."""
    gate = make_gate(per_address=0)
    with structlog.testing.capture_logs() as logs:
        fits(gate, HERE)
        for _ in range(500):
            assert not gate.enter(HERE)
        await trio.sleep(61)
        assert not gate.enter(HERE)
    first, second = logs
    assert (first["event"], first["reason"], first["address"]) == ("sockets_refused", "address full", HERE)
    assert second["left_out"] == 500
