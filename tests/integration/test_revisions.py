"""Revisions: a subscription receives each exactly once and in order."""

import pytest
import structlog
import trio

from seatsync.core.timing import Timing
from tests.support.client import Client
from tests.support.halls import Hall, make_hall
from tests.support.server import RunningServer, running_server
from tests.support.views import View, open_view
from tests.support.waiting import eventually


async def set_seat(server: RunningServer, seat_id: int, status: str) -> None:
    """One revision, by SQL."""
    await server.sql(f"update seat set status = '{status}' where id = {seat_id}")


async def unannounced_revision(server: RunningServer, hall: Hall, seat_id: int) -> None:
    """Commit a revision without its notification: the trigger's work, but for the NOTIFY."""
    await server.sql(
        f"""
        begin;
        alter table seat disable trigger seat_updated;
        alter table hall disable trigger hall_keep_rev;
        update seat set status = 'MAINTENANCE' where id = {seat_id};
        update hall set rev = rev + 1 where id = {hall.id};
        alter table seat enable trigger seat_updated;
        alter table hall enable trigger hall_keep_rev;
        insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status)
        select id, rev, {seat_id}, 'status', 'VACANT', 'MAINTENANCE' from hall where id = {hall.id};
        commit
        """
    )


async def test_every_change_is_the_next_revision(server: RunningServer) -> None:
    """Each statement that changes seats, notes or layout is one revision; one that changes nothing is none."""
    hall = await make_hall(server, rows=2)
    statements = [
        (f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}", 1),
        (f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}", 0),
        (f"update seat set status = 'MAINTENANCE', note = 'a' where id = {hall.seats[0]}", 1),
        (f"update seat set note = 'b' where id = {hall.seats[0]}", 1),
        (f"update seat set x = x + 1 where id = {hall.seats[0]}", 1),
        (f"update hall set name = 'New' where id = {hall.id}", 1),
        (f"delete from seat where id = {hall.seats[0]}", 1),
    ]
    async with server.client() as client:
        view = await open_view(client, hall.id)
        for statement, more in statements:
            await server.sql(statement)
            await view.reach(view.rev + more)
        await view.is_true(server)


async def test_500_seats_are_one_revision(server: RunningServer) -> None:
    """A statement that changes 500 seats is one revision, one update without `from`, too long for a notification."""
    hall = await make_hall(server, rows=20, places=25)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        frame = await client.of("h")
        assert frame["status"] == "update"
        assert "from" not in frame["data"]
        assert len(frame["data"]["seats"]) == 500
        view.take(frame)
        assert view.rev == 2
        await view.is_true(server)


async def test_joining_under_concurrent_writes(server: RunningServer) -> None:
    """A subscription at any time gets a snapshot and then each later revision exactly once."""
    hall = await make_hall(server, rows=4, places=10)
    done = trio.Event()

    async def write(token: str, seats: list[int]) -> None:
        async with server.client(token) as client:
            number = 0
            while not done.is_set():
                status = ("OCCUPIED", "VACANT")[number // len(seats) % 2]
                data = {"hall_id": hall.id, "seat_id": seats[number % len(seats)], "status": status}
                await client.data("hall.update_seat_status", data)
                number += 1

    async def maintain() -> None:
        status = "OCCUPIED"
        while not done.is_set():
            await server.sql(f"update seat set status = '{status}' where hall_id = {hall.id} and row = 4")
            status = "VACANT" if status == "OCCUPIED" else "OCCUPIED"

    async def join(views: list[View]) -> None:
        async with server.client() as client:
            view = await open_view(client, hall.id)
            await view.reach(view.rev + 20)
            views.append(view)
            await writers_done.wait()
            await view.reach(await server.value("select rev from hall where id = $1", hall.id))
            await view.is_true(server)

    async def all_joined() -> bool:
        return len(views) == 20

    views: list[View] = []
    writers_done = trio.Event()
    tokens = [await server.token(name) for name in ("anna", "bert")]
    async with trio.open_nursery() as readers:
        async with trio.open_nursery() as writers:
            for token, start in zip(tokens, (0, 10), strict=True):
                writers.start_soon(write, token, hall.seats[start : start + 10])
            writers.start_soon(maintain)
            for _ in range(20):
                readers.start_soon(join, views)
                await trio.sleep(0.01)
            await eventually(all_joined)
            done.set()
        writers_done.set()
    assert len({view.rev for view in views}) == 1


async def test_lost_notification_is_repaired(server: RunningServer) -> None:
    """A gap between revisions is read from the database and sent as one update with `from`."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await unannounced_revision(server, hall, hall.seats[0])
        await unannounced_revision(server, hall, hall.seats[1])
        await set_seat(server, hall.seats[2], "OCCUPIED")
        frame = await client.of("h")
        assert (frame["status"], frame["data"]["from"], frame["data"]["rev"]) == ("update", 2, 4)
        assert [seat["id"] for seat in frame["data"]["seats"]] == hall.seats[:3]
        view.take(frame)
        await view.is_true(server)


async def occupied(client: Client, eid: str) -> int:
    """The occupied seats of the only hall, from the next frame of a cinemas subscription."""
    data = (await client.of(eid))["data"]
    (cinema,) = data if isinstance(data, list) else [data]
    count: int = cinema["halls"][0]["seats_count"]["OCCUPIED"]
    return count


ODD = (
    *("", "hall", "hall x", "hall x y", "hall 1", "hall -1 2", "hall 1 x", "nothing at all", "probe", "probe x"),
    *("cinema", "cinema x", "cinemas more", "session", "session x", "visitor", "visitor x", "visitor x {"),
    *("hall 99999999999999999999 e 1 layout", "cinema 99999999999999999999", "hall 1 e 99999999999999999999"),
)


async def test_odd_notifications(database_url: str) -> None:
    """Notifications that no version of the triggers makes do not stop later updates, for halls and cinemas."""
    async with running_server(database_url, timing=Timing(retry_s=0.02, gather_s=0.02)) as server:
        hall = await make_hall(server)
        with structlog.testing.capture_logs() as logs:
            await notify_each(server, hall)
    assert "notification_fault" in {line["event"] for line in logs}


async def notify_each(server: RunningServer, hall: Hall) -> None:
    """Notify each payload; a real change after it has to arrive."""
    async with server.client() as client:
        view = await open_view(client, hall.id)
        for number, payload in enumerate(ODD):
            taken = 1 - number % 2
            await client.call("cinemas.subscribe", eid=f"c{number}")
            await server.sql(f"select announce('{payload}')")
            await set_seat(server, hall.seats[0], ("VACANT", "OCCUPIED")[taken])
            await view.reach(number + 2)
            while await occupied(client, f"c{number}") != taken:
                pass
            await client.data("cinemas.unsubscribe", {"sub_eid": f"c{number}"})
        await view.is_true(server)


async def test_changed_layout_is_a_new_snapshot(server: RunningServer) -> None:
    """A hall whose layout changed is sent anew, under the same eid, with the next revision."""
    hall = await make_hall(server, rows=2)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        for statement in (
            f"update seat set rotation = 45 where id = {hall.seats[0]}",
            f"update seat set section = 'Balcony', place_label = '12a' where id = {hall.seats[0]}",
            f"update seat set place = 3 - place where hall_id = {hall.id} and place < 3",
            f"update seat set seat_type_id = {hall.vip} where id = {hall.seats[0]}",
            f"insert into seat (hall_id, seat_type_id, row, place) values ({hall.id}, {hall.standard}, 3, 1)",
            f"delete from seat where id = {hall.seats[1]}",
            f"update hall set name = 'New', rows = 3 where id = {hall.id}",
            f"update seat_type set name = 'sofa' where id = {hall.vip}",
            f"update seat set status = 'OCCUPIED', x = 5 where id = {hall.seats[2]}",
        ):
            await server.sql(statement)
            frame = await client.of("h")
            assert (frame["type"], frame["status"]) == ("hall.subscribe", "snapshot"), statement
            assert frame["data"]["rev"] == view.rev + 1
            view.take(frame)
            await view.is_true(server)
        await set_seat(server, hall.seats[3], "OCCUPIED")
        await view.reach(view.rev + 1)
        await view.is_true(server)


async def test_seat_that_moves_between_halls(server: RunningServer) -> None:
    """Both halls are sent anew."""
    here, there = await make_hall(server), await make_hall(server, name="There")
    async with server.client() as client:
        views = [await open_view(client, hall.id, eid) for hall, eid in ((here, "a"), (there, "b"))]
        await server.sql(f"update seat set hall_id = {there.id}, row = 2 where id = {here.seats[0]}")
        for view in views:
            await view.reach(2)
            await view.is_true(server)


async def test_new_epoch_is_a_new_snapshot(server: RunningServer) -> None:
    """A renewed epoch is sent as a snapshot, and revisions continue from it."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        before = view.data["epoch"]
        await server.sql(f"update hall set epoch = default where id = {hall.id}")
        frame = await client.of("h")
        assert frame["status"] == "snapshot"
        assert frame["data"]["epoch"] != before
        view.take(frame)
        await set_seat(server, hall.seats[0], "OCCUPIED")
        await view.reach(3)
        await view.is_true(server)


@pytest.mark.parametrize(
    "statement", ["delete from hall where id = {0.id}", "delete from cinema where id = {0.cinema_id}"]
)
async def test_deleted_hall_ends_the_subscription(server: RunningServer, statement: str) -> None:
    """A deleted hall ends every subscription to it with HallNotFound under its eid, and requests with HallNotFound."""
    hall = await make_hall(server)
    async with server.client() as one, server.client() as two:
        for client in (one, two):
            await open_view(client, hall.id)
        await server.sql(statement.format(hall))
        for client in (one, two):
            frame = await client.of("h")
            assert (frame["type"], frame["status"], frame["error"]) == ("hall.subscribe", "error", "HallNotFound")
            assert (await client.call("hall.unsubscribe", {"sub_eid": "h"}))["error"] == "SubscriptionNotFound"
            assert (await client.call("hall.subscribe", {"id": hall.id}, eid="h"))["error"] == "HallNotFound"
            assert (await client.call("hall.get", {"id": hall.id}))["error"] == "HallNotFound"
            assert client.unread == []


async def test_hall_restored_under_its_old_id(server: RunningServer) -> None:
    """A hall restored under the id of a deleted one is another hall: another epoch, its own revisions."""
    hall = await make_hall(server)
    async with server.client() as client:
        old = await open_view(client, hall.id)
        await server.sql(f"delete from hall where id = {hall.id}")
        assert (await client.of("h"))["error"] == "HallNotFound"
        await server.sql(
            f"insert into hall (id, cinema_id, name, rows, places) values ({hall.id}, {hall.cinema_id}, 'Again', 1, 1)"
        )
        new = await open_view(client, hall.id)
        assert new.data["epoch"] != old.data["epoch"]
        assert new.data["seats"] == []
        await server.sql(f"insert into seat (hall_id, seat_type_id, row, place) values ({hall.id}, {hall.vip}, 1, 1)")
        await new.reach(1)
        await new.is_true(server)


async def test_reader_in_between(server: RunningServer) -> None:
    """hall.get is never older than a frame sent to a subscription before it."""
    hall = await make_hall(server)
    async with server.client() as watcher, server.client() as reader:
        view = await open_view(watcher, hall.id)
        for number in range(20):
            await set_seat(server, hall.seats[0], ("OCCUPIED", "VACANT")[number % 2])
            await view.reach(2 + number)
            assert await reader.data("hall.get", {"id": hall.id}) == view.data
