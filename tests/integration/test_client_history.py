"""The Python client looks back: a hall as it was, and its changes once more in their time."""

from datetime import UTC, datetime

import pytest

from seatsync import errors
from seatsync.client import connect
from tests.support.halls import make_hall
from tests.support.server import RunningServer

CHANGES = (
    "update seat set status = 'MAINTENANCE', note = 'Spring'",
    "select hold_seats(array(select id from seat where row = 2), 60)",
    "update seat set status = 'RESERVED', hold_until = now() + interval '1 hour' where place = 1",
    "update seat set hold_until = null where place = 1",
    "delete from seat where row = 1 and place = 1",
    "update hall set name = 'Green'",
    "update seat_type set name = 'love seat' where name = 'vip'",
    *(f"update seat set status = '{status}'" for status in ("OCCUPIED", "VACANT") * 60),
)


async def test_a_replay_is_the_hall_of_then(server: RunningServer) -> None:
    """At each revision, in order, over more than it reads at a time: statuses, notes, holds, and layouts."""
    made = await make_hall(server, 2, 3)
    for change in CHANGES:
        await server.sql(change)
    last = await server.value("select rev from hall")
    async with connect(f"http://localhost:{server.port}", await server.token("ada")) as seats:
        hall = seats.hall(made.id)
        moments = [moment async for moment in hall.replay(1)]
        assert [moment.rev for moment in moments] == [*range(1, last + 1)]
        for moment in moments:
            assert {event["rev"] for event in moment.events} == ({moment.rev} if moment.rev > 1 else set())
            assert moment.state == await hall.at(moment.rev)
        assert (await hall.at(datetime.now(UTC)))["rev"] == last
        assert [moment.rev async for moment in hall.replay(5, 7)] == [5, 6, 7]
        with pytest.raises(errors.HistoryNotFound):
            await hall.at(datetime.fromtimestamp(0, UTC))


async def test_who_may_look_back(server: RunningServer) -> None:
    """A guest has the present alone; a viewer has the hall of then, and not who has changed it."""
    made = await make_hall(server)
    await server.sql("update seat set status = 'OCCUPIED'")
    async with connect(f"http://localhost:{server.port}") as seats:
        with pytest.raises(errors.Unauthorized):
            await seats.hall(made.id).at(1)
        await seats.use_token(await server.token("eve", "viewer"))
        assert (await seats.hall(made.id).at(1))["seats"][0]["status"] == "VACANT"
        with pytest.raises(errors.Forbidden):
            _ = [moment async for moment in seats.hall(made.id).replay(1)]
