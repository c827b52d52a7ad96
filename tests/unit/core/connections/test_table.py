"""All open connections of a node: found, kept alive, and closed when their time has come.

The connections are stand-ins, and the clock is the mock one, which both kinds of time follow.
"""

import gc
import math
import weakref
from itertools import count
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
import trio
import trio.testing
from attrs import define, field
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from seatsync.core.channels.broadcast import Subscription
from seatsync.core.connections import table as module
from seatsync.core.connections.table import (
    DROP_AFTER_S,
    GUEST,
    LOGIN_CLOSE_S,
    PING_AFTER_S,
    REVOKED_WAIT_S,
    SLOW_FOR_S,
    TICK_S,
    Connections,
    spread_ms,
)
from seatsync.core.net.limits import ClientLimits
from seatsync.core.protocol.call import Client
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.websocket.frames import CloseCode
from tests.support.outlets import FakeOutlet

USER = Json(b'{"status":"user","username":"ann","role":"admin"}')
EPOCH_S = 1_800_000_000.0


@define(eq=False, slots=False)
class FakeConnection(FakeOutlet):
    """Stands in for a connection: notes what is done to it, and when."""

    client: Client
    id: int = field(factory=count().__next__)
    behind_since: float | None = None
    heard_at: float = field(factory=trio.current_time)
    """When its peer last said something."""
    reading: bool = True
    log: list[tuple[str, float]] = field(factory=list)
    told: list[bytes] = field(factory=list)
    advice: Any = None
    over: trio.Event = field(factory=trio.Event)
    opened_at: float = field(factory=trio.current_time)
    has_room: bool = True
    socket: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.socket = SimpleNamespace(stream=self, ping=self.ping, close_code=None, budget=None)

    @property
    def silent_s(self) -> float:
        """As `Stream.silent_s`."""
        return trio.current_time() - self.heard_at if self.reading else 0.0

    def ping(self) -> None:
        """Sent a ping."""
        self._note("ping")

    async def run(self) -> None:
        """Served until closed."""
        await self.over.wait()

    async def close(self, code: CloseCode, reason: str, retry_ms: tuple[int, int] | None = None) -> None:
        """Closed."""
        self._note(f"{int(code)} {reason}")
        self.advice = retry_ms
        self.over.set()

    def subscribers(self, method: str) -> list[Subscription]:
        """One subscription to the login state."""
        assert method == "user.subscribe"
        return [Subscription(self, method, "e1", None, lambda *_: None)]  # type: ignore[arg-type]  # no feed is asked

    def push(self, frame: bytes) -> bool:
        """Told something."""
        self.told.append(frame)
        self._note("told")
        return True

    def _note(self, what: str) -> None:
        self.log.append((what, round(trio.current_time() - self.opened_at, 1)))


@define
class Node:
    """The connections of a node, and the nursery that they are served in."""

    connections: Connections
    nursery: trio.Nursery
    metrics: Metrics

    async def open(self, session: UUID | None = None, expires_at: float = math.inf, visitor: str = "v") -> Any:
        """A connection that is being served."""
        connection: Any = FakeConnection(Client("192.0.2.1", visitor, session_id=session, expires_at=expires_at))
        self.nursery.start_soon(self.connections.serve, connection)
        await wait_all_tasks_blocked()
        return connection


def node_in(nursery: trio.Nursery, *, limit: int = 100, public_view: bool = True) -> Node:
    """A node whose deadlines are watched."""
    metrics = Metrics()
    addresses = ClientLimits(requests_per_s=10, messages_per_s=10, connections=100)
    connections = Connections(nursery.start_soon, metrics, addresses, limit=limit, public_view=public_view)
    nursery.start_soon(connections.watch)
    return Node(connections, nursery, metrics)


@pytest.fixture
def node(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node in public view."""
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: EPOCH_S + trio.current_time()))
    return node_in(nursery)


# Keeping alive


async def test_silent_connection_is_pinged_then_dropped(node: Node, autojump_clock: MockClock) -> None:
    """A peer of which nothing comes is asked twice, and given up after a minute."""
    connection = await node.open()
    await trio.sleep(DROP_AFTER_S + 2)
    assert [what for what, _ in connection.log] == ["ping", "ping", f"{CloseCode.GOING_AWAY} silent"]
    times = [at for _, at in connection.log]
    assert times == pytest.approx([PING_AFTER_S, 2 * PING_AFTER_S, DROP_AFTER_S], abs=2 * TICK_S)


async def test_connection_that_answers_stays(node: Node, autojump_clock: MockClock) -> None:
    """Browsers that never send a heartbeat answer pings, and that is enough."""
    connection = await node.open()
    for _ in range(20):
        await trio.sleep(PING_AFTER_S + 1)
        connection.heard_at = trio.current_time()
    assert {what for what, _ in connection.log} == {"ping"}


async def test_busy_connection_is_not_pinged(node: Node, autojump_clock: MockClock) -> None:
    """Whoever is heard of need not be asked."""
    connection = await node.open()
    for _ in range(100):
        await trio.sleep(4)
        connection.heard_at = trio.current_time()
    assert connection.log == []


async def test_silence_of_a_peer_that_is_not_read_is_no_silence(node: Node, autojump_clock: MockClock) -> None:
    """The server has stopped reading it: that is its own doing."""
    connection = await node.open()
    connection.reading = False
    await trio.sleep(10 * DROP_AFTER_S)
    assert connection.log == []


async def test_peer_that_takes_nothing_is_closed(node: Node, autojump_clock: MockClock) -> None:
    """After a while, with 4008 and advice to come back."""
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


# Login state


async def test_login_is_told_and_the_connection_closed_a_second_later(node: Node, autojump_clock: MockClock) -> None:
    """To all sockets of that visitor and to nobody else."""
    ours, other = await node.open(visitor="ours"), await node.open(visitor="other")
    node.connections.visitor_changed("ours", USER)
    await trio.sleep(LOGIN_CLOSE_S + 1)
    assert ours.log == [("told", 0.0), (f"{CloseCode.LOGIN_CHANGED} login changed", LOGIN_CLOSE_S)]
    assert USER in ours.told[0]
    assert other.log == []


async def test_login_closes_at_once_without_public_view(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A guest has nothing to see there."""
    node = node_in(nursery, public_view=False)
    connection = await node.open()
    node.connections.visitor_changed("v", USER)
    await trio.sleep(0.1)
    assert [what for what, _ in connection.log] == ["told", f"{CloseCode.LOGIN_CHANGED} login changed"]


async def test_revoked_session_ends_rights_at_once_and_the_connection_soon(
    node: Node, autojump_clock: MockClock
) -> None:
    """Within two seconds its sockets are told that they are guests, and closed."""
    session = uuid4()
    ours, other = await node.open(session), await node.open(uuid4())
    node.connections.session_revoked(session)
    assert ours.client.ended
    await trio.sleep(2)
    assert [what for what, _ in ours.log] == ["told", f"{CloseCode.LOGIN_CHANGED} login changed"]
    assert GUEST in ours.told[0]
    assert (other.log, other.client.ended) == ([], False)


async def test_login_that_replaces_a_session_is_what_is_told(node: Node, autojump_clock: MockClock) -> None:
    """The revocation of the old session and the news of the new one are one change, told once."""
    session = uuid4()
    connection = await node.open(session)
    node.connections.session_revoked(session)
    await trio.sleep(REVOKED_WAIT_S / 2)
    node.connections.visitor_changed("v", USER)
    await trio.sleep(3)
    assert [what for what, _ in connection.log] == ["told", f"{CloseCode.LOGIN_CHANGED} login changed"]
    assert USER in connection.told[0]


async def test_session_revoked_during_the_handshake_ends_the_connection(node: Node, autojump_clock: MockClock) -> None:
    """The news may come between the check of the session and the connection's place in the index."""
    session = uuid4()
    node.connections.session_revoked(session)
    await trio.sleep(1)
    connection = await node.open(session)
    assert connection.client.ended
    await trio.sleep(2)
    assert connection.log[-1][0] == f"{CloseCode.LOGIN_CHANGED} login changed"


async def test_revoked_sessions_are_not_remembered_for_ever(node: Node, autojump_clock: MockClock) -> None:
    """Only for as long as a handshake may take."""
    for _ in range(50):
        node.connections.session_revoked(uuid4())
        await trio.sleep(1)
    assert len(node.connections._revoked) < 20


async def test_token_that_expires_ends_the_session(node: Node, autojump_clock: MockClock) -> None:
    """On time, whatever else the connection is doing."""
    connection = await node.open(uuid4(), expires_at=EPOCH_S + trio.current_time() + 7.3)
    await trio.sleep(7.2)
    assert connection.log == []
    await trio.sleep(2)
    assert [what for what, _ in connection.log] == ["told", f"{CloseCode.LOGIN_CHANGED} login changed"]
    assert connection.client.ended
    assert GUEST in connection.told[0]


async def test_token_that_has_expired_already_does_not_spin(node: Node, autojump_clock: MockClock) -> None:
    """It is looked at once."""
    connection = await node.open(uuid4(), expires_at=1.0)
    await trio.sleep(3)
    assert [what for what, _ in connection.log] == ["told", f"{CloseCode.LOGIN_CHANGED} login changed"]


async def test_connection_that_leaves_by_itself_is_left_alone(node: Node, autojump_clock: MockClock) -> None:
    """Between the news and the close it may be gone."""
    connection = await node.open()
    node.connections.visitor_changed("v", USER)
    await trio.sleep(0.1)
    connection.over.set()
    await trio.sleep(5)
    assert len(node.connections) == 0


# The books


async def test_connections_are_counted(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """There is room up to the limit, and again when one has gone."""
    node = node_in(nursery, limit=2)
    first, _ = await node.open(), await node.open()
    assert (len(node.connections), node.metrics.connections, node.connections.has_room) == (2, 2, False)
    first.over.set()
    await wait_all_tasks_blocked()
    assert (len(node.connections), node.metrics.connections, node.connections.has_room) == (1, 1, True)


async def test_sessions_of_open_connections_are_known(node: Node, autojump_clock: MockClock) -> None:
    """So that they can be checked after the feed was lost; none twice, none of a guest or of who has gone."""
    session, gone = uuid4(), uuid4()
    await node.open(session)
    await node.open(session)
    await node.open()
    leaver = await node.open(gone)
    leaver.over.set()
    await wait_all_tasks_blocked()
    assert node.connections.session_ids == [session]


async def test_closed_connection_is_let_go(node: Node, autojump_clock: MockClock) -> None:
    """Its memory is not kept until its next deadline: reconnecting herds would add up."""
    connection = await node.open(uuid4(), expires_at=EPOCH_S + 10_000)
    reference = weakref.ref(connection)
    connection.over.set()
    await wait_all_tasks_blocked()
    del connection
    gc.collect()
    assert reference() is None
    assert node.connections._by_visitor == {}
    assert node.connections._by_session == {}


async def test_end_of_a_connection_is_logged(node: Node, autojump_clock: MockClock) -> None:
    """One line with its code and how long it was open."""
    connection = await node.open()
    connection.socket.close_code = 1001
    await trio.sleep(3)
    with capture_logs() as logs:
        connection.over.set()
        await wait_all_tasks_blocked()
    (line,) = logs
    assert (line["event"], line["close_code"], line["seconds"]) == ("connection_closed", 1001, 3.0)


# The end


async def test_everybody_is_told_to_go(node: Node, autojump_clock: MockClock) -> None:
    """Those that open meanwhile too, all with the same advice."""
    first, second = await node.open(), await node.open()
    node.connections.close_all(CloseCode.GOING_AWAY, "drain")
    late = await node.open()
    await trio.sleep(0.1)
    for connection in (first, second, late):
        assert connection.log == [(f"{CloseCode.GOING_AWAY} drain", 0.0)]
        assert connection.advice == (0, spread_ms(2))
    assert len(node.connections) == 0


def test_return_is_spread_over_the_number_of_clients() -> None:
    """2,000 a second, and a second at least."""
    assert [spread_ms(count) for count in (0, 1, 2000, 20_000)] == [1000, 1000, 1000, 10_000]
