"""A replay without a server: when its moments come."""

from collections.abc import Mapping
from typing import Any

import pytest
import trio

from seatsync.client.history import Hall

SEAT = {"id": 1, "status": "VACANT", "seat_type": {"id": 4}}
STATE: dict[str, Any] = {
    "rev": 7,
    "at": "2026-01-01T12:00:00.000Z",
    "seats": [SEAT],
    "seat_types": [{"id": 4, "seats": {"VACANT": 1}}],
}
EVENT: dict[str, Any] = {"kind": "status", "seat_id": 1, "new_status": "VACANT", "note": None, "hold_until": None}
EVENTS = [EVENT | {"rev": 9, "at": "2026-01-01T13:00:00.000Z"}, EVENT | {"rev": 8, "at": "2026-01-01T12:01:00.000Z"}]


async def test_a_replay_takes_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """Between changes as long as they took then, by its speed; what is read late is not late for that."""

    async def call(type_: str, data: Mapping[str, Any]) -> Any:
        await trio.sleep(0.25)
        return {"events": EVENTS, "cursor": None} if type_ == "hall.history" else STATE | dict(data)

    hall = Hall("hall.subscribe", 3, lambda *_: None, lambda *_: None, call=call)
    began = trio.current_time() + 0.5
    times = [(moment.rev, trio.current_time() - began) async for moment in hall.replay(7, 9, speed=60)]
    assert times == [(7, 0), (8, pytest.approx(1)), (9, pytest.approx(60))]
