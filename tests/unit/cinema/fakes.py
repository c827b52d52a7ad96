"""The live list's neighbours in memory: a database of cinemas, and a client."""

import json
from collections.abc import Iterable
from typing import Any

import trio
from attrs import define, field

from seatsync.cinema.live_list import SUBSCRIBE, LiveList
from seatsync.core.channels.broadcast import Subscription
from seatsync.core.protocol.registry import Json
from tests.support.outlets import FakeClient, message_in


@define(eq=False)
class FakeStore:
    """Cinemas in memory: by id, each with the free seats of its halls by id."""

    cinemas_: dict[int, dict[int, int]] = field(factory=lambda: {1: {11: 5, 12: 5}, 2: {21: 5}})
    fault: Exception | None = None
    gate: trio.Event | None = None
    queries: list[str] = field(factory=list)

    def _cinema(self, key: int, halls: Iterable[int]) -> dict[str, Any]:
        return {"id": key, "halls": [{"id": hall, "free": self.cinemas_[key][hall]} for hall in halls]}

    async def _answer(self, query: str, answer: Any) -> Any:
        self.queries.append(query)
        assert len(self.queries) < 500, "the database is queried in a loop"
        if self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        return answer

    async def all(self) -> Json:
        """The list."""
        found = [self._cinema(key, halls) for key, halls in self.cinemas_.items()]
        return Json(await self._answer("all", json.dumps(found).encode()))

    async def totals(self, hall_ids: Iterable[int]) -> list[Json]:
        """Those halls, by cinema."""
        found = [
            self._cinema(key, [hall for hall in halls if hall in hall_ids]) for key, halls in self.cinemas_.items()
        ]
        return await self._updates("totals", [cinema for cinema in found if cinema["halls"]])

    async def cinemas(self, cinema_ids: Iterable[int]) -> list[Json]:
        """Those cinemas, whole."""
        return await self._updates("cinemas", [self._cinema(key, self.cinemas_[key]) for key in cinema_ids])

    async def _updates(self, query: str, found: list[dict[str, Any]]) -> list[Json]:
        updates: list[Json] = await self._answer(query, [Json(json.dumps(cinema).encode()) for cinema in found])
        return updates


@define(eq=False)
class Watcher(FakeClient):
    """A client that merges its frames by id, as existing clients do."""

    frames: list[str] = field(factory=list)
    """Status of each frame, or its staleness."""
    cinemas: dict[int, dict[int, int]] = field(factory=dict)

    def push(self, frame: bytes) -> bool:
        """Receive one whole frame."""
        message = message_in(frame)
        assert (message["type"], message["eid"]) == (SUBSCRIBE, "e1")
        data = message["data"]
        if "stale" in data:
            self.frames.append(f"stale {data['stale']}")
            return not self.full
        self.answered.set()
        self.frames.append(message["status"])
        if message["status"] == "snapshot":
            self.cinemas.clear()
        for cinema in data if message["status"] == "snapshot" else [data]:
            self.cinemas.setdefault(cinema["id"], {}).update({hall["id"]: hall["free"] for hall in cinema["halls"]})
        return not self.full

    def subscribe(self, feed: LiveList) -> None:
        """Subscribe."""
        self.answered = trio.Event()
        self.subscriber = Subscription(self, SUBSCRIBE, "e1", feed, lambda *_: None, asked_at=0.0)
        feed.subscribe(self.subscriber)

    async def join(self, feed: LiveList) -> None:
        """Subscribe, and wait for the list."""
        self.subscribe(feed)
        await self.answered.wait()
