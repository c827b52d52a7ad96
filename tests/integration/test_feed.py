"""The loss of the notification feed: staleness notices, catch-up, and no lost revision."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import frozen

from seatsync.core.timing import Timing
from tests.support.client import Client, Frame, http
from tests.support.halls import Hall, make_hall, waits_for_a_lock
from tests.support.proxy import Proxy, proxy_to
from tests.support.server import RunningServer, running_server
from tests.support.views import open_view
from tests.support.waiting import metric_is

quickly_stale = pytest.mark.parametrize("timing", [Timing(stale_after_s=0.1)], ids=["quickly stale"])
"""Subscribers are notified of a loss after a tenth of a second."""


@frozen
class Stage:
    """A server whose feed alone can be cut: its queries bypass the proxy."""

    server: RunningServer
    proxy: Proxy

    async def lose(self) -> None:
        """Cut the feed until `find`."""
        self.proxy.cut()
        await metric_is(self.server.port, "feed_live", 0)

    async def find(self) -> None:
        """Restore the feed."""
        self.proxy.restore()
        await metric_is(self.server.port, "feed_live", 1)


@pytest.fixture
def timing() -> Timing:
    """The server's waits."""
    return Timing()


@pytest.fixture
async def stage(database_url: str, timing: Timing) -> AsyncIterator[Stage]:
    """A server with a proxy before its LISTEN."""
    async with (
        proxy_to(database_url) as proxy,
        running_server(database_url, timing=timing, LISTEN_URL=proxy.url) as server,
    ):
        yield Stage(server, proxy)


async def set_seat(server: RunningServer, hall: Hall, place: int, status: str = "OCCUPIED") -> None:
    """One revision, by SQL."""
    await server.sql(f"update seat set status = '{status}' where id = {hall.seats[place]}")


async def next_update(client: Client, eid: str) -> Any:
    """The data of the next frame under that eid, which has to be an update."""
    frame = await client.of(eid)
    assert frame["status"] == "update"
    return frame["data"]


@asynccontextmanager
async def feed_lost(stage: Stage, client: Client, hall: Hall) -> AsyncIterator[None]:
    """The feed is cut for the length of the block, and subscription ``h`` has been notified."""
    await stage.lose()
    assert await next_update(client, "h") == {"id": hall.id, "stale": True}
    yield
    await stage.find()


async def test_terminated_backend_loses_nothing(server: RunningServer) -> None:
    """The feed's connection may be terminated repeatedly: every revision arrives, in order, without a stale notice."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        for number in range(15):
            if number % 3 == 1:
                await server.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'seatsync feed' and datname = current_database()"
                )
            await set_seat(server, hall, 0, ("OCCUPIED", "VACANT")[number % 2])
        await view.reach(16)
        await metric_is(server.port, "feed_live", 1)
        await view.is_true(server)
        assert client.unread == []


async def test_loss_is_notified_after_a_second(stage: Stage) -> None:
    """Subscriptions to halls and cinemas are notified of a loss that has lasted 1 s; other subscriptions are not."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client:
        for method in ("user", "cinemas", "hall"):
            await client.call(f"{method}.subscribe", {"id": hall.id}, eid=method)
        lost = trio.current_time()
        await stage.lose()
        frames: list[Frame] = []
        while len(frames) < 2:
            frame = await client.frame()
            if "halls" not in frame["data"]:  # the totals of the new hall, whose notification may come this late
                frames.append(frame)
        seconds = trio.current_time() - lost
        await stage.find()
        frames += [await client.frame() for _ in range(2)]
        await client.heartbeat()
        assert all(frame["type"] == "cinemas.subscribe" for frame in client.unread)
    assert 1.0 <= seconds < 5.0
    assert {(frame["type"], str(frame["data"])) for frame in frames[:2]} == {
        ("hall.subscribe", str({"id": hall.id, "stale": True})),
        ("cinemas.subscribe", str({"stale": True})),
    }
    assert {frame["type"] for frame in frames} == {"hall.subscribe", "cinemas.subscribe"}


async def test_short_loss_is_not_notified(database_url: str) -> None:
    """A loss shorter than a second sends no stale notice; missed changes arrive as usual."""
    async with (
        proxy_to(database_url) as proxy,
        running_server(database_url, timing=Timing(stale_after_s=5.0), LISTEN_URL=proxy.url) as server,
    ):
        stage = Stage(server, proxy)
        hall = await make_hall(server)
        async with server.client() as client:
            view = await open_view(client, hall.id)
            await stage.lose()
            await set_seat(server, hall, 0)
            await set_seat(server, hall, 1)
            await stage.find()
            await view.reach(3)
            assert (view.frames, view.merged) == (2, 1)
            await view.is_true(server)


@quickly_stale
async def test_missed_changes_come_before_the_all_clear(stage: Stage) -> None:
    """stale:false follows the catch-up: first the missed changes, in one frame, then the notice."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client:
        view = await open_view(client, hall.id)
        async with feed_lost(stage, client, hall):
            for place in range(3):
                await set_seat(stage.server, hall, place)
        view.take(await client.of("h"))
        assert (view.rev, view.merged) == (4, 1)
        assert await next_update(client, "h") == {"id": hall.id, "stale": False}
        await view.is_true(stage.server)


@quickly_stale
async def test_missed_totals_come_before_the_all_clear(stage: Stage) -> None:
    """For cinemas the missed totals come first, as updates and not as a snapshot, then stale:false."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client:
        await client.call("cinemas.subscribe", eid="c")
        await stage.lose()
        assert await next_update(client, "c") == {"stale": True}
        await set_seat(stage.server, hall, 0)
        await stage.find()
        totals = await next_update(client, "c")
        assert totals["halls"][0]["seats_count"]["OCCUPIED"] == 1
        while (data := await next_update(client, "c")) != {"stale": False}:
            assert data["halls"][0]["seats_count"]["OCCUPIED"] == 1


@quickly_stale
async def test_hall_removed_during_the_loss_leaves_the_list(stage: Stage) -> None:
    """A list with a removal during the loss is sent as a snapshot."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client:
        await client.call("cinemas.subscribe", eid="c")
        await stage.lose()
        assert await next_update(client, "c") == {"stale": True}
        await stage.server.sql(f"delete from hall where id = {hall.id}")
        await stage.find()
        frame = await client.of("c")
        assert (frame["status"], frame["data"][0]["halls"]) == ("snapshot", [])


@quickly_stale
async def test_halls_served_during_the_loss_are_marked(stage: Stage) -> None:
    """Snapshots, resumed updates and hall.get say stale:true while the feed is down; they are current all the same."""
    server = stage.server
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        async with feed_lost(stage, client, hall):
            await set_seat(server, hall, 0)
            async with server.client() as late:
                snapshot = await late.data("hall.subscribe", {"id": hall.id}, eid="s")
                since = {"id": hall.id, "since": 1, "epoch": view.data["epoch"]}
                await late.send("hall.subscribe", since, eid="r")
                resumed = await late.update("r")
                got = await late.data("hall.get", {"id": hall.id})
                for data in (snapshot, resumed, got):
                    assert (data["stale"], data["rev"]) == (True, 2)
                await stage.find()
                for eid in ("s", "r"):
                    assert await next_update(late, eid) == {"id": hall.id, "stale": False}
                assert "stale" not in await late.data("hall.get", {"id": hall.id})


@quickly_stale
async def test_list_served_during_the_loss_is_marked(stage: Stage) -> None:
    """The list of cinemas has no field for staleness: a subscriber during the loss is notified right after its list."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client, stage.server.client() as late:
        await open_view(client, hall.id)
        async with feed_lost(stage, client, hall):
            assert (await late.call("cinemas.subscribe", eid="c"))["status"] == "snapshot"
            assert await next_update(late, "c") == {"stale": True}
        while await next_update(late, "c") != {"stale": False}:
            pass


@quickly_stale
async def test_writes_go_on_without_the_feed(stage: Stage) -> None:
    """During the loss writes are answered, and a read after the answer sees them."""
    server = stage.server
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        view = await open_view(anna, hall.id)
        async with feed_lost(stage, anna, hall):
            for rev, status in enumerate(("OCCUPIED", "VACANT", "RESERVED"), 2):
                data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": status}
                assert (await anna.data("hall.update_seat_status", data))["rev"] == rev
                assert (await anna.data("hall.get", {"id": hall.id}))["rev"] == rev
        await view.reach(4)
        await view.is_true(server)


async def test_changed_layout_is_not_missed(stage: Stage) -> None:
    """A layout that changes during the loss is sent as a snapshot."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client:
        view = await open_view(client, hall.id)
        await stage.lose()
        await stage.server.sql(f"update seat set rotation = 10 where id = {hall.seats[0]}")
        await stage.find()
        frame = await client.of("h")
        assert frame["status"] == "snapshot"
        view.take(frame)
        await view.is_true(stage.server)


async def test_deleted_hall_is_not_missed(stage: Stage) -> None:
    """A hall deleted during the loss ends its subscriptions and is not served from memory."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client:
        await open_view(client, hall.id)
        await stage.lose()
        await stage.server.sql(f"delete from hall where id = {hall.id}")
        await stage.find()
        assert (await client.of("h"))["error"] == "HallNotFound"
        assert (await client.call("hall.get", {"id": hall.id}))["error"] == "HallNotFound"


async def test_hall_first_watched_during_the_loss(stage: Stage) -> None:
    """A hall first watched during the loss is live afterwards like any other."""
    hall = await make_hall(stage.server, rows=10, places=20)
    async with stage.server.client() as client:
        await stage.lose()
        view = await open_view(client, hall.id)
        await set_seat(stage.server, hall, 0)
        await stage.find()
        await view.reach(2)
        await stage.server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id} and row > 1")
        await view.reach(3)
        await view.is_true(stage.server)


async def test_hall_first_watched_during_the_return(stage: Stage) -> None:
    """A hall first watched while the server resyncs another hall is live like any other."""
    server = stage.server
    hall, late = await make_hall(server), await make_hall(server, rows=10, places=20, name="Late")
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await stage.lose()
        await set_seat(server, hall, 0)
        async with server.db.transaction(timeout=60) as session:
            await session.script("lock table seat_event in access exclusive mode")
            stage.proxy.restore()
            await waits_for_a_lock(server)
            late_view = await open_view(client, late.id, eid="late")
        await view.reach(2)
        await metric_is(server.port, "feed_live", 1)
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {late.id}")
        await late_view.reach(2)
        await late_view.is_true(server)


async def test_database_that_answers_with_errors(stage: Stage) -> None:
    """A failing catch-up is retried until it succeeds; then no revision is missing."""
    server = stage.server
    hall = await make_hall(server)
    async with server.client() as client:
        await client.call("cinemas.subscribe", eid="c")
        view = await open_view(client, hall.id)
        await stage.lose()
        await server.sql("alter function hall_changes rename to hall_changes_away")
        await set_seat(server, hall, 0)
        stage.proxy.restore()
        await client.heartbeat()
        await server.sql("alter function hall_changes_away rename to hall_changes")
        await view.reach(2)
        await view.is_true(server)


@pytest.mark.parametrize("timing", [Timing(beat_s=0.2)], ids=["quick beat"])
async def test_frozen_feed_is_noticed(stage: Stage) -> None:
    """A frozen connection counts as lost although it is still open."""
    hall = await make_hall(stage.server)
    async with stage.server.client() as client:
        view = await open_view(client, hall.id)
        stage.proxy.freeze()
        await set_seat(stage.server, hall, 0)
        await metric_is(stage.server.port, "feed_live", 0)
        stage.proxy.thaw()
        await view.reach(2)
        await view.is_true(stage.server)


async def test_readiness_names_the_feed(stage: Stage) -> None:
    """/readyz names the feed as the failing part for the length of the loss."""
    await stage.lose()
    answer = await http(stage.server.port, "GET", "/readyz")
    assert (answer.status, answer.json()["feed"]) == (503, "lost")
    await stage.find()
    answer = await http(stage.server.port, "GET", "/readyz")
    assert (answer.status, answer.json()["feed"]) == (200, "live")


@pytest.mark.parametrize("timing", [Timing(login_close_s=0.1, revoked_wait_s=0.1)], ids=[""])
async def test_session_revoked_during_the_loss(stage: Stage) -> None:
    """A session revoked during the loss loses its rights at once; its sockets are closed when the feed is back."""
    server = stage.server
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as anna:
        await stage.lose()
        await server.sql("delete from session")
        data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        assert (await anna.call("hall.update_seat_status", data))["error"] == "SessionExpired"
        await stage.find()
        assert (await anna.closed())[0] == 4001
