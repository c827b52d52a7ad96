"""Several servers on one database: they share only PostgreSQL and act as one server."""

from collections.abc import AsyncIterator

import pytest
import trio
from attrs import evolve

from seatsync.core.timing import Timing
from tests.support.browser import Browser
from tests.support.halls import make_hall
from tests.support.server import RunningServer, running_server
from tests.support.views import View, open_view

ANNA = {"status": "user", "username": "anna", "role": "operator"}


@pytest.fixture
async def other(database_url: str, timing: Timing) -> AsyncIterator[RunningServer]:
    """A second server on the database of the first."""
    async with running_server(database_url, timing=timing) as other:
        yield other


quick = pytest.mark.parametrize("timing", [Timing(login_close_s=0.1, revoked_wait_s=0.1)], ids=[""])
"""A notified socket is closed after a tenth of a second."""


async def test_change_reaches_the_clients_of_every_node(server: RunningServer, other: RunningServer) -> None:
    """A change through one node is an update, the same one, for the clients of each."""
    hall = await make_hall(server)
    async with server.client(await server.token("anna")) as here, other.client() as there:
        views = [await open_view(here, hall.id), await open_view(there, hall.id)]
        await there.call("cinemas.subscribe", eid="c")
        data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        rev = (await here.data("hall.update_seat_status", data))["rev"]
        for view in views:
            await view.reach(rev)
            await view.is_true(server)
        assert (await there.update("c"))["halls"][0]["seats_count"]["OCCUPIED"] == 1


async def test_writers_on_both_nodes(server: RunningServer, other: RunningServer) -> None:
    """Concurrent writes through both nodes reach every client as one sequence of revisions."""
    hall = await make_hall(server, places=20)
    tokens = [await server.token(name) for name in ("anna", "bert")]

    async def write(node: RunningServer, token: str, seats: list[int]) -> None:
        async with node.client(token) as client:
            for status in ("OCCUPIED", "VACANT", "RESERVED"):
                for seat in seats:
                    data = {"hall_id": hall.id, "seat_id": seat, "status": status}
                    await client.data("hall.update_seat_status", data)

    async with server.client() as here, other.client() as there:
        views = [await open_view(here, hall.id), await open_view(there, hall.id)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, server, tokens[0], hall.seats[:10])
            nursery.start_soon(write, other, tokens[1], hall.seats[10:])
        rev = await server.value("select rev from hall where id = $1", hall.id)
        for view in views:
            await view.reach(rev)
            await view.is_true(server)


async def test_client_moves_to_another_node(server: RunningServer, other: RunningServer) -> None:
    """A client that lost its node resumes on another: the epoch is the same, and nothing is missed."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
    await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
    await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[1]}")
    async with other.client() as client:
        data = {"id": hall.id, "since": view.rev, "epoch": view.data["epoch"]}
        await client.send("hall.subscribe", data, "h")
        resumed = await client.of("h")
        assert resumed["data"]["resumed"] is True
        moved = View(view.data, "h", client)
        moved.take(resumed)
        await moved.is_true(other)


async def test_key_holds_on_every_node(server: RunningServer, other: RunningServer) -> None:
    """An unanswered write that is repeated at another node is not done twice."""
    hall = await make_hall(server)
    data = {
        "hall_id": hall.id,
        "seat_id": hall.seats[0],
        "status": "OCCUPIED",
        "key": "b3c5d7a0-5f6e-4f0c-9d4e-0123456789ab",
    }
    token = await server.token("anna")
    async with server.client(token) as here, other.client(token) as there:
        eids = await here.send("hall.update_seat_status", data), await there.send("hall.update_seat_status", data)
        first, second = await here.answer(eids[0]), await there.answer(eids[1])
    assert first["data"] == second["data"]
    assert first["data"]["rev"] == 2


@quick
async def test_login_reaches_the_sockets_on_every_node(server: RunningServer, other: RunningServer) -> None:
    """A login over HTTP on one node notifies and closes that client's sockets on another."""
    await server.token("first", "admin")
    here = Browser(server)
    async with here.socket() as near:
        there = Browser(other, cookies=here.cookies)
        async with there.socket() as far, other.client() as stranger:
            for client in (near, far, stranger):
                await client.call("user.subscribe", eid="u")
            await here.register("anna")
            for client in (near, far):
                assert await client.update("u") == ANNA
                assert (await client.closed())[0] == 4001
            await stranger.heartbeat()
            assert stranger.unread == []
    async with evolve(there, cookies=here.cookies).socket() as client:
        assert await client.data("user.status") == ANNA


@quick
async def test_revoked_session_is_closed_on_every_node(server: RunningServer, other: RunningServer) -> None:
    """A logout on one node ends the session's sockets on another, and its rights at once."""
    hall = await make_hall(server)
    token = await server.token("anna")
    async with server.client(token) as here, other.client(token) as there:
        await here.data("user.logout")
        data = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        assert (await there.call("hall.update_seat_status", data))["error"] == "SessionExpired"
        for client in (here, there):
            assert (await client.closed())[0] == 4001


async def test_registration_goes_on_at_another_node(server: RunningServer, other: RunningServer) -> None:
    """A registration begun on one node can be confirmed on another, as behind a load balancer."""
    await server.token("first", "admin")
    here, there = Browser(server), Browser(other)
    start = await here.call("user.auth_start", username="anna")
    there.cookies, there.secret = here.cookies, start["qr_url"].partition("secret=")[2]
    registered = await there.call("user.register", username="anna", code=await there.code())
    async with server.client(registered["token"]) as client:
        assert await client.data("user.status") == ANNA


async def test_one_node_stops(server: RunningServer, other: RunningServer) -> None:
    """A stopping node does not affect the clients of the others."""
    hall = await make_hall(server)
    async with server.client() as here, other.client() as there:
        view = await open_view(there, hall.id)
        server.stop.set()
        assert (await here.closed())[0] == 1001
        await other.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        await view.reach(2)
