"""The Python client against a real server: changes, calls, writes, signing in, and what ends them."""

import re
import time
from uuid import uuid4

import pyotp
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from seatsync import errors
from seatsync.client import Changes, NoConnection, OutcomeUnknown, Timing, connect
from seatsync.core.timing import Timing as ServerTiming
from tests.support.client import PATIENCE_S
from tests.support.follower import QUICK, following, is_true
from tests.support.halls import held, make_hall, status_of, waits_for_a_lock
from tests.support.server import RunningServer
from tests.support.waiting import eventually, metric_is


def url(server: RunningServer) -> str:
    """Where a server is."""
    return f"http://127.0.0.1:{server.port}"


async def test_the_hall_is_that_of_the_table(server: RunningServer) -> None:
    """Through changes of one seat and of many, notes, and a new layout."""
    hall = await make_hall(server, rows=3)
    async with connect(url(server)) as seats, following(seats.hall(hall.id)) as follower:
        first = await follower.until(lambda change: change.is_snapshot)
        assert [seat["id"] for seat in first.changed] == hall.seats
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        one = await follower.until(lambda change: change.rev == 2)
        assert [(seat["id"], seat["status"], seat["place"]) for seat in one.changed] == [(hall.seats[0], "OCCUPIED", 1)]
        await server.sql(f"update seat set status = 'MAINTENANCE', note = 'loose' where hall_id = {hall.id}")
        many = await follower.until(lambda change: change.rev == 3)
        assert len(many.changed) == len(hall.seats)
        await is_true(server, many)
        await server.sql(f"delete from seat where id = {hall.seats[1]}")
        layout = await follower.until(lambda change: change.rev == 4)
        assert layout.is_snapshot
        await is_true(server, layout)
        await server.sql(f"update seat set status = 'VACANT' where id = {hall.seats[2]}")
        await is_true(server, await follower.until(lambda change: change.rev == 5))


async def test_a_slow_loop_gets_one_change(server: RunningServer) -> None:
    """However many updates came during its turn; what waits for it is never more than the seats."""
    hall = await make_hall(server, rows=2)
    async with connect(url(server)) as seats:
        slow = seats.hall(hall.id)
        await anext(slow)
        async with following(seats.hall(hall.id)) as quick:
            for number in range(50):
                status = "VACANT" if number // 3 % 2 else "OCCUPIED"
                await server.sql(f"update seat set status = '{status}' where id = {hall.seats[number % 3]}")
            await quick.until(lambda change: change.rev == 51)
        assert len(slow._changed) == 3
        change = await anext(slow)
        assert (change.rev, [seat["id"] for seat in change.changed]) == (51, hall.seats[:3])
        await is_true(server, change)
        with trio.move_on_after(0) as scope:
            await anext(slow)
        assert scope.cancelled_caught


async def test_a_turn_that_is_cancelled_takes_nothing(server: RunningServer) -> None:
    """The next one gets it."""
    hall = await make_hall(server)
    async with connect(url(server)) as seats, following(seats.hall(hall.id)) as other:
        changes = seats.hall(hall.id)
        await anext(changes)
        await server.sql(f"update seat set status = 'OCCUPIED' where id = {hall.seats[0]}")
        await other.until(lambda change: change.rev == 2)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(changes)
        assert (await anext(changes)).rev == 2


async def test_a_missing_hall_ends_the_iteration(server: RunningServer) -> None:
    """With the server's error, at once or when it is deleted; then it is over."""
    hall = await make_hall(server)
    async with connect(url(server)) as seats:
        with pytest.raises(errors.HallNotFound) as raised:
            await anext(seats.hall(4711))
        assert (raised.value.code, raised.value.message) == ("HallNotFound", "There is no such hall.")
        changes = seats.hall(hall.id)
        await anext(changes)
        await server.sql(f"delete from hall where id = {hall.id}")
        with pytest.raises(errors.HallNotFound):
            await anext(changes)
        assert [change async for change in changes] == []


async def test_a_loop_that_is_left_unsubscribes(server: RunningServer) -> None:
    """By ``break``, or closed."""
    hall = await make_hall(server)
    async with connect(url(server)) as seats:
        async for _ in seats.hall(hall.id):
            await metric_is(server.port, "subscriptions", 1)
            break
        await metric_is(server.port, "subscriptions", 0)
        changes = seats.hall(hall.id)
        await anext(changes)
        await metric_is(server.port, "subscriptions", 1)
        await changes.aclose()
        await metric_is(server.port, "subscriptions", 0)
        with pytest.raises(StopAsyncIteration):
            await anext(changes)


async def test_the_cinemas_are_live(server: RunningServer) -> None:
    """Counts, names and new halls are merged; a new cinema is a new list."""
    hall = await make_hall(server, name="Old")
    async with connect(url(server)) as seats, following(seats.cinemas()) as follower:
        (cinema,) = (await follower.until(lambda change: change.is_snapshot)).state
        assert [each["name"] for each in cinema["halls"]] == ["Old"]
        await server.sql(f"update seat set status = 'OCCUPIED' where hall_id = {hall.id}")
        await follower.until(lambda change: change.state[0]["halls"][0]["seats_count"]["OCCUPIED"] == 4)
        await server.sql(
            f"insert into hall (cinema_id, name, rows, places) values ({hall.cinema_id}, 'Second', 1, 1);"
            f"update cinema set name = 'New' where id = {hall.cinema_id}"
        )
        await follower.until(
            lambda change: change.state[0]["name"] == "New" and [h["name"] for h in change.state[0]["halls"]][1:]
        )
        assert not follower.changes[-1].is_snapshot
        await make_hall(server, name="Other")
        last = await follower.until(lambda change: len(change.state) == 2 and len(change.state[1]["halls"]) == 1)
        listed = await seats.call("cinemas.get_cinemas")
        assert [(c["id"], c["name"], [h["id"] for h in c["halls"]]) for c in last.state] == [
            (c["id"], c["name"], [h["id"] for h in c["halls"]]) for c in listed
        ]


async def test_a_call_raises_what_the_server_answers(server: RunningServer) -> None:
    """With code and message; also a code that this version does not know."""
    async with connect(url(server)) as seats:
        with pytest.raises(errors.Unauthorized, match="Sign in first"):
            await seats.call("hall.update_seats", {"hall_id": 1, "seats": [{"seat_id": 1, "status": "VACANT"}]})
        with pytest.raises(errors.ValidationError):
            await seats.call("hall.get", {"id": "three"})
        with pytest.raises(errors.UnknownMessageType):
            await seats.call("no.such")


async def test_the_time_of_a_call_is_over(server: RunningServer) -> None:
    """Its outcome is unknown; the late answer disturbs nobody, as after a cancellation."""
    hall = await make_hall(server)
    item = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "OCCUPIED"}
    async with connect(url(server), await server.token("anna")) as seats:
        async with held(server, f"update seat set note = null where id = {hall.seats[0]}"):
            with pytest.raises(OutcomeUnknown):
                await seats.call("hall.update_seat_status", item, timeout=0.1)
            with trio.move_on_after(0.1):
                await seats.call("hall.update_seat_status", item)
        assert (await seats.call("user.status"))["username"] == "anna"


async def test_a_write_is_made_once(server: RunningServer) -> None:
    """The answer says what was changed; the same key again gets the same answer, another write its own error."""
    hall = await make_hall(server)
    items = [{"seat_id": seat, "status": "RESERVED", "expected": "VACANT"} for seat in hall.seats[:2]]
    async with connect(url(server), await server.token("anna")) as seats:
        key = uuid4()
        done = await seats.update_seats(hall.id, items, key=key)
        assert (done["rev"], [seat["id"] for seat in done["seats"]]) == (2, hall.seats[:2])
        assert await seats.update_seats(hall.id, items, key=key) == done
        with pytest.raises(errors.SeatConflict, match="RESERVED"):
            await seats.update_seats(hall.id, items)
    assert await status_of(server, hall.seats[0]) == "RESERVED"


@pytest.mark.parametrize("timing", [ServerTiming(write_s=0.8, commit_s=0.6)], ids=[""])
async def test_a_write_that_takes_too_long_is_sent_again(server: RunningServer) -> None:
    """`ServiceUnavailable` is no outcome."""
    hall = await make_hall(server)
    token = await server.token("anna")
    async with connect(url(server), token, timing=QUICK) as seats, trio.open_nursery() as nursery:

        async def write() -> None:
            with trio.fail_after(PATIENCE_S):
                done = await seats.update_seats(hall.id, [{"seat_id": hall.seats[0], "status": "OCCUPIED"}])
            assert done["rev"] == 2

        async with held(server, f"update seat set note = null where id = {hall.seats[0]}"):
            nursery.start_soon(write)
            await waits_for_a_lock(server)
            item = {"hall_id": hall.id, "seat_id": hall.seats[0], "status": "RESERVED"}
            with pytest.raises(errors.ServiceUnavailable):
                await seats.call("hall.update_seat_status", item)


async def test_signing_in(server: RunningServer) -> None:
    """The connection is made again as the user; the iteration goes on, and the token is good for a later one."""
    hall = await make_hall(server)
    async with connect(url(server)) as seats, following(seats.hall(hall.id)) as follower:
        await follower.until(lambda change: change.is_snapshot)
        start = await seats.call("user.auth_start", {"username": "eve"})
        totp = pyotp.TOTP(re.findall("secret=(.*)", start["qr_url"])[0])
        await seats.call("user.register", {"username": "eve", "code": totp.now()})
        assert await seats.call("user.status") == {"status": "guest"}
        with pytest.raises(errors.InvalidCode):
            await seats.login("eve", "12345")
        token = await seats.login("eve", totp.at(int(time.time()) + 30))
        assert (await seats.call("user.status"))["username"] == "eve"
        await seats.update_seats(hall.id, [{"seat_id": hall.seats[0], "status": "OCCUPIED"}])
        await is_true(server, await follower.until(lambda change: change.rev == 2))
        assert [change.lost for change in follower.changes] == [None] * len(follower.changes)
    async with connect(url(server), token) as seats:
        assert (await seats.call("user.status"))["username"] == "eve"


async def test_a_wrong_token_is_a_guests(server: RunningServer) -> None:
    """It watches; what needs a user says what is wrong with the token. One that no header can hold is refused here."""
    hall = await make_hall(server)
    async with connect(url(server), "wrong") as seats:
        assert (await anext(seats.hall(hall.id))).is_snapshot
        with pytest.raises(errors.TokenInvalid):
            await seats.update_seats(hall.id, [{"seat_id": hall.seats[0], "status": "OCCUPIED"}])
        with pytest.raises(NoConnection, match="characters"):
            await seats.use_token("two\r\nlines")
        await seats.use_token(await server.token("anna"))
        await seats.update_seats(hall.id, [{"seat_id": hall.seats[0], "status": "OCCUPIED"}])
    with pytest.raises(NoConnection, match="characters"):
        async with connect(url(server), "schlüssel"):
            pass


@pytest.mark.parametrize("timing", [ServerTiming(login_close_s=0.1, revoked_wait_s=0.1)], ids=[""])
async def test_the_end_of_a_session_makes_a_guest(server: RunningServer) -> None:
    """The server closes with 4001, and the client is back at once, without the rights of the session."""
    hall = await make_hall(server)
    token = await server.token("anna")
    async with connect(url(server), token) as seats, following(seats.hall(hall.id)) as follower:
        await follower.until(lambda change: change.is_snapshot)
        await server.sql("delete from session")
        await follower.until(lambda change: "4001" in str(change.lost))
        await follower.until(lambda change: not change.lost)
        with pytest.raises(errors.SessionExpired):
            await seats.update_seats(hall.id, [{"seat_id": hall.seats[0], "status": "OCCUPIED"}])


async def test_errors_of_the_block_come_out_as_they_are(server: RunningServer) -> None:
    """Not in a group of a nursery that nobody sees."""
    with pytest.raises(ZeroDivisionError):
        async with connect(url(server)):
            _ = 1 / 0


async def test_leaving_the_block_ends_what_is_left(server: RunningServer) -> None:
    """Iterations and calls of other tasks, and later ones."""
    hall = await make_hall(server)
    async with trio.open_nursery() as nursery:

        async def iterate(changes: Changes) -> None:
            with pytest.raises(trio.ClosedResourceError):
                _ = [change async for change in changes]

        async with connect(url(server)) as seats:
            nursery.start_soon(iterate, seats.hall(hall.id))
            await metric_is(server.port, "subscriptions", 1)
            await wait_all_tasks_blocked(0.01)
        with pytest.raises(trio.ClosedResourceError):
            await seats.call("user.status")
        await iterate(seats.hall(hall.id))
    await metric_is(server.port, "connections", 0)


async def test_a_cancelled_block_ends_what_is_left(server: RunningServer) -> None:
    """As one that is left does; nobody waits for an answer that cannot come."""
    with trio.CancelScope() as scope:
        async with connect(url(server)) as seats:
            scope.cancel()
            await trio.lowlevel.checkpoint()
    with pytest.raises(trio.ClosedResourceError):
        await seats.call("user.status")
    with pytest.raises(trio.ClosedResourceError):
        await anext(seats.hall(1))


async def test_leaving_waits_for_the_close_frame_alone(server: RunningServer) -> None:
    """A clean close takes no longer than the server's answer."""
    with trio.fail_after(PATIENCE_S), capture_logs() as logs:
        async with connect(url(server), timing=Timing(close_s=PATIENCE_S)):
            pass

        async def is_logged() -> bool:
            return any(line["event"] == "connection_closed" for line in logs)

        await eventually(is_logged)
    assert [line["close_code"] for line in logs if line["event"] == "connection_closed"] == [1000]
