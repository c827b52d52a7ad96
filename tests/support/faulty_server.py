"""A server of one hall with chosen faults, to prove that the load generator finds them."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

Data = dict[str, Any]

#: Replaces an update by the updates that are sent, none or several.
Spoil = Callable[[Data], list[Data]]

HALL_ID, SEATS = 7, 20


def honest(update: Data) -> list[Data]:
    """Without a fault."""
    return [update]


@define
class Reordering:
    """Sends a revision after the one that follows it."""

    rev: int
    _held: list[Data] = field(factory=list)

    def __call__(self, update: Data) -> list[Data]:
        """Hold the revision back until after the next."""
        if update["rev"] == self.rev:
            self._held = [update]
            return []
        held, self._held = self._held, []
        return [update, *held]


@define(eq=False)
class FaultyServer:
    """Its state and its faults."""

    spoil: Spoil = honest
    """Replaces updates."""
    lose: frozenset[int] = frozenset()
    """Revisions whose change is acknowledged, once, but not made."""
    unavailable: frozenset[int] = frozenset()
    """Revisions whose change is answered with ServiceUnavailable, once."""
    stall: tuple[int, float] = (0, 0.0)
    """A revision, and the seconds that its change takes."""
    refuse: str | None = None
    """The error that answers every change."""
    keys: list[str] = field(factory=list)
    """The idempotency keys of all changes, in order."""
    port: int = 0
    _rev: int = 0
    _seats: dict[int, Data] = field(init=False)
    _subscribers: dict[WebSocketConnection, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """All seats are vacant."""
        self._seats = {number: self._seat(number, "VACANT") for number in range(1, SEATS + 1)}

    def _seat(self, number: int, status: str) -> Data:
        milliseconds = f"{time.time_ns() // 1_000_000:015}"
        return {"id": number, "status": status, "updated_at": milliseconds, "note": None, "hold_until": None}

    def _seat_types(self) -> list[Data]:
        statuses = [seat["status"] for seat in self._seats.values()]
        each = {status: statuses.count(status) for status in ("VACANT", "RESERVED", "OCCUPIED", "MAINTENANCE")}
        return [{"id": 1, "seats_count": SEATS, "seats": each}]

    def _hall(self) -> Data:
        seats = [{**seat, "seat_type": {"id": 1, "name": "standard"}} for seat in self._seats.values()]
        return {"id": HALL_ID, "rev": self._rev, "epoch": "e", "seats": seats, "seat_types": self._seat_types()}

    async def serve(self, request: WebSocketRequest) -> None:
        """One connection."""
        socket = await request.accept()
        try:
            while True:  # until the client closes
                await self._answer(socket, json.loads(await socket.get_message()))
        except ConnectionClosed:
            self._subscribers.pop(socket, None)

    async def _answer(self, socket: WebSocketConnection, message: Data) -> None:
        type_, eid = message["type"], message["eid"]
        if type_ == "hall.subscribe":
            self._subscribers[socket] = eid
            await _send(socket, type_, "snapshot", self._hall(), eid)
        elif type_ == "hall.get":
            await _send(socket, type_, "success", self._hall(), eid)
        elif self.refuse is not None:
            await _send(socket, type_, "error", None, eid, error=self.refuse, message="No.")
        else:
            await self._change(socket, message)

    async def _change(self, socket: WebSocketConnection, message: Data) -> None:
        type_, eid, change = message["type"], message["eid"], message["data"]
        self.keys.append(change["key"])
        seat = self._seat(change["seat_id"], change["status"])
        rev = self._rev + 1
        if rev == self.stall[0]:
            await trio.sleep(self.stall[1])
        if rev in self.unavailable:
            self.unavailable -= {rev}
            await _send(socket, type_, "error", None, eid, error="ServiceUnavailable", message="No.", retry_after=0.05)
            return
        if rev in self.lose:
            self.lose -= {rev}
            await _send(socket, type_, "success", {"id": HALL_ID, "rev": self._rev, "seats": [seat]}, eid)
            return
        self._rev += 1
        self._seats[seat["id"]] = seat
        data = {"id": HALL_ID, "rev": self._rev, "seats": [seat]}
        await _send(socket, type_, "success", data, eid)
        for update in self.spoil({**data, "seat_types": self._seat_types()}):
            for subscriber, eid in list(self._subscribers.items()):
                await _send(subscriber, "hall.subscribe", "update", update, eid)


async def _send(socket: WebSocketConnection, type_: str, status: str, data: Data | None, eid: str, **more: Any) -> None:
    envelope = {"type": type_, "status": status, "data": data, "error": None, "eid": eid}
    text = json.dumps({**envelope, **more, "ts": time.time_ns() // 1_000_000}, separators=(",", ":"))
    try:
        await socket.send_message(text)
    except ConnectionClosed:
        return


@asynccontextmanager
async def faulty_server(**how: Any) -> AsyncIterator[FaultyServer]:
    """A listening server."""
    server = FaultyServer(**how)
    async with trio.open_nursery() as nursery:
        listening = await nursery.start(serve_websocket, server.serve, "127.0.0.1", 0, None)
        server.port = listening.port
        yield server
        nursery.cancel_scope.cancel()
