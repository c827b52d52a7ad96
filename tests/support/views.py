"""A client's view of a hall by the protocol: its snapshot with every update merged into it."""

import json
from typing import Any

from attrs import define

from tests.support.client import Client, Frame
from tests.support.server import RunningServer


@define
class View:
    """One subscription's view of a hall; anything lost, repeated or out of order fails the test."""

    data: dict[str, Any]
    eid: str = "h"
    client: Client | None = None
    """The source of the frames in `reach`."""
    frames: int = 1
    merged: int = 0
    """Updates that covered more than one revision."""

    @property
    def rev(self) -> int:
        """The revision the view is at."""
        rev: int = self.data["rev"]
        return rev

    async def reach(self, rev: int) -> None:
        """Take frames until the view is at that revision."""
        assert self.client is not None
        while self.rev < rev:
            self.take(await self.client.of(self.eid))
        assert self.rev == rev

    def take(self, frame: Frame) -> None:
        """Merge one frame."""
        assert (frame["type"], frame["error"]) == ("hall.subscribe", None)
        self.frames += 1
        data = frame["data"]
        if frame["status"] == "snapshot":
            assert data["rev"] > self.rev or data["epoch"] != self.data["epoch"]
            self.data = data
            return
        if data.get("resumed") and data["rev"] == self.rev:
            assert data == {"id": self.data["id"], "rev": self.rev, "seats": [], "seat_types": [], "resumed": True}
            return
        assert data.get("from", data["rev"]) == self.rev + 1
        assert ("from" in data) == (data["rev"] > self.rev + 1 or "resumed" in data)
        self.merged += data["rev"] > self.rev + 1
        self._merge(data)

    def _merge(self, data: dict[str, Any]) -> None:
        self.data["rev"] = data["rev"]
        for name in ("seats", "seat_types"):
            known = {item["id"]: item for item in self.data[name]}
            for item in data[name]:
                known[item["id"]].update(item)

    async def is_true(self, server: RunningServer) -> None:
        """The view equals the database's state in full."""
        text = await server.value("select data from hall_snapshot($1)", self.data["id"])
        assert self.data == json.loads(text)


async def open_view(client: Client, hall_id: int, eid: str = "h") -> View:
    """Subscribe, and take the snapshot."""
    answer = await client.call("hall.subscribe", {"id": hall_id}, eid=eid)
    assert answer["status"] == "snapshot"
    return View(answer["data"], eid, client)
