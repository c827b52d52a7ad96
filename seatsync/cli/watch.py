"""``seatsync watch HALL``: what the clients of a hall see, as lines in a terminal.

A small client of the protocol on trio-websocket. It takes a snapshot, prints each update as it comes, and after a lost
connection resumes with what it missed.
"""

import json
import sys
from typing import Any

import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, open_websocket_url

#: The application's heartbeat, in seconds; and how long to wait before connecting again.
HEARTBEAT_S, RETRY_S = 4.0, 1.0

#: A hall of 100,000 seats is some 20 MB.
_MAX_MESSAGE_BYTES = 256 * 1024 * 1024


class WatchError(Exception):
    """The hall cannot be watched; the message is one sentence for a person."""


@define
class _Hall:
    """How far the watcher has come, and where each seat stands."""

    id: int
    rev: int = -1
    epoch: str = ""
    places: dict[int, str] = field(factory=dict)

    def request(self) -> dict[str, Any]:
        """What to subscribe with: from the start, or from where it was."""
        return {"id": self.id} if self.rev < 0 else {"id": self.id, "since": self.rev, "epoch": self.epoch}


async def watch(url: str, hall_id: int) -> None:
    """Print the hall's changes until cancelled. Raises `WatchError` when the server refuses, or was never there."""
    hall = _Hall(hall_id)
    while True:
        try:
            async with open_websocket_url(url, max_message_size=_MAX_MESSAGE_BYTES) as ws:
                await _attend(ws, hall)
        except* (ConnectionClosed, HandshakeError, OSError) as group:
            if hall.rev < 0:
                raise WatchError(f"There is no server at {url}.") from group
        _print("connection lost; trying again")
        await trio.sleep(RETRY_S)


async def _attend(ws: WebSocketConnection, hall: _Hall) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_beat, ws)
        await _follow(ws, hall)


async def _beat(ws: WebSocketConnection) -> None:
    while True:
        await trio.sleep(HEARTBEAT_S)
        await ws.send_message("1")


async def _follow(ws: WebSocketConnection, hall: _Hall) -> None:
    await ws.send_message(json.dumps({"type": "hall.subscribe", "data": hall.request(), "eid": "watch"}))
    while True:
        message = await ws.get_message()
        if message == "1":
            continue
        frame = json.loads(message)
        if frame["error"] is not None:
            raise WatchError(frame["message"])
        _show(frame["status"], frame["data"], hall)


def _show(status: str, data: dict[str, Any], hall: _Hall) -> None:
    if status == "snapshot":
        hall.epoch = data["epoch"]
        hall.places = {seat["id"]: f"row {seat['row']} place {seat['place']}" for seat in data["seats"]}
        _print(f"hall {hall.id}, {data['name']}: {len(hall.places)} seats at revision {data['rev']}")
    for seat in data.get("seats", ()) if status == "update" else ():
        note = f"  ({seat['note']})" if seat["note"] else ""
        _print(f"{data['rev']}  seat {seat['id']}, {hall.places[seat['id']]}: {seat['status']}{note}")
    if "stale" in data:
        _print("the server has lost its database" if data["stale"] else "the server has its database again")
    hall.rev = data.get("rev", hall.rev)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
