"""The commands that list what there is."""

from typing import Any

from seatsync import jsontext
from seatsync.cinema.store import CinemaStore
from seatsync.cli.admin import Context, on_database
from seatsync.hall.messages import STATUSES
from seatsync.terminal import write_table


@on_database
async def cinemas(context: Context) -> None:
    """List the cinemas, with their halls and seats counted."""
    rows = (
        (cinema["id"], cinema["name"], cinema["color"], len(cinema["halls"]), sum(map(_seats, cinema["halls"])))
        for cinema in await _cinemas(context)
    )
    write_table(("ID", "NAME", "COLOR", "HALLS", "SEATS"), rows)


@on_database
async def halls(context: Context) -> None:
    """List the halls, with their seats counted by status."""
    rows = (
        (hall["id"], cinema["name"], hall["name"], _seats(hall), *(hall["seats_count"][status] for status in STATUSES))
        for cinema in await _cinemas(context)
        for hall in cinema["halls"]
    )
    write_table(("ID", "CINEMA", "NAME", "SEATS", *STATUSES), rows)


async def _cinemas(context: Context) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = jsontext.loads(await CinemaStore(context.db).all())
    return found


def _seats(hall: dict[str, Any]) -> int:
    return sum(hall["seats_count"].values())
