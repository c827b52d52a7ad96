"""``seatsync watch HALL``: a hall's changes as lines in a terminal, as its subscribers receive them.

Changes go to standard output. What concerns the connection goes to standard error, one line for each loss.
"""

import argparse
import sys
from typing import Any

import trio

from seatsync.client import Change, connect
from seatsync.config import load_settings
from seatsync.terminal import write_lines


def watch(options: argparse.Namespace) -> None:
    """Print a hall's changes until Ctrl-C."""
    trio.run(follow, options.url or f"http://localhost:{load_settings().ws_port}", options.hall)


async def follow(url: str, hall_id: int) -> None:
    """Print the hall's changes until cancelled. Raises what `connect` and the iteration over a hall raise."""
    lost, stale = None, False
    async with connect(url) as seats:
        async for change in seats.hall(hall_id):
            if lost != change.lost:
                notice = f"connection lost: {change.lost}; trying again" if change.lost else "connected again"
                write_lines(notice, stream=sys.stderr)
            _show(change)
            if stale != change.stale:
                write_lines("the server has lost its database" if change.stale else "the server has its database again")
            lost, stale = change.lost, change.stale


def _show(change: Change) -> None:
    if change.is_snapshot:
        hall = change.state
        write_lines(f"hall {hall['id']}, {hall['name']}: {len(hall['seats'])} seats at revision {change.rev}")
        return
    for seat in change.changed:
        note = f"  ({seat['note']})" if seat["note"] else ""
        write_lines(f"{change.rev}  seat {seat['id']}, {_place(seat)}: {seat['status']}{note}")


def _place(seat: dict[str, Any]) -> str:
    section = f"{seat['section']}, " if seat.get("section") else ""
    return f"{section}row {seat.get('row_label', seat['row'])} place {seat.get('place_label', seat['place'])}"
