"""One WebSocket connection: its requests, subscriptions and end, over a real socket, with test methods."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, field
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.connections.connection import MAX_SUBSCRIPTIONS, MAX_WRITES, Connection
from seatsync.core.net.stream import SLOW_BYTES, Stream
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.protocol.call import Client
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.telemetry.sampling import FailureLog
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import CloseCode, FrameReader
from seatsync.core.websocket.socket import WebSocket
from tests.support.methods import Domain
from tests.support.pairs import Peer, tcp_pair


@define
class Wired(Peer):
    """A client, its connection on the server, and the methods."""

    domain: Domain = field(kw_only=True)
    connection: Connection = field(kw_only=True)
    ended: trio.Event = field(factory=trio.Event)

    async def run(self) -> None:
        """Serve the connection to its end."""
        await self.connection.run()
        self.ended.set()

    async def fall_behind(self) -> int:
        """Fill the send buffer; returns the number of calls sent."""
        self.domain.answer = b'"%s"' % (b"x" * 20_000)
        sent = 0
        while self.connection.has_room:
            await self.request("quick", "long")
            sent += 1
            while self.connection.has_room and len(self.domain.called) < sent:
                await trio.lowlevel.checkpoint()
        return sent


@asynccontextmanager
async def wire(nursery: trio.Nursery, timing: Timing = Timing()) -> AsyncIterator[Wired]:
    """A served connection."""
    ours, theirs = tcp_pair()
    domain = Domain()
    with ours, theirs:
        stream = Stream(ours, "127.0.0.1", nursery.start_soon, timing=timing)
        socket = WebSocket(stream, FrameReader(1 << 18), timing)
        client = Client("127.0.0.1", "visitor")
        connection = Connection(socket, client, domain.registry(), Metrics(), FailureLog(), timing=timing)
        wired = Wired(stream, theirs, socket, domain=domain, connection=connection)
        nursery.start_soon(wired.run)
        yield wired
        nursery.cancel_scope.cancel()


@pytest.fixture
async def wired(nursery: trio.Nursery) -> AsyncIterator[Wired]:
    """A served connection with the timing of production."""
    async with wire(nursery) as wired:
        yield wired


# Requests


async def test_calls_are_answered_one_after_the_other(wired: Wired) -> None:
    """Calls are answered in order: later ones wait for a slow one."""
    for eid, method in (("a", "slow"), ("b", "quick"), ("c", "slow")):
        await wired.request(method, eid)
    await wait_all_tasks_blocked()
    assert wired.domain.called == []
    wired.domain.gate.set()
    assert [(await wired.answer())["eid"] for _ in range(3)] == ["a", "b", "c"]


async def test_writes_are_answered_when_they_commit(wired: Wired) -> None:
    """Writes are answered in the order of their commits; reads are answered in between."""
    await wired.request("write", "w1")
    await wired.request("write", "w2")
    await wired.request("quick", "r")
    assert (await wired.answer())["eid"] == "r"
    first, second = wired.domain.writes
    second.outcome = errors.SeatConflict()
    second.commit()
    first.commit()
    answers = [await wired.answer() for _ in range(2)]
    assert [(answer["eid"], answer["error"]) for answer in answers] == [("w2", "SeatConflict"), ("w1", None)]


async def test_writes_in_flight_are_limited(wired: Wired) -> None:
    """A write beyond the limit waits for a commit; heartbeats are answered meanwhile."""
    for number in range(MAX_WRITES + 3):
        await wired.request("write", str(number))
    await wired.request("quick", "read")
    await wait_all_tasks_blocked()
    assert len(wired.domain.writes) == MAX_WRITES
    await wired.send_bytes(b"\x81\x81\x00\x00\x00\x001")
    assert getattr(await wired.event(), "data", None) == "1"
    for number in range(3):
        wired.domain.writes[number].commit()
        assert (await wired.answer())["eid"] == str(number)
        await wait_all_tasks_blocked()
    assert wired.domain.called == [str(number) for number in range(MAX_WRITES + 3)]
    wired.domain.writes[3].commit()
    assert [(await wired.answer())["eid"] for _ in range(2)] == ["3", "read"]


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), DatabaseRejected("42P01", 'relation "seat" does not exist')])
async def test_fault_of_a_method_is_logged_and_not_sent(wired: Wired, fault: Exception) -> None:
    """A bug in a method is logged and sent as `InternalServerError`; the connection stays open."""
    wired.domain.fault = fault
    with capture_logs() as logs:
        await wired.request("fail")
        answer = await wired.answer()
    assert (answer["error"], answer["message"]) == ("InternalServerError", errors.InternalServerError.sentence())
    assert [line["exc_info"] for line in logs if line["event"] == "method_fault"] == [fault]
    await wired.request("quick")
    assert (await wired.answer())["data"] == "done"


async def test_fault_of_the_connection_closes_it(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault outside of requests is logged and ends in 1011."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Connection, "_handle", broken)
    with capture_logs() as logs:
        await wired.request("quick")
        assert (await wired.closed())[0] == CloseCode.SERVER_FAULT
    assert "connection_fault" in [line["event"] for line in logs]


# Subscriptions


async def test_subscription_lasts_until_it_is_ended(wired: Wired) -> None:
    """A subscription lasts until the client or the connection ends it; its eid may then be used again."""
    for _ in range(2):
        await wired.request("watch", "s")
        assert (await wired.answer())["status"] == "snapshot"
        await wired.request("unwatch", "u", {"sub_eid": "s"})
        assert (await wired.answer())["data"] == {"success": True}
        assert wired.domain.subscribers == []
    await wired.request("watch", "s")
    await wired.answer()
    wired.peer.close()
    await wired.ended.wait()
    assert wired.domain.subscribers == []
    assert wired.connection._metrics.subscriptions == 0


async def test_subscriptions_of_a_connection_are_limited(wired: Wired) -> None:
    """A subscription beyond the limit, or under an eid in use, is refused without effect on the others."""
    for number in range(MAX_SUBSCRIPTIONS):
        await wired.request("watch", str(number))
        await wired.answer()
    for eid, code in (("7", "SubscriptionAlreadyExists"), ("new", "TooManySubscriptions")):
        await wired.request("watch", eid)
        assert (await wired.answer())["error"] == code
    assert len(wired.domain.subscribers) == wired.connection._metrics.subscriptions == MAX_SUBSCRIPTIONS


async def test_end_of_a_feed_is_sent_to_its_subscription(wired: Wired) -> None:
    """An ended feed is sent with the subscribing method and eid, and the subscription is removed."""
    await wired.request("watch", "s")
    await wired.answer()
    (subscriber,) = wired.domain.subscribers
    subscriber.ended(subscriber, errors.HallNotFound())
    answer = await wired.answer()
    assert (answer["type"], answer["eid"], answer["error"]) == ("watch", "s", "HallNotFound")
    await wired.request("unwatch", "u", {"sub_eid": "s"})
    assert (await wired.answer())["error"] == "SubscriptionNotFound"


# Slow peers


async def test_peer_that_takes_no_answers_is_not_read(wired: Wired) -> None:
    """`behind_since` is set until its send buffer has drained."""
    sent = await wired.fall_behind()
    assert wired.connection.behind_since is not None
    for _ in range(5):
        await wired.request("quick", "more")
    await wait_all_tasks_blocked()
    assert len(wired.domain.called) == sent
    assert wired.stream.silent_s == 0
    for _ in range(sent + 5):
        await wired.answer()
    assert wired.connection.behind_since is None
    assert wired.connection._metrics.clients_behind == 0


async def test_feeds_are_notified_when_the_buffer_has_drained(wired: Wired) -> None:
    """Every subscription once, for as long as there is room, the one served longest ago first."""
    for eid in "abc":
        await wired.request("watch", eid)
        await wired.answer()
    for _ in range(await wired.fall_behind()):
        await wired.answer()
    assert wired.domain.caught == ["a", "b", "c"]


async def test_feeds_share_the_room(wired: Wired) -> None:
    """Feeds that found no room are served first the next time."""
    for eid in "abc":
        await wired.request("watch", eid)
        await wired.answer()
    wired.domain.missed = b'"%s"' % (b"x" * 300_000)
    for _ in range(await wired.fall_behind()):
        await wired.answer()
    for expected in ("a", "ab", "abc", "abca"):
        assert wired.domain.caught == list(expected)
        assert wired.stream.unsent_bytes > SLOW_BYTES
        await wired.answer()


async def test_fault_of_a_feed_closes_the_connection_and_nothing_else(nursery: trio.Nursery) -> None:
    """An error of a feed, raised in the stream's flusher, closes that connection alone."""
    async with wire(nursery, Timing(close_s=0.05)) as wired:
        await wired.request("watch", "s")
        await wired.answer()
        sent = await wired.fall_behind()
        wired.domain.fault = RuntimeError("a bug")
        with capture_logs() as logs:
            for _ in range(sent):
                await wired.answer()
            assert (await wired.closed())[0] == CloseCode.SERVER_FAULT
            wired.peer.close()
            await wired.ended.wait()
        assert "topic_fault" in [line["event"] for line in logs]


# The end


async def test_close_lets_what_is_under_way_finish(wired: Wired, nursery: trio.Nursery) -> None:
    """The request and the writes in flight are answered before the close frame; later requests are not started."""
    await wired.request("write", "w")
    await wired.request("slow", "s")
    await wired.request("quick", "never")
    await wait_all_tasks_blocked()
    nursery.start_soon(wired.connection.close, CloseCode.GOING_AWAY, "drain", (0, 1000))
    await wait_all_tasks_blocked()
    wired.domain.gate.set()
    assert (await wired.answer())["eid"] == "s"
    wired.domain.writes[0].commit()
    assert (await wired.answer())["eid"] == "w"
    assert await wired.closed() == (CloseCode.GOING_AWAY, '{"reason":"drain","retry_ms":[0,1000]}')
    assert wired.domain.called == ["w", "s"]


async def test_write_that_never_ends_does_not_keep_the_connection(nursery: trio.Nursery) -> None:
    """A close waits a bounded time for writes; a late reply is discarded."""
    async with wire(nursery, Timing(last_writes_s=0.05)) as wired:
        await wired.request("write")
        await wait_all_tasks_blocked()
        nursery.start_soon(wired.connection.close, CloseCode.GOING_AWAY, "drain")
        assert (await wired.closed())[0] == CloseCode.GOING_AWAY
        wired.domain.writes[0].commit()


async def test_request_that_arrives_with_the_close_is_not_started(
    wired: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request received together with the close is not started, since the close would interrupt it."""

    async def receive(_: WebSocket) -> str:
        wired.connection._end(CloseCode.GOING_AWAY, "drain")
        return json.dumps({"type": "quick", "eid": "late"})

    await wait_all_tasks_blocked()  # it waits for the first request already
    monkeypatch.setattr(WebSocket, "receive", receive)
    await wired.request("quick", "first")
    assert (await wired.answer())["eid"] == "first"
    assert (await wired.closed())[0] == CloseCode.GOING_AWAY
    assert wired.domain.called == ["first"]


async def test_every_close_waits_for_the_end(wired: Wired, nursery: trio.Nursery) -> None:
    """The first close gives the reason; later ones return at the same time, or at once after the end."""
    returned = []

    async def close(code: CloseCode) -> None:
        await wired.connection.close(code, "x")
        returned.append(code)

    await wait_all_tasks_blocked()
    nursery.start_soon(close, CloseCode.GOING_AWAY)
    await wait_all_tasks_blocked()
    nursery.start_soon(close, CloseCode.TOO_SLOW)
    assert (await wired.closed())[0] == CloseCode.GOING_AWAY
    assert returned == []
    wired.peer.close()
    await wired.ended.wait()
    await wait_all_tasks_blocked()
    assert len(returned) == 2
    with trio.fail_after(1):
        await close(CloseCode.LOGIN_CHANGED)


async def test_closing_a_connection_that_has_ended_returns_at_once(wired: Wired) -> None:
    """Closing returns at once if the connection has ended."""
    wired.peer.close()
    await wired.ended.wait()
    with trio.fail_after(1):
        await wired.connection.close(CloseCode.LOGIN_CHANGED, "login changed")
