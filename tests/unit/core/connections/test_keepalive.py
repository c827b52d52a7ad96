"""Keepalive: pings, silence, slow peers and token expiry."""

from uuid import uuid4

import pytest
import trio
from trio.testing import MockClock

from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode
from tests.support.nodes import EPOCH_S, GUEST, Node

TIMING = Timing()
PING_AFTER_S, DROP_AFTER_S, SLOW_FOR_S = TIMING.ping_after_s, TIMING.drop_after_s, TIMING.slow_for_s


async def test_silent_connection_is_pinged_then_dropped(node: Node, autojump_clock: MockClock) -> None:
    """A silent peer is pinged twice, and dropped after a minute."""
    connection = await node.open()
    await trio.sleep(DROP_AFTER_S + 2)
    assert [what for what, _ in connection.log] == ["ping", "ping", f"{CloseCode.GOING_AWAY} silent"]
    times = [at for _, at in connection.log]
    assert times == pytest.approx([PING_AFTER_S, 2 * PING_AFTER_S, DROP_AFTER_S], abs=2 * TIMING.tick_s)


async def test_connection_that_answers_stays(node: Node, autojump_clock: MockClock) -> None:
    """Pongs keep a connection open: browsers never send a heartbeat."""
    connection = await node.open()
    for _ in range(20):
        await trio.sleep(PING_AFTER_S + 1)
        connection.received_at = trio.current_time()
    assert {what for what, _ in connection.log} == {"ping"}


async def test_busy_connection_is_not_pinged(node: Node, autojump_clock: MockClock) -> None:
    """Received data shows that the peer is alive."""
    connection = await node.open()
    for _ in range(100):
        await trio.sleep(4)
        connection.received_at = trio.current_time()
    assert connection.log == []


async def test_peer_that_is_not_read_is_not_silent(node: Node, autojump_clock: MockClock) -> None:
    """Time in which the server does not read does not count as silence."""
    connection = await node.open()
    connection.reading = False
    await trio.sleep(10 * DROP_AFTER_S)
    assert connection.log == []


async def test_slow_peer_is_closed(node: Node, autojump_clock: MockClock) -> None:
    """A slow peer is closed with 4008 and a range of reconnect delays."""
    connection = await node.open()
    connection.reading = False
    await trio.sleep(30)
    connection.behind_since = trio.current_time()
    await trio.sleep(SLOW_FOR_S - 1)
    assert connection.log == []
    await trio.sleep(PING_AFTER_S + 2)
    assert [what for what, _ in connection.log] == [f"{CloseCode.TOO_SLOW} too slow"]
    assert connection.advice is not None
    assert node.metrics.slow_closes == 1


async def test_token_that_expires_ends_the_session(node: Node, autojump_clock: MockClock) -> None:
    """A token's expiry ends the session on time, between two pings."""
    connection = await node.open(uuid4(), expires_at=EPOCH_S + trio.current_time() + 7.3)
    await trio.sleep(7.2)
    assert connection.log == []
    await trio.sleep(2)
    assert [what for what, _ in connection.log] == ["update", f"{CloseCode.LOGIN_CHANGED} login changed"]
    assert connection.client.session.ended
    assert GUEST in connection.sent[0]


async def test_token_that_has_expired_already_does_not_spin(node: Node, autojump_clock: MockClock) -> None:
    """An expired token ends the session once."""
    connection = await node.open(uuid4(), expires_at=1.0)
    await trio.sleep(3)
    assert [what for what, _ in connection.log] == ["update", f"{CloseCode.LOGIN_CHANGED} login changed"]
