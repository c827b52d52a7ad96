"""Subscriptions that are made while the database is away: they stand, and wait for it."""

from collections.abc import AsyncIterator

import pytest
import trio
from attrs import evolve, frozen

from seatsync import jsontext
from seatsync.core.postgres.pool import Database
from seatsync.core.timing import Timing
from tests.support.client import Client, Frame
from tests.support.halls import Hall, make_hall
from tests.support.proxy import Proxy, proxy_to
from tests.support.server import RunningServer, running_server
from tests.support.views import View, open_view
from tests.support.waiting import metric_is

TIMING = Timing(waiting_after_s=0.6, stale_after_s=0.1, query_s=1.0, beat_s=0.3)

METHODS = ("user.subscribe", "cinemas.subscribe", "hall.subscribe")


@frozen
class Stage:
    """A server whose database can go away; the test's own connections do not."""

    server: RunningServer
    proxy: Proxy
    hall: Hall

    async def go_away(self, *, freeze: bool = False) -> None:
        """Cut or freeze the database until `come_back`; the server has noticed."""
        (self.proxy.freeze if freeze else self.proxy.cut)()
        await metric_is(self.server.port, "feed_live", 0)

    async def come_back(self) -> None:
        """Restore the database; the feed is live."""
        self.proxy.thaw()
        self.proxy.restore()
        await metric_is(self.server.port, "feed_live", 1)

    async def set_seat(self, place: int) -> None:
        """One revision, by SQL."""
        await self.server.sql(f"update seat set status = 'OCCUPIED' where id = {self.hall.seats[place]}")


@pytest.fixture
def public_view() -> str:
    """The setting of that name."""
    return "true"


@pytest.fixture
async def stage(database_url: str, public_view: str) -> AsyncIterator[Stage]:
    """A server behind a proxy to its database."""
    async with (
        proxy_to(database_url) as proxy,
        running_server(proxy.url, timing=TIMING, PUBLIC_VIEW=public_view) as server,
        Database.open(database_url, size=2) as db,
    ):
        direct = evolve(server, db=db)
        yield Stage(direct, proxy, await make_hall(direct))


private = pytest.mark.parametrize("public_view", ["false"], ids=["private"])
away = pytest.mark.parametrize("freeze", [False, True], ids=["cut", "frozen"])


async def silent(client: Client) -> None:
    """Nothing has come that has not been read."""
    await client.heartbeat()
    assert client.unread == []


async def subscribe_to_all(client: Client, hall: Hall) -> None:
    """Subscribe by every method, under its name, without waiting for a frame."""
    for method in METHODS:
        await client.send(method, {"id": hall.id}, eid=method)


async def first_state(client: Client, eid: str) -> Frame:
    """The next snapshot under that eid, past any notice."""
    while True:
        frame = await client.of(eid)
        assert frame["error"] is None, frame
        if frame["status"] == "snapshot":
            return frame


@away
async def test_subscriptions_stand_and_wait(stage: Stage, *, freeze: bool) -> None:
    """No error: after a while a notice, but for the login state; when the database is back, state and changes."""
    await stage.go_away(freeze=freeze)
    async with stage.server.client() as client:
        await subscribe_to_all(client, stage.hall)
        assert (await client.of("user.subscribe"))["data"] == {"status": "guest"}
        await silent(client)
        assert (await client.of("cinemas.subscribe"))["data"] == {"stale": True}
        assert (await client.of("hall.subscribe"))["data"] == {"id": stage.hall.id, "stale": True}
        await stage.come_back()
        cinemas = await first_state(client, "cinemas.subscribe")
        assert cinemas["data"][0]["halls"][0]["id"] == stage.hall.id
        view = View((await first_state(client, "hall.subscribe"))["data"], "hall.subscribe", client)
        while (await client.of("hall.subscribe"))["data"] != {"id": stage.hall.id, "stale": False}:
            pass
        view.data.pop("stale", None)
        await stage.set_seat(0)
        await view.reach(2)
        await view.is_true(stage.server)


@away
async def test_nothing_behind_them_is_held_up(stage: Stage, *, freeze: bool) -> None:
    """Later messages are answered while the database is away, in less time than a query may take."""
    await stage.go_away(freeze=freeze)
    async with stage.server.client() as client:
        before = trio.current_time()
        for number in range(20):
            await client.send("hall.subscribe", {"id": 1000 + number}, eid=f"h{number}")
        assert await client.data("user.status") == {"status": "guest"}
        await client.heartbeat()
        assert trio.current_time() - before < TIMING.query_s - 0.2
        await metric_is(stage.server.port, "subscriptions", 20)


@away
async def test_memory_is_served_at_once(stage: Stage, *, freeze: bool) -> None:
    """The last snapshot, marked as old, before any notice; then what has changed, and that it is not old any more."""
    async with stage.server.client() as early, stage.server.client() as client:
        view = await open_view(early, stage.hall.id)
        await early.call("cinemas.subscribe", eid="c")
        await stage.go_away(freeze=freeze)
        with trio.fail_after(TIMING.waiting_after_s - 0.1):
            snapshot = await client.data("hall.subscribe", {"id": stage.hall.id}, eid="h")
        with trio.fail_after(TIMING.waiting_after_s - 0.1):
            cinemas = await client.data("cinemas.subscribe", eid="c")
            assert await client.update("c") == {"stale": True}
        assert snapshot == {**view.data, "stale": True}
        assert cinemas[0]["halls"][0]["id"] == stage.hall.id
        await stage.set_seat(0)
        await stage.come_back()
        late = View(snapshot, "h", client)
        await late.reach(2)
        assert await client.update("h") == {"id": stage.hall.id, "stale": False}
        del late.data["stale"]
        await late.is_true(stage.server)
        while (await client.of("c"))["data"] != {"stale": False}:
            pass


async def test_list_from_memory_is_replaced_if_a_hall_has_gone(stage: Stage) -> None:
    """Updates cannot remove a hall, so the list comes again."""
    async with stage.server.client() as client:
        await client.data("cinemas.get_cinemas")
        await stage.go_away()
        assert (await client.data("cinemas.subscribe", eid="c"))[0]["halls"]
        await stage.server.sql(f"delete from hall where id = {stage.hall.id}")
        await stage.come_back()
        assert (await client.answer("c"))["data"][0]["halls"] == []


async def test_list_from_memory_is_brought_up_to_date_by_updates(stage: Stage) -> None:
    """A list resets the page of an existing client: unless it has to, it does not come again."""
    async with stage.server.client() as client:
        await client.data("cinemas.get_cinemas")
        await stage.go_away()
        await client.data("cinemas.subscribe", eid="c")
        await stage.set_seat(0)
        await stage.come_back()
        occupied = 0
        while not occupied:
            frame = await client.of("c")
            assert frame["status"] == "update"
            for hall in frame["data"].get("halls", ()):
                occupied = hall["seats_count"]["OCCUPIED"]
        assert occupied == 1


async def test_waiting_resume_gets_what_a_resume_gets(stage: Stage) -> None:
    """Another server, which has nothing in memory, resumes where the client was."""
    server = stage.server
    snapshot = await server.value("select data from hall_snapshot($1)", stage.hall.id)
    await stage.go_away()
    await stage.set_seat(0)
    await stage.set_seat(1)
    async with server.client() as client:
        view = View(jsontext.loads(snapshot), "h", client)
        await client.send("hall.subscribe", {"id": stage.hall.id, "since": 1, "epoch": view.data["epoch"]}, eid="h")
        assert (await client.of("h"))["data"] == {"id": stage.hall.id, "stale": True}
        await stage.come_back()
        frame = await client.of("h")
        assert (frame["status"], frame["data"]["resumed"], frame["data"]["from"]) == ("update", True, 2)
        view.take(frame)
        await view.is_true(server)


async def test_waiting_subscription_has_its_eid(stage: Stage) -> None:
    """The same eid twice is refused; unsubscribing ends the wait without a frame, and frees the eid."""
    await stage.go_away()
    async with stage.server.client() as client:
        await client.send("hall.subscribe", {"id": stage.hall.id}, eid="h")
        assert (await client.call("hall.subscribe", {"id": 1}, eid="h"))["error"] == "SubscriptionAlreadyExists"
        assert await client.data("hall.unsubscribe", {"sub_eid": "h"}) == {"success": True}
        assert (await client.call("hall.unsubscribe", {"sub_eid": "h"}))["error"] == "SubscriptionNotFound"
        await trio.sleep(TIMING.waiting_after_s)
        await silent(client)
        await client.send("hall.subscribe", {"id": stage.hall.id}, eid="h")
        await stage.come_back()
        assert (await first_state(client, "h"))["status"] == "snapshot"


async def test_at_most_128_wait(stage: Stage) -> None:
    """Waiting subscriptions count; they end with their connection."""
    await stage.go_away()
    async with stage.server.client() as client:
        for number in range(128):
            await client.send("hall.subscribe", {"id": 5000 + number}, eid=number)
        assert (await client.call("cinemas.subscribe", eid="one more"))["error"] == "TooManySubscriptions"
        await metric_is(stage.server.port, "subscriptions", 128)
    await metric_is(stage.server.port, "subscriptions", 0)


async def test_hall_that_does_not_exist(stage: Stage) -> None:
    """HallNotFound ends the wait when the database is back; the eid is free, and the request counts as refused."""
    await stage.go_away()
    async with stage.server.client() as client:
        await client.send("hall.subscribe", {"id": 4321}, eid="h")
        assert (await client.of("h"))["data"] == {"id": 4321, "stale": True}
        await stage.come_back()
        assert (await client.of("h"))["error"] == "HallNotFound"
        assert (await client.call("hall.unsubscribe", {"sub_eid": "h"}))["error"] == "SubscriptionNotFound"
        await metric_is(stage.server.port, 'messages_total{method="hall.subscribe",outcome="HallNotFound"}', 1)


async def test_user_is_known_when_the_database_is_back(stage: Stage) -> None:
    """A token that could not be checked makes `user.subscribe` wait, without a notice, for the user's state."""
    token = await stage.server.token("anna")
    await stage.go_away()
    async with stage.server.client(token) as client:
        await client.send("user.subscribe", eid="u")
        await trio.sleep(TIMING.waiting_after_s)
        await silent(client)
        await stage.come_back()
        frame = await client.of("u")
        assert frame["status"] == "snapshot"
        assert frame["data"] == {"status": "user", "username": "anna", "role": "operator"}


@private
async def test_memory_is_not_for_a_user_who_may_be_a_guest(stage: Stage) -> None:
    """Without PUBLIC_VIEW a token that could not be checked gets nothing from memory, and waits to be checked."""
    anna, bert = await stage.server.token("anna"), await stage.server.token("bert")
    async with stage.server.client(anna) as client:
        view = await open_view(client, stage.hall.id)
        await stage.go_away()
        async with stage.server.client(bert) as late, stage.server.client() as guest:
            assert (await guest.call("hall.subscribe", {"id": stage.hall.id}))["error"] == "Unauthorized"
            await late.send("hall.subscribe", {"id": stage.hall.id}, eid="h")
            await late.send("cinemas.subscribe", {}, eid="c")
            assert (await late.of("h"))["data"] == {"id": stage.hall.id, "stale": True}
            assert (await late.of("c"))["data"] == {"stale": True}
            known = await client.data("hall.subscribe", {"id": stage.hall.id}, eid="again")
            assert known == {**view.data, "stale": True}
            await stage.come_back()
            for eid in ("h", "c"):
                assert (await first_state(late, eid))["status"] == "snapshot"


@private
async def test_session_that_has_ended_meanwhile_is_refused(stage: Stage) -> None:
    """A token whose session turns out to have ended ends the wait as it would have been refused."""
    token = await stage.server.token("anna")
    await stage.go_away()
    await stage.server.sql("delete from session")
    async with stage.server.client(token) as client:
        await client.send("hall.subscribe", {"id": stage.hall.id}, eid="h")
        assert (await client.of("h"))["data"] == {"id": stage.hall.id, "stale": True}
        await stage.come_back()
        assert (await client.of("h"))["error"] in {"Unauthorized", "SessionExpired"}


async def test_many_clients_cost_few_queries(stage: Stage) -> None:
    """A hundred clients with a token each, all waiting for the same hall: one snapshot, and their users in batches."""
    tokens = [await stage.server.token("anna") for _ in range(30)]
    await stage.go_away()
    async with trio.open_nursery() as nursery:
        waiting: list[trio.Event] = []
        back = trio.Event()
        states: list[str] = []

        async def wait(token: str) -> None:
            async with stage.server.client(token) as client:
                await subscribe_to_all(client, stage.hall)
                waiting.append(trio.Event())
                await back.wait()
                states.extend([(await first_state(client, method))["status"] for method in METHODS])

        for token in tokens:
            nursery.start_soon(wait, token)
        await metric_is(stage.server.port, "subscriptions", 3 * len(tokens))
        await stage.come_back()
        back.set()
    assert states == ["snapshot"] * 3 * len(tokens)
