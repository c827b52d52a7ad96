"""Any order of events leaves every client with the hall as the table has it.

Each example is a list of steps against two real servers on a real database: requests and plain SQL that change seats,
new layouts and epochs, clients that stop reading, drop their connection, come back and resume, at the other server too,
a feed that is lost. Clients fail the test by themselves when a frame skips, repeats or turns back a revision.

``make model`` plays more examples than ``make test`` does, and other ones each time.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import trio
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed

from tests.support.client import Client, Frame, parse
from tests.support.halls import Hall, make_hall
from tests.support.server import RunningServer, running_server
from tests.support.views import View

EXAMPLES = os.environ.get("MODEL_EXAMPLES")

ROWS, PLACES, CLIENTS = 4, 15, 4

#: Bytes, and changes of all seats, after which a client that does not read is behind.
SLOW_BYTES, STORM = 4096, 60

#: Error codes that concurrent changes make likely.
LIKELY = {None, "SeatReserved", "SeatOccupied", "SeatConflict", "SeatNotFound"}

SETTLE_S = 15.0

CLIENT = st.integers(0, CLIENTS - 1)
SEATS = st.lists(st.integers(0, ROWS * PLACES - 1), min_size=1, max_size=12, unique=True)
STATUS = st.sampled_from(["VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE"])

#: The ends of holds, in seconds: later than an example lasts, unless time passes for them.
HOLD_S = 3600

_HOLDS_DUE = "select exists (select from seat where hold_until < now() + interval '1 minute')"

#: Holds that ended when they were not due, or that are not where servers look for them.
_WRONG_HOLDS = """
select 'early' as what, e.seat_id, e.rev
from seat_event e
join lateral (
    select hold_until from seat_event h where h.hall_id = e.hall_id and h.seat_id = e.seat_id and h.rev < e.rev
    order by h.rev desc limit 1
) h on h.hold_until is null or h.hold_until > e.at
where e.kind = 'expired'
union all
select 'unknown', coalesce(s.id, h.seat_id), 0
from (select id, hold_until from seat where hold_until is not null) s
full join seat_hold h on (h.seat_id, h.until) = (s.id, s.hold_until)
where s.id is null or h.seat_id is null
"""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), CLIENT, SEATS, STATUS),
        st.tuples(st.just("sql_change"), SEATS, STATUS),
        st.tuples(st.just("hold"), CLIENT, SEATS),
        st.tuples(st.just("sql_hold"), SEATS),
        st.tuples(st.just("pass_time"), SEATS),
        st.tuples(st.just("sql_transaction"), SEATS, STATUS, st.booleans()),
        st.tuples(st.sampled_from(["add_seat", "remove_seat", "renew_epoch", "prune", "lose_feed", "storm", "settle"])),
        st.tuples(st.just("move_seat"), st.integers(0, ROWS * PLACES - 1)),
        st.tuples(st.sampled_from(["drop", "come_back", "resubscribe", "stop_reading", "read_on"]), CLIENT),
    ),
    min_size=3,
    max_size=14,
)


@define(eq=False)
class Watcher:
    """A client that may disconnect or stop reading for a while; its view of the hall survives both.

    Each connect goes to the next node.
    """

    nodes: Iterator[RunningServer]
    hall: Hall
    token: str
    eid: str
    view: View | None = None
    client: Client | None = None
    waiting: dict[str, str] = field(factory=dict)
    """Requests that are not answered yet on this connection, by eid."""
    reading: trio.Event = field(factory=trio.Event)
    _scope: trio.CancelScope | None = None
    _ending: set[str] = field(factory=set)
    """Requests to unsubscribe that are not answered yet."""
    _number: int = 0

    @property
    def rev(self) -> int:
        """The revision it sees."""
        return -1 if self.view is None else self.view.rev

    async def run(self) -> None:
        """Connect, subscribe or resume, and take frames until `drop`."""
        self.waiting.clear()
        self._ending.clear()
        self.reading.set()
        with trio.CancelScope() as self._scope:
            async with next(self.nodes).client(self.token) as self.client:
                try:
                    await self._subscribe()
                    while True:  # until dropped
                        await self.reading.wait()
                        self._take(parse(await self.client.ws.get_message()))
                except ConnectionClosed as closed:
                    raise AssertionError(f"the server closed a connection: {closed.reason}") from None
        self.client = None

    def drop(self) -> None:
        """End the connection without a close frame."""
        if self._scope is not None:
            self._scope.cancel()

    async def send(self, type_: str, data: dict[str, Any]) -> str:
        """Send a request; its answer has to come while the connection lasts. Returns its eid."""
        assert self.client is not None
        self._number += 1
        eid = f"{self.eid} {self._number}"
        self.waiting[eid] = type_
        return await self.client.send(type_, data, eid)

    async def resubscribe(self) -> None:
        """End the subscription and begin anew under the same eid, back to back.

        Frames that still come before the answer belong to the old subscription, and the new one will repeat them.
        """
        self._ending.add(await self.send("hall.unsubscribe", {"sub_eid": self.eid}))
        await self._subscribe()

    async def _subscribe(self) -> None:
        assert self.client is not None
        seen = {} if self.view is None else {"since": self.view.rev, "epoch": self.view.data["epoch"]}
        await self.client.send("hall.subscribe", {"id": self.hall.id, **seen}, self.eid)

    def _take(self, frame: Frame) -> None:
        if frame["type"] != "hall.subscribe":
            del self.waiting[frame["eid"]]
            self._ending.discard(frame["eid"])
            assert frame["error"] in LIKELY, frame
            return
        assert (frame["eid"], frame["error"]) == (self.eid, None)
        if self._ending:
            return
        if frame["status"] == "update" and "rev" not in frame["data"]:
            assert frame["data"].keys() == {"id", "stale"}
            return
        frame["data"].pop("stale", None)
        if frame["status"] == "snapshot":
            self._take_snapshot(frame["data"])
            return
        assert self.view is not None
        resumed = frame["data"].pop("resumed", False)
        if resumed and frame["data"]["rev"] == self.view.rev:
            assert frame["data"]["seats"] == frame["data"]["seat_types"] == []
            return
        if resumed and frame["data"]["from"] == frame["data"]["rev"]:
            del frame["data"]["from"]  # which an update of one revision has only here
        self.view.take(frame)

    def _take_snapshot(self, data: dict[str, Any]) -> None:
        if self.view is None:
            self.view = View(data, self.eid)
        assert data["epoch"] != self.view.data["epoch"] or data["rev"] >= self.view.rev
        self.view.data = data


@define(eq=False)
class World:
    """Two servers on one database, a hall, its clients, and what may happen to them: one method a step."""

    servers: tuple[RunningServer, RunningServer]
    hall: Hall
    watchers: list[Watcher]
    nursery: trio.Nursery

    @property
    def server(self) -> RunningServer:
        """The server whose pool runs the SQL."""
        return self.servers[0]

    def _seats(self, places: list[int]) -> str:
        return ",".join(str(self.hall.seats[place]) for place in places)

    async def hold(self, number: int, places: list[int]) -> None:
        """Send a request to hold seats."""
        await self.write(number, places, "RESERVED", hold_s=HOLD_S)

    async def write(self, number: int, places: list[int], status: str, **more: int) -> None:
        """Send a request for one or several seats, without waiting for the answer."""
        watcher = self.watchers[number]
        if watcher.client is None:
            return
        seats = [{"seat_id": self.hall.seats[place], "status": status, **more} for place in places]
        if len(seats) == 1:
            await watcher.send("hall.update_seat_status", {"hall_id": self.hall.id, **seats[0]})
        else:
            await watcher.send("hall.update_seats", {"hall_id": self.hall.id, "seats": seats})

    async def sql_change(self, places: list[int], status: str) -> None:
        """Plain SQL."""
        await self.server.sql(f"update seat set status = '{status}' where id in ({self._seats(places)})")

    async def sql_hold(self, places: list[int]) -> None:
        """Hold seats by plain SQL."""
        await self.server.sql(f"select hold_seats(array[{self._seats(places)}]::bigint[], {HOLD_S})")

    async def pass_time(self, places: list[int]) -> None:
        """The holds of some seats are due."""
        await self.server.sql(
            f"update seat set hold_until = hold_until - interval '{HOLD_S} s'"
            f" where id in ({self._seats(places)}) and hold_until > now() + interval '1 minute'"
        )

    async def sql_transaction(self, places: list[int], status: str, commit: bool) -> None:
        """Two statements in a transaction that may be rolled back."""
        seats = self._seats(places)
        await self.server.sql(
            f"begin; update seat set status = '{status}' where id in ({seats});"
            f" update seat set status = 'MAINTENANCE', note = 'broken' where id in ({seats});"
            f" {'commit' if commit else 'rollback'}"
        )

    async def storm(self) -> None:
        """Enough changes that a client which does not read falls behind."""
        change = f"update seat set status = %s where hall_id = {self.hall.id};"
        await self.server.sql((change % "'OCCUPIED'" + change % "'VACANT'") * (STORM // 2))

    async def add_seat(self) -> None:
        """A new layout: another row."""
        await self.server.sql(
            "insert into seat (hall_id, seat_type_id, row, place, x, y, width, height, rotation)"
            f" select {self.hall.id}, {self.hall.vip}, max(row) + 1, 1, 0, 0, 1, 1, 0 from seat"
            f" where hall_id = {self.hall.id}"
        )

    async def remove_seat(self) -> None:
        """A new layout: a seat less."""
        await self.server.sql(f"delete from seat where id = (select max(id) from seat where hall_id = {self.hall.id})")

    async def move_seat(self, place: int) -> None:
        """A new layout: a seat elsewhere, in another section, and of another type."""
        await self.server.sql(
            f"update seat set x = x + 1, seat_type_id = {self.hall.vip},"
            f" section = case when section is null then 'Box' end where id = {self.hall.seats[place]}"
        )

    async def renew_epoch(self) -> None:
        """Renew the epoch, as after a restore."""
        await self.server.sql(f"update hall set epoch = default where id = {self.hall.id}")

    async def prune(self) -> None:
        """The history is gone."""
        await self.server.sql(f"delete from seat_event where hall_id = {self.hall.id}")

    async def lose_feed(self) -> None:
        """PostgreSQL ends the connection of both feeds."""
        await self.server.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'seatsync feed'"
        )

    async def drop(self, number: int) -> None:
        """A client disconnects."""
        watcher = self.watchers[number]
        watcher.drop()
        await _until(lambda: watcher.client is None)

    async def come_back(self, number: int) -> None:
        """A disconnected client connects again and resumes."""
        watcher = self.watchers[number]
        if watcher.client is None:
            self.nursery.start_soon(watcher.run)
            await _until(lambda: watcher.client is not None)

    async def resubscribe(self, number: int) -> None:
        """It unsubscribes and subscribes under the same eid."""
        if self.watchers[number].client is not None:
            await self.watchers[number].resubscribe()

    async def stop_reading(self, number: int) -> None:
        """A client stops reading."""
        watcher = self.watchers[number]
        if watcher.reading.is_set():
            watcher.reading = trio.Event()

    async def read_on(self, number: int) -> None:
        """The client reads again."""
        self.watchers[number].reading.set()

    async def settle(self) -> None:
        """All clients are connected and read: requests are answered, and every view ends up as the table."""
        for number in range(CLIENTS):
            await self.come_back(number)
            await self.read_on(number)
        (now,) = await self.server.rows("select rev, wire_epoch(epoch) as epoch from hall where id = $1", self.hall.id)
        await _until(lambda: not any(watcher.waiting for watcher in self.watchers))
        for server in self.servers:
            await self._written(server)
        await self._holds_ended()
        assert await self.server.rows(_WRONG_HOLDS) == []
        rev = await self.server.value("select rev from hall where id = $1", self.hall.id)
        await _until(lambda: all(self._sees(watcher, rev, now["epoch"]) for watcher in self.watchers))
        for watcher in self.watchers:
            assert watcher.view is not None
            await watcher.view.is_true(self.server)

    async def _written(self, server: RunningServer) -> None:
        """Wait until a node has committed the writes of dropped clients: a later one of its queue is answered."""
        async with server.client(self.watchers[0].token) as client:
            nowhere = {"hall_id": self.hall.id, "seat_id": 2**40, "status": "VACANT"}
            assert (await client.call("hall.update_seat_status", nowhere))["error"] == "SeatNotFound"

    async def _holds_ended(self) -> None:
        """Wait until the servers have ended the holds that are due."""
        with trio.fail_after(SETTLE_S):
            while await self.server.value(_HOLDS_DUE):  # noqa: ASYNC110 - the table sends no event
                await trio.sleep(0.01)

    def _sees(self, watcher: Watcher, rev: int, epoch: str) -> bool:
        return watcher.view is not None and (watcher.rev, watcher.view.data["epoch"]) == (rev, epoch)


async def _until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(SETTLE_S):
        while not holds():  # noqa: ASYNC110 - views and connections send no event
            await trio.sleep(0.002)


@asynccontextmanager
async def open_world(database_url: str) -> AsyncIterator[World]:
    """Servers with a hall of their own; two of its clients have the same eid, as existing clients have."""
    async with (
        running_server(database_url, slow_bytes=SLOW_BYTES) as server,
        running_server(database_url, slow_bytes=SLOW_BYTES) as other,
    ):
        hall = await make_hall(server, rows=ROWS, places=PLACES)
        token = await server.token("model")
        nodes = ([server, other], [server, other], [other, server], [other, server])
        watchers = [
            Watcher(cycle(order), hall, token, eid) for order, eid in zip(nodes, ("a", "a", "a", "b"), strict=True)
        ]
        async with trio.open_nursery() as nursery:
            world = World((server, other), hall, watchers, nursery)
            await world.settle()
            yield world
            nursery.cancel_scope.cancel()


async def play(database_url: str, steps: list[tuple[Any, ...]]) -> None:
    """Take the steps, then let everything settle."""
    async with open_world(database_url) as world:
        for name, *args in [*steps, ("settle",)]:
            step: Callable[..., Awaitable[None]] = getattr(world, name)
            await step(*args)


@settings(
    max_examples=int(EXAMPLES or 25),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_every_client_sees_the_table(database_url: str, steps: list[tuple[Any, ...]]) -> None:
    """After any steps all views equal the table, and no frame breaks the order of revisions."""
    trio.run(play, database_url, steps)
