"""Resume: `since` and `epoch` get all missed revisions, or a snapshot."""

from typing import Any

import pytest

from seatsync.core.timing import Timing
from tests.support.client import Client, Frame
from tests.support.halls import Hall, make_hall
from tests.support.server import RunningServer, running_server
from tests.support.views import View, open_view


async def set_seat(server: RunningServer, hall: Hall, place: int, status: str) -> None:
    """One revision, by SQL."""
    await server.sql(f"update seat set status = '{status}' where id = {hall.seats[place]}")


async def resume(client: Client, view: View, eid: str = "r", **other: Any) -> Frame:
    """Subscribe from the view's revision; returns the first frame."""
    data = {"id": view.data["id"], "since": view.rev, "epoch": view.data["epoch"]} | other
    await client.send("hall.subscribe", data, eid)
    return await client.of(eid)


async def resume_whole(server: RunningServer, client: Client, view: View) -> Any:
    """Resume from the view's revision and catch up; returns the first frame's data, which has to be an update."""
    frame = await resume(client, view)
    assert (frame["status"], frame["data"]["resumed"]) == ("update", True)
    view.take(frame)
    view.client, view.eid = client, "r"
    await view.reach(await server.value("select rev from hall where id = $1", view.data["id"]))
    await view.is_true(server)
    return frame["data"]


async def miss(server: RunningServer, hall: Hall) -> None:
    """Five revisions that concern three seats of two types."""
    for place, status in ((0, "OCCUPIED"), (4, "RESERVED"), (0, "VACANT"), (1, "OCCUPIED"), (4, "OCCUPIED")):
        await set_seat(server, hall, place, status)


async def test_missed_revisions_are_merged(server: RunningServer) -> None:
    """From memory: one update with the newest state of each changed seat, `from` since + 1, `rev` the present one."""
    hall = await make_hall(server, rows=2)
    async with server.client() as watcher, server.client() as client:
        witness, view = await open_view(watcher, hall.id), await open_view(client, hall.id)
        await client.data("hall.unsubscribe", {"sub_eid": "h"})
        await miss(server, hall)
        await witness.reach(6)
        data = await resume_whole(server, client, view)
        assert (data["from"], data["rev"]) == (2, 6)
        assert {seat["id"] for seat in data["seats"]} == {hall.seats[0], hall.seats[1], hall.seats[4]}
        assert [seat_type["id"] for seat_type in data["seat_types"]] == [hall.standard, hall.vip]


async def test_missed_revisions_are_read_from_the_database(server: RunningServer, database_url: str) -> None:
    """A server that has not opened the hall, as after a restart, reads the missed revisions from the database."""
    hall = await make_hall(server, rows=2)
    async with server.client() as client:
        view = await open_view(client, hall.id)
    await miss(server, hall)
    async with running_server(database_url) as other, other.client() as client:
        data = await resume_whole(server, client, view)
        assert (data["from"], data["rev"]) == (2, 6)
        assert {seat["id"] for seat in data["seats"]} == {hall.seats[0], hall.seats[1], hall.seats[4]}


@pytest.mark.parametrize("fresh", [False, True], ids=["memory", "database"])
async def test_every_starting_point(server: RunningServer, database_url: str, fresh: bool) -> None:
    """A resume from any revision gets exactly the missed ones, followed by later ones."""
    hall = await make_hall(server, rows=2)
    async with server.client() as client:
        views = [await open_view(client, hall.id, f"{n}") for n in range(5)]
        for number, view in enumerate(views):
            await client.data("hall.unsubscribe", {"sub_eid": view.eid})
            await set_seat(server, hall, number, "OCCUPIED")
            for later in views[number + 1 :]:
                await later.reach(number + 2)
    async with running_server(database_url) as other:
        here = other if fresh else server
        for view in views:
            async with here.client() as client:
                await resume_whole(server, client, view)
                await set_seat(server, hall, 0, "RESERVED" if view.rev % 2 else "VACANT")
                await view.reach(view.rev + 1)


@pytest.mark.parametrize("fresh", [False, True], ids=["memory", "database"])
async def test_nothing_missed(server: RunningServer, database_url: str, fresh: bool) -> None:
    """Nothing missed: an update with the same revision, empty lists and no `from`."""
    hall = await make_hall(server)
    async with running_server(database_url) as other, server.client() as first:
        view = await open_view(first, hall.id)
        async with (other if fresh else server).client() as client:
            assert "from" not in await resume_whole(server, client, view)
            await set_seat(server, hall, 0, "OCCUPIED")
            assert (await client.update("r"))["rev"] == 2


async def test_since_without_epoch_is_a_snapshot(server: RunningServer) -> None:
    """`since` without `epoch` gets a snapshot: revisions of different epochs do not compare."""
    hall = await make_hall(server)
    async with server.client() as client:
        for more in ({"since": 1}, {"since": 1, "epoch": None}, {"epoch": "x"}, {"since": None, "epoch": None}):
            frame = await client.call("hall.subscribe", {"id": hall.id, **more})
            assert frame["status"] == "snapshot"
            assert "resumed" not in frame["data"]


async def test_foreign_epoch_and_future_revision(server: RunningServer) -> None:
    """Another epoch or a future revision gets a snapshot."""
    hall = await make_hall(server)
    others: list[dict[str, Any]] = [{"since": 2}, {"since": 2**63 - 1}]
    others += [{"epoch": epoch} for epoch in ("", "another", "a\0b", "é" * 10_000)]
    async with server.client() as client:
        view = await open_view(client, hall.id)
        for other in others:
            frame = await resume(client, view, **other)
            assert (frame["status"], frame["data"]) == ("snapshot", view.data), other
            await client.data("hall.unsubscribe", {"sub_eid": "r"})


async def test_since_that_is_no_revision(server: RunningServer) -> None:
    """A `since` that cannot be a revision is a ValidationError."""
    hall = await make_hall(server)
    others: list[Any] = [-1, 2**63, 1.5, "1", True, []]
    async with server.client() as client:
        for field, data in (*(("since", {"since": other, "epoch": "x"}) for other in others), ("epoch", {"epoch": 5})):
            answer = await client.call("hall.subscribe", {"id": hall.id, **data})
            assert (answer["error"], answer["message"].partition(":")[0]) == ("ValidationError", field), data


@pytest.mark.parametrize(
    "statement",
    [
        "update seat set x = x + 1 where hall_id = {0.id}",
        "update hall set name = 'New' where id = {0.id}",
        "update hall set epoch = default where id = {0.id}",
        "delete from seat where id = {0.seats[3]}",
        "delete from seat_event where hall_id = {0.id} and rev = 2",
        "delete from seat_event where hall_id = {0.id} and rev = 3",
        "delete from seat_event",
    ],
    ids=lambda statement: statement[:40],
)
async def test_no_partial_catch_up(server: RunningServer, database_url: str, statement: str) -> None:
    """A changed layout or epoch, or a pruned revision in between, gets a snapshot."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await set_seat(server, hall, 0, "OCCUPIED")
        await set_seat(server, hall, 1, "OCCUPIED")
        await server.sql(statement.format(hall))
        async with running_server(database_url) as other, other.client() as late:
            frame = await resume(late, view)
            assert frame["status"] == "snapshot"
            assert "resumed" not in frame["data"]
            assert frame["data"] == (await late.data("hall.get", {"id": hall.id}))


@pytest.mark.usefixtures("short_history")
async def test_more_than_memory_holds(server: RunningServer) -> None:
    """Revisions beyond the history in memory come from the database."""
    hall = await make_hall(server, rows=2)
    async with server.client() as watcher, server.client() as client:
        witness, view = await open_view(watcher, hall.id), await open_view(client, hall.id)
        await miss(server, hall)
        await witness.reach(6)
        await resume_whole(server, client, view)


async def test_channel_that_was_dropped(database_url: str) -> None:
    """A resume after an idle channel was dropped is served from the database."""
    timing = Timing(idle_channel_s=0.0, evict_s=0.01)
    async with running_server(database_url, timing=timing) as server, server.client() as client:
        hall = await make_hall(server, rows=2)
        view = await open_view(client, hall.id)
        await client.data("hall.unsubscribe", {"sub_eid": "h"})
        await miss(server, hall)
        await resume_whole(server, client, view)


async def test_database_that_is_slow_to_answer(server: RunningServer) -> None:
    """Revisions published while a resume is read follow it, none lost and none repeated."""
    database_url, timing = server.settings.database_url or "", Timing(retry_s=0.05)
    hall = await make_hall(server, rows=2)
    async with server.client() as client, server.client() as late:
        view = await open_view(client, hall.id)
        await client.data("hall.unsubscribe", {"sub_eid": "h"})
        await miss(server, hall)
        async with running_server(database_url, timing=timing) as other, other.client() as slow:
            async with server.db.transaction(timeout=60) as session:
                await session.script("lock table seat_event in access exclusive mode")
                data = {"id": hall.id, "since": view.rev, "epoch": view.data["epoch"]}
                await slow.send("hall.subscribe", data, "r")
                await open_view(late, hall.id)
            await set_seat(server, hall, 2, "OCCUPIED")
            frame = await slow.of("r")
            assert frame["data"]["resumed"] is True
            view.client, view.eid = slow, "r"
            view.take(frame)
            await view.reach(7)
            await view.is_true(server)
