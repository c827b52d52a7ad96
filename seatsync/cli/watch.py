"""``seatsync watch HALL``: a hall's changes as lines in a terminal, as its subscribers receive them.

It takes a snapshot, prints each update as it arrives, and after a lost connection resumes from the revision it has.
"""

import argparse
import json
from typing import Any

import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, open_websocket_url

from seatsync.config import load_settings
from seatsync.errors import Failure
from seatsync.terminal import write_lines

HEARTBEAT = "1"
HEARTBEAT_S, RETRY_S = 4.0, 1.0
MAX_MESSAGE_BYTES = 1 << 28  # a hall of 100,000 seats is some 20 MB


@define
class _Hall:
    """The data of the subscription, which resumes at the last revision received, and the position of each seat."""

    request: dict[str, Any]
    places: dict[int, str] = field(factory=dict)


def watch(options: argparse.Namespace) -> None:
    """Print a hall's changes until Ctrl-C."""
    url = options.url or f"ws://localhost:{load_settings().ws_port}/ws"
    trio.run(follow, url, options.hall)


async def follow(url: str, hall_id: int) -> None:
    """Print the hall's changes until cancelled. Raises `Failure` when the server refuses, or was never there."""
    hall = _Hall({"id": hall_id})
    while True:
        try:
            async with open_websocket_url(url, max_message_size=MAX_MESSAGE_BYTES) as ws:
                await _subscribe(ws, hall)
        except* (ConnectionClosed, HandshakeError, OSError) as group:
            if "since" not in hall.request:
                raise Failure(f"There is no server at {url}.") from group
        _print("connection lost; trying again")
        await trio.sleep(RETRY_S)


async def _subscribe(ws: WebSocketConnection, hall: _Hall) -> None:
    """Subscribe and print what arrives. Raises `Failure` when the server refuses, `ConnectionClosed` at the end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_beat, ws)
        await ws.send_message(json.dumps({"type": "hall.subscribe", "data": hall.request, "eid": "watch"}))
        while True:
            message = await ws.get_message()
            if message != HEARTBEAT:
                frame = json.loads(message)
                if frame["error"] is not None:
                    raise Failure(frame["message"])
                _show(frame["status"], frame["data"], hall)


async def _beat(ws: WebSocketConnection) -> None:
    while True:
        await trio.sleep(HEARTBEAT_S)
        await ws.send_message(HEARTBEAT)


def _show(status: str, data: dict[str, Any], hall: _Hall) -> None:
    if status == "snapshot":
        hall.request["epoch"] = data["epoch"]
        hall.places = {seat["id"]: f"row {seat['row']} place {seat['place']}" for seat in data["seats"]}
        _print(f"hall {hall.request['id']}, {data['name']}: {len(hall.places)} seats at revision {data['rev']}")
    for seat in data.get("seats", ()) if status == "update" else ():
        note = f"  ({seat['note']})" if seat["note"] else ""
        _print(f"{data['rev']}  seat {seat['id']}, {hall.places[seat['id']]}: {seat['status']}{note}")
    if "stale" in data:
        _print("the server has lost its database" if data["stale"] else "the server has its database again")
    if "rev" in data:
        hall.request["since"] = data["rev"]


def _print(line: str) -> None:
    write_lines(line)  # names and notes come from others
