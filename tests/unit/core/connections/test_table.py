"""All open connections of a node: indexed, counted, and closed when their login state changes or the node stops."""

import gc
import weakref
from uuid import uuid4

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from seatsync.core.connections.table import alias, spread_ms
from seatsync.core.protocol.registry import Json
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode
from tests.support.nodes import EPOCH_S, GUEST, Node, node_in

USER = Json(b'{"status":"user","username":"ann","role":"admin"}')
REVOKED_WAIT_S = Timing().revoked_wait_s
CLOSED = (f"{CloseCode.LOGIN_CHANGED} login changed", 0.0)


# Login state


async def test_login_is_sent_and_the_connection_closed_at_once(node: Node, autojump_clock: MockClock) -> None:
    """A login is sent to the sockets of its visitor alone, and they are closed with it."""
    ours, other = await node.open(visitor="ours"), await node.open(visitor="other")
    node.connections.visitor_changed(alias(b"ours"), alias(b"next"), USER)
    await trio.sleep(2)
    assert ours.log == [("update", 0.0), CLOSED]
    assert USER in ours.sent[0]
    assert other.log == []


@pytest.mark.parametrize("seconds", [0.0, 59.0, 61.0])
async def test_former_id_finds_the_sockets_for_a_minute(node: Node, autojump_clock: MockClock, seconds: float) -> None:
    """A second page that logs in with the id of before two logins finds the sockets of today's id, for 60 s."""
    node.connections.visitor_changed(alias(b"a"), alias(b"b"), USER)
    node.connections.visitor_changed(alias(b"b"), alias(b"c"), USER)
    await trio.sleep(seconds)
    connection, other = await node.open(visitor="c"), await node.open(visitor="other")
    node.connections.visitor_changed(alias(b"a"), alias(b"d"), GUEST)
    await wait_all_tasks_blocked()
    assert connection.log == ([("update", 0.0), CLOSED] if seconds < Timing().former_visitor_s else [])
    assert other.log == []


async def test_logout_right_after_a_login_is_sent_too(node: Node, autojump_clock: MockClock) -> None:
    """A socket that waits for its writes before it is closed receives the newest state."""
    connection = await node.open(visitor="a")
    connection.is_busy = True
    node.connections.visitor_changed(alias(b"a"), alias(b"b"), USER)
    node.connections.visitor_changed(alias(b"b"), None, GUEST)
    assert [what for what, _ in connection.log] == ["update"] * 2
    assert GUEST in connection.sent[1]


@pytest.mark.parametrize("after_s", [0.0, 29.0, 31.0])
async def test_handshake_that_missed_a_login(node: Node, autojump_clock: MockClock, after_s: float) -> None:
    """A handshake with the former id was under way: it is sent the newest state, and closed a second later."""
    node.connections.visitor_changed(alias(b"a"), alias(b"b"), USER)
    node.connections.visitor_changed(alias(b"b"), None, GUEST)
    await trio.sleep(after_s)
    late, newer = await node.open(visitor="a"), await node.open(visitor="b")
    await trio.sleep(5)
    is_late = after_s < Timing().announced_s
    assert late.missed == (("me.subscribe", GUEST) if is_late else None)
    assert late.log == ([(CLOSED[0], Timing().login_close_s)] if is_late else [])
    assert (newer.missed, newer.log) == (None, [])


async def test_announcements_are_forgotten(node: Node, autojump_clock: MockClock) -> None:
    """What can no longer matter takes no memory."""
    for number in range(200):
        node.connections.visitor_changed(f"a{number}", f"b{number}", USER)
        await trio.sleep(1)
    visitors = node.connections._visitors
    assert len(visitors._missed) <= Timing().announced_s + 1
    assert len(visitors._links) <= Timing().former_visitor_s + 1
    assert len(visitors._linked) == 2 * len(visitors._links)


async def test_revocation_closes_at_once_without_public_view(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Without public view a connection is closed right after the update, since guests may read nothing."""
    node, session = node_in(nursery, public_view=False), uuid4()
    connection = await node.open(session)
    node.connections.session_revoked(alias(session.bytes))
    await trio.sleep(REVOKED_WAIT_S + 0.1)
    assert [what for what, _ in connection.log] == ["update", CLOSED[0]]


async def test_revoked_session_ends_rights_at_once_and_the_connection_soon(
    node: Node, autojump_clock: MockClock
) -> None:
    """Within two seconds its sockets are notified that they are guests, and closed."""
    session = uuid4()
    ours, other = await node.open(session), await node.open(uuid4())
    node.connections.session_revoked(alias(session.bytes))
    assert ours.client.session.ended
    await trio.sleep(2)
    assert [what for what, _ in ours.log] == ["update", f"{CloseCode.LOGIN_CHANGED} login changed"]
    assert GUEST in ours.sent[0]
    assert (other.log, other.client.session.ended) == ([], False)


async def test_login_that_replaces_a_session_is_sent(node: Node, autojump_clock: MockClock) -> None:
    """The old session's end and the new login are one change, sent once."""
    session = uuid4()
    connection = await node.open(session)
    node.connections.session_revoked(alias(session.bytes))
    await trio.sleep(REVOKED_WAIT_S / 2)
    node.connections.visitor_changed(alias(b"v"), None, USER)
    await trio.sleep(3)
    assert [what for what, _ in connection.log] == ["update", f"{CloseCode.LOGIN_CHANGED} login changed"]
    assert USER in connection.sent[0]


async def test_session_revoked_during_the_handshake_ends_the_connection(node: Node, autojump_clock: MockClock) -> None:
    """The notification may arrive between the check of the session and the connection's indexing."""
    session = uuid4()
    node.connections.session_revoked(alias(session.bytes))
    await trio.sleep(1)
    connection = await node.open(session)
    assert connection.client.session.ended
    await trio.sleep(2)
    assert connection.log[-1][0] == f"{CloseCode.LOGIN_CHANGED} login changed"


async def test_revoked_sessions_are_forgotten(node: Node, autojump_clock: MockClock) -> None:
    """A revoked session is removed once no earlier handshake can be in flight."""
    for _ in range(50):
        node.connections.session_revoked(alias(uuid4().bytes))
        await trio.sleep(1)
    assert len(node.connections._revoked) < 20


async def test_connection_that_closes_by_itself_is_left_alone(node: Node, autojump_clock: MockClock) -> None:
    """A connection may end between a handshake that missed a login and the close."""
    node.connections.visitor_changed(alias(b"v"), alias(b"w"), USER)
    connection = await node.open()
    await trio.sleep(0.1)
    connection.over.set()
    await trio.sleep(5)
    assert node.metrics.connections == 0


# The index


async def test_connections_are_counted(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """There is room up to the limit, and again when a connection has ended."""
    node = node_in(nursery, limit=2)
    first, _ = await node.open(), await node.open()
    assert (node.metrics.connections, node.connections.has_room) == (2, False)
    first.over.set()
    await wait_all_tasks_blocked()
    assert (node.metrics.connections, node.connections.has_room) == (1, True)


async def test_sessions_of_open_connections_are_known(node: Node, autojump_clock: MockClock) -> None:
    """Sessions to check after a loss of the feed are listed once, without closed connections."""
    session, gone = uuid4(), uuid4()
    await node.open(session)
    await node.open(session)
    await node.open()
    leaver = await node.open(gone)
    leaver.over.set()
    await wait_all_tasks_blocked()
    assert node.connections.session_ids == {session}


async def test_closed_connection_is_let_go(node: Node, autojump_clock: MockClock) -> None:
    """A closed connection is freed before its next deadline."""
    connection = await node.open(uuid4(), expires_at=EPOCH_S + 10_000)
    reference = weakref.ref(connection)
    connection.over.set()
    await wait_all_tasks_blocked()
    del connection
    gc.collect()
    assert reference() is None
    assert node.connections._of == {}


async def test_end_of_a_connection_is_logged(node: Node, autojump_clock: MockClock) -> None:
    """The end of a connection is one line with its close code and duration."""
    connection = await node.open()
    connection.socket.close_code = 1001
    await trio.sleep(3)
    with capture_logs() as logs:
        connection.over.set()
        await wait_all_tasks_blocked()
    (line,) = logs
    assert (line["event"], line["close_code"], line["seconds"]) == ("connection_closed", 1001, 3.0)


# The end


async def test_drain_closes_every_connection(node: Node, autojump_clock: MockClock) -> None:
    """A drain closes every connection, new ones too, with one range of reconnect delays."""
    first, second = await node.open(), await node.open()
    node.connections.close_all(CloseCode.GOING_AWAY, "drain")
    late = await node.open()
    await trio.sleep(0.1)
    for connection in (first, second, late):
        assert connection.log == [(f"{CloseCode.GOING_AWAY} drain", 0.0)]
        assert connection.advice == (0, spread_ms(2))
    assert node.metrics.connections == 0


def test_reconnects_are_spread_over_the_number_of_clients() -> None:
    """Reconnects are spread over time: 2,000 a second, one second at least."""
    assert [spread_ms(count) for count in (0, 1, 2000, 20_000)] == [1000, 1000, 1000, 10_000]
