"""Who looks back, while the database is slow with some of it."""

import math
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest
import trio
from attrs import define

from seatsync import errors
from seatsync.core.protocol.call import Call, Client, Identity, Session
from seatsync.core.protocol.params import Id
from seatsync.hall.history import LOOKS_BACK, HistoryMethods
from seatsync.hall.messages import HallAt

if TYPE_CHECKING:
    from seatsync.core.postgres.pool import Database

SLOW, QUICK = Id(1), Id(2)


@define
class SlowDatabase:
    """It never answers for one hall, and at once for others."""

    async def fetchval(self, _: object, hall_id: int, *__: object) -> str:
        """The hall of then."""
        if hall_id == SLOW:
            await trio.sleep_forever()
        return "{}"


def call_of(user_id: int) -> Call:
    """A call of that user, over a connection of its own."""
    identity = Identity(user_id, f"user-{user_id}", "viewer", uuid4())
    session = Session(identity.session_id, math.inf, None, identity)
    return Call(Client("203.0.113.7", "0" * 32, session=session), "hall.at", "1", "ws")


async def test_a_user_does_not_keep_others_from_looking_back(autojump_clock: trio.testing.MockClock) -> None:
    """However many connections ask for what is slow: one of them is under way, the others are refused in time."""
    methods = HistoryMethods(cast("Database", SlowDatabase()))

    async def look_back() -> None:
        with pytest.raises(errors.TooManyRequests):
            await methods.at(call_of(1), HallAt(id=SLOW, rev=1))

    async with trio.open_nursery() as nursery:
        for _ in range(LOOKS_BACK + 3):
            nursery.start_soon(look_back)
        await trio.sleep(1)
        began = trio.current_time()
        await methods.at(call_of(2), HallAt(id=QUICK, rev=1))
        assert trio.current_time() == began
    await methods.at(call_of(1), HallAt(id=QUICK, rev=1))
