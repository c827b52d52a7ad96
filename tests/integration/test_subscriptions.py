"""Subscriptions: made, ended, distinguished by type and eid, and limited in number."""

from typing import Any

import pytest

from tests.support.client import Client
from tests.support.halls import make_hall
from tests.support.server import RunningServer
from tests.support.waiting import metric_is

METHODS = ("hall.subscribe", "cinemas.subscribe", "user.subscribe")


async def nothing_more(client: Client) -> None:
    """No unread frame is left: the next one is the answer to a heartbeat."""
    await client.heartbeat()
    assert client.unread == []


async def test_unsubscribing_ends_the_updates(server: RunningServer) -> None:
    """After unsubscribe is answered with success, nothing comes under that eid any more."""
    hall = await make_hall(server)
    async with server.client() as client, server.client() as witness:
        for one in (client, witness):
            await one.call("hall.subscribe", {"id": hall.id}, eid="h")
        assert await client.data("hall.unsubscribe", {"sub_eid": "h"}) == {"success": True}
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        await witness.update("h")
        await nothing_more(client)


@pytest.mark.parametrize("method", METHODS)
async def test_unsubscribe_and_subscribe_back_to_back(server: RunningServer, method: str) -> None:
    """The existing client sends unsubscribe and then subscribe with the same eid without waiting in between."""
    hall = await make_hall(server)
    async with server.client() as client:
        await client.call(method, {"id": hall.id}, eid="s")
        for _ in range(3):
            gone = await client.send(method.replace("subscribe", "unsubscribe"), {"sub_eid": "s"})
            await client.send(method, {"id": hall.id}, eid="s")
            assert (await client.answer(gone))["data"] == {"success": True}
            assert (await client.answer("s"))["status"] == "snapshot"
        await nothing_more(client)


async def test_subscribe_and_unsubscribe_back_to_back(server: RunningServer) -> None:
    """They take effect in the order sent: the snapshot comes, then the end, then nothing."""
    hall = await make_hall(server)
    async with server.client() as client:
        await client.send("hall.subscribe", {"id": hall.id}, eid="s")
        gone = await client.send("hall.unsubscribe", {"sub_eid": "s"})
        assert [(await client.frame())["eid"] for _ in range(2)] == ["s", gone]
        await client.call("hall.subscribe", {"id": hall.id}, eid="t")
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        await client.update("t")
        await nothing_more(client)


@pytest.mark.parametrize("method", METHODS)
async def test_same_eid_twice_for_the_same_type(server: RunningServer, method: str) -> None:
    """The second subscription of a type under an eid is refused; the first one lives on."""
    hall, other = await make_hall(server), await make_hall(server)
    async with server.client() as client:
        await client.call(method, {"id": hall.id}, eid="s")
        assert (await client.call(method, {"id": other.id}, eid="s"))["error"] == "SubscriptionAlreadyExists"
        data = await client.data(method.replace("subscribe", "unsubscribe"), {"sub_eid": "s"})
        assert data == {"success": True}


async def test_same_eid_for_different_types(server: RunningServer) -> None:
    """Subscriptions of different types may share an eid, and their updates differ by type."""
    hall = await make_hall(server)
    async with server.client() as client:
        for method in METHODS:
            assert (await client.call(method, {"id": hall.id}, eid="s"))["status"] == "snapshot"
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        types = {(await client.frame())["type"] for _ in range(2)}
    assert types == {"hall.subscribe", "cinemas.subscribe"}


async def test_several_subscriptions_to_one_hall(server: RunningServer) -> None:
    """A connection may watch a hall under several eids: each gets every update."""
    hall = await make_hall(server)
    async with server.client() as client:
        for eid in ("a", "b"):
            await client.call("hall.subscribe", {"id": hall.id}, eid=eid)
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        assert await client.update("a") == await client.update("b")


@pytest.mark.parametrize("module", ["hall", "cinemas", "user"])
async def test_unsubscribing_from_an_unknown_subscription(server: RunningServer, module: str) -> None:
    """Without sub_eid, or with one that does not exist (any more), it is SubscriptionNotFound."""
    hall = await make_hall(server)
    async with server.client() as client:
        await client.call(f"{module}.subscribe", {"id": hall.id}, eid=5)
        assert (await client.call(f"{module}.unsubscribe"))["error"] == "SubscriptionNotFound"
        others: list[Any] = [None, "x", "", ["5"], {}, 5.5, True]
        for sub_eid in others:
            answer = await client.call(f"{module}.unsubscribe", {"sub_eid": sub_eid})
            assert answer["error"] == "SubscriptionNotFound", sub_eid
        assert (await client.call(f"{module}.unsubscribe", {"sub_eid": 5}))["error"] is None
        assert (await client.call(f"{module}.unsubscribe", {"sub_eid": 5}))["error"] == "SubscriptionNotFound"


async def test_subscription_belongs_to_its_connection(server: RunningServer) -> None:
    """Another connection's subscription cannot be ended."""
    async with server.client() as mine, server.client() as yours:
        await mine.call("cinemas.subscribe", eid="s")
        assert (await yours.call("cinemas.unsubscribe", {"sub_eid": "s"}))["error"] == "SubscriptionNotFound"


async def test_failed_subscription_leaves_its_eid_free(server: RunningServer) -> None:
    """A refused subscription does not exist: its eid is free, and it cannot be ended."""
    hall = await make_hall(server)
    async with server.client() as client:
        assert (await client.call("hall.subscribe", {"id": 12345}, eid="s"))["error"] == "HallNotFound"
        assert (await client.call("hall.unsubscribe", {"sub_eid": "s"}))["error"] == "SubscriptionNotFound"
        assert (await client.call("hall.subscribe", {"id": hall.id}, eid="s"))["status"] == "snapshot"


async def test_at_most_128_subscriptions(server: RunningServer) -> None:
    """The 129th subscription of a connection is TooManySubscriptions, whatever its type; ending one makes room."""
    hall = await make_hall(server)
    async with server.client() as client:
        for number in range(128):
            method = METHODS[number % 2]
            assert (await client.call(method, {"id": hall.id}, eid=number))["status"] == "snapshot"
        for method in METHODS:
            assert (await client.call(method, {"id": hall.id}, eid="more"))["error"] == "TooManySubscriptions"
        assert (await client.call("hall.subscribe", {"id": hall.id}, eid=0))["error"] == "SubscriptionAlreadyExists"
        await client.data("hall.unsubscribe", {"sub_eid": 0})
        assert (await client.call("user.subscribe", eid="more"))["status"] == "snapshot"
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        frames = [await client.frame() for _ in range(63 + 64)]
    assert {frame["eid"] for frame in frames} == {str(number) for number in range(1, 128)}


async def test_subscriptions_end_with_their_connection(server: RunningServer) -> None:
    """The end of a connection removes its subscriptions."""
    hall = await make_hall(server)
    async with server.client() as client:
        for number, method in enumerate(METHODS):
            await client.call(method, {"id": hall.id}, eid=number)
        await metric_is(server.port, "subscriptions", 3)
    await metric_is(server.port, "subscriptions", 0)
    await metric_is(server.port, "connections", 0)
