"""Notifications that no trigger sent: any role may NOTIFY, and nobody believes it."""

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from psycopg import errors
from structlog.testing import capture_logs

from seatsync.core.connections.table import alias
from seatsync.core.postgres.feed_key import FeedKey
from seatsync.core.postgres.listener import MAX_DOUBTED
from seatsync.core.timing import Timing
from seatsync.user.feed import ANNOUNCED_S, UserFeed
from tests.support.database import open_session
from tests.support.halls import make_hall
from tests.support.server import RunningServer
from tests.support.sql import Session, World
from tests.support.views import open_view
from tests.support.waiting import metric_is

STATUSES = ("OCCUPIED", "RESERVED")


@pytest.fixture
def stranger(database_url: str) -> Iterator[Session]:
    """A session of a role that may connect, and nothing else."""
    role = f"seatsync_test_stranger_{os.getpid()}"
    with open_session(database_url) as session:
        session.do(f"create role {role}; set role {role}")
        yield session
        session.do(f"reset role; drop role {role}")


async def test_forged_notifications_change_nothing(server: RunningServer, stranger: Session) -> None:
    """A made-up revision, layout, end, login and logout reach no client; the real next revision does."""
    hall = await make_hall(server)
    token = await server.token("ada")
    async with server.client(token) as client:
        view = await open_view(client, hall.id)
        await client.data("user.subscribe", eid="u")
        epoch = view.data["epoch"]
        made_up = f'{{"id":{hall.id},"rev":2,"seats":[{{"id":{hall.seats[0]},"status":"OCCUPIED"}}],"seat_types":[]}}'
        (session_id,) = await server.rows("select id from session")
        bodies = [
            f"hall {hall.id} {epoch} 2 {made_up}",
            f"hall {hall.id} {epoch} 99 layout",
            f"hall {hall.id} deleted",
            f"session {alias(session_id['id'].bytes)}",
            f"session {session_id['id']}",
            f'visitor {time.time():.3f} {alias(b"v")} {{"status":"guest"}}',
            f"cinema {hall.cinema_id}",
            "cinemas",
        ]
        for body in bodies:
            for payload in (body, FeedKey((b"guess",)).sign(body), " " + body, f"{'A' * 22}== {body}"):
                stranger.rows("select pg_notify('seatsync', $1)", payload)
        await server.sql(f"update seat set status = 'RESERVED' where id = {hall.seats[0]}")
        await view.reach(2)
        assert view.frames == 2
        await view.is_true(server)
        await metric_is(server.port, "notifications_refused_total", 4 * len(bodies))
        await client.heartbeat()
        assert client.unread == []


async def test_copies_of_notifications_change_nothing(server: RunningServer, stranger: Session) -> None:
    """What LISTEN shows can be sent again: an old revision, an old deletion, an old session and an old login."""
    hall = await make_hall(server)
    gone = await make_hall(server)
    stranger.listen()
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await server.sql(
            f"""
            update seat set status = 'OCCUPIED' where id = {hall.seats[0]};
            update seat set status = 'VACANT' where id = {hall.seats[0]};
            update hall set epoch = default where id = {hall.id};
            delete from hall where id = {gone.id};
            notify seatsync, 'end'
            """
        )
        copies = stranger.received_until("end")
        assert len(copies) >= 4
        await view.reach(4)
        for copy in copies:
            stranger.rows("select pg_notify('seatsync', $1)", copy)
        await server.sql(f"update seat set status = 'RESERVED' where id = {hall.seats[1]}")
        await view.reach(5)
        await view.is_true(server)


async def test_copies_of_an_old_epoch_cost_one_look(server: RunningServer, stranger: Session) -> None:
    """However often an old epoch is sent again, the hall is read once for it, and updates stay updates."""
    hall = await make_hall(server)
    stranger.listen()
    async with server.client() as client:
        view = await open_view(client, hall.id)
        await server.sql(
            f"""
            update seat set status = 'OCCUPIED' where id = {hall.seats[0]};
            update hall set epoch = default where id = {hall.id};
            notify seatsync, 'end'
            """
        )
        (copy, *_) = stranger.received_until("end")
        await view.reach(3)
        for rev in range(4, 24):
            stranger.rows("select pg_notify('seatsync', $1)", copy)
            await server.sql(f"update seat set status = '{STATUSES[rev % 2]}' where id = {hall.seats[1]}")
            frame = await client.of("h")
            assert frame["status"] == "update" or rev == 4
            view.take(frame)
        await view.is_true(server)


async def test_copy_of_a_new_cinema_sends_no_list(server: RunningServer, stranger: Session) -> None:
    """A list moves its users away: one that others made is not sent again."""
    hall = await make_hall(server)
    stranger.listen()
    async with server.client() as client:
        await client.data("cinemas.subscribe", eid="c")
        await server.sql("insert into cinema (name) values ('Second'); notify seatsync, 'end'")
        (copy,) = stranger.received_until("end")
        while [cinema["name"] for cinema in (await client.answer("c"))["data"]][-1] != "Second":
            pass  # the hall was new a moment ago
        stranger.rows("select pg_notify('seatsync', $1)", copy)
        await server.sql(f"update hall set name = 'Renamed' where id = {hall.id}")
        while "Renamed" not in str((frame := await client.of("c"))["data"]):
            assert frame["status"] == "update"


async def test_renewed_key_deafens_nobody(server: RunningServer) -> None:
    """Revisions tagged with the new key are delivered as soon as the server has read it, and the former key counts."""
    hall = await make_hall(server)
    async with server.client() as client:
        view = await open_view(client, hall.id)
        async with server.db.transaction() as session:
            await session.script(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
            await server.sql("update feed_key set former = key, key = default")
        await server.sql(f"update seat set status = 'RESERVED' where id = {hall.seats[1]}")
        await view.reach(3)
        await view.is_true(server)
        await metric_is(server.port, "notifications_refused_total", 0)


async def test_renewed_key_among_many_forged_deafens_nobody(server: RunningServer) -> None:
    """What is tagged with the new key is not lost either where more was refused than is kept until the key is read."""
    hall = await make_hall(server)
    async with server.client() as client:
        await client.data("cinemas.subscribe", eid="c")
        await server.sql(
            f"""
            begin;
            update feed_key set former = key, key = default;
            update cinema set name = 'Renamed' where id = {hall.cinema_id};
            select count(pg_notify('seatsync', 'cinema ' || n)) from generate_series(1, {MAX_DOUBTED}) n;
            commit
            """
        )
        while (await client.update("c")).get("name") != "Renamed":
            pass  # the hall may be shown as it was made


@pytest.mark.parametrize("timing", [Timing(compare_s=0.1)], ids=[""])
async def test_own_change_whose_notification_is_refused_is_found(server: RunningServer) -> None:
    """A server that knows of a revision by its own write looks for it when no notification that it believes comes."""
    hall = await make_hall(server)
    async with server.client(await server.token("ada")) as client:
        view = await open_view(client, hall.id)
        await server.sql("update feed_key set key = default")
        write = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
        assert (await client.data("hall.update_seat_status", write))["rev"] == 2
        await server.sql("update feed_key set key = default")
        await view.reach(2)
        await view.is_true(server)


def test_a_stranger_has_no_key(world: World, stranger: Session) -> None:
    """The key is for the owner and the server: no other role reads it, or has a payload tagged."""
    for statement in ("select key from feed_key", "select announce('cinemas')", "update feed_key set former = key"):
        with pytest.raises(errors.InsufficientPrivilege):
            stranger.do(statement)
    assert world.payloads() == []


@pytest.mark.parametrize("body", ["cinemas", "hall 3 e-00000001 7 layout", "note é€🎬"])
@pytest.mark.usefixtures("database_url")
def test_python_and_sql_make_the_same_tag(world: World, body: str) -> None:
    """`FeedKey` signs as the triggers do, verifies with the former key too, and with no other."""
    key = FeedKey((world.value("select key from feed_key"),))
    world.value("select announce($1)", body)
    assert world.payloads() == [key.sign(body)]
    world.do("update feed_key set former = key, key = default")
    renewed = FeedKey(tuple(world.rows("select key, former from feed_key")[0]))
    assert renewed.sign(body) != key.sign(body)
    assert renewed.verify(key.sign(body)) == body
    assert key.verify(renewed.sign(body)) is None


async def test_announcement_of_a_login_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy is ignored, and so is an announcement older than the clocks of two servers may differ."""
    taken: list[tuple[str, str | None, bytes]] = []
    connections = SimpleNamespace(visitor_changed=lambda *changed: taken.append(changed))
    users = UserFeed(None, connections, FeedKey())  # type: ignore[arg-type]  # what it needs of them
    now = time.time()
    for age in (0.0, 0.0, 0.5, ANNOUNCED_S + 1, 0.5):
        users.visitor_changed(f"{now - age:.3f} v,w {{}}")
    assert taken == [("v", "w", b"{}")] * 2
    monkeypatch.setattr(time, "time", lambda: now + ANNOUNCED_S + 2)
    users.visitor_changed(f"{now:.3f} v {{}}")
    users.visitor_changed(f"{now + ANNOUNCED_S:.3f} v {{}}")
    assert taken[2:] == [("v", None, b"{}")]


async def test_copies_of_an_announcement_fill_no_log() -> None:
    """Any role can send one a thousand times: that is one line, and the next has the number of those left out."""
    users = UserFeed(None, SimpleNamespace(visitor_changed=lambda *_: None), FeedKey())  # type: ignore[arg-type]
    with capture_logs() as logs:
        for _ in range(1001):
            users.visitor_changed(f"{time.time() - ANNOUNCED_S - 1:.3f} v {{}}")
    assert [line["event"] for line in logs] == ["announcement_ignored"]
