"""The commands that list what there is and what there was, and those about the plans of halls."""

import argparse
import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from seatsync import jsontext
from seatsync.cinema.store import CinemaStore
from seatsync.cli.database import Context, on_database
from seatsync.core.postgres.queries import load
from seatsync.core.timing import Timing
from seatsync.errors import Failure
from seatsync.hall.messages import STATUSES
from seatsync.hall.report import ROLL_UP_EVENTS, HallReport, Reports
from seatsync.plan import files, store
from seatsync.terminal import counted, write_lines, write_table

_QUERIES = load("history")


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


@on_database
async def report(context: Context) -> None:
    """Print how full a hall was, or a cinema, up to now, with the times of the zone."""
    options, reports = context.options, Reports(context.db)
    await reports.check_zone(options.tz)
    begins, ends = [await _in_zone(context, time or datetime.now(UTC)) for time in (options.from_, options.to_)]
    wanted = HallReport(
        id=options.hall, cinema_id=options.cinema, from_=begins, to=ends, bucket=options.bucket, tz=options.tz
    )
    while await context.db.fetchval(_QUERIES["roll_up_occupancy"], ROLL_UP_EVENTS):
        pass
    rows = await reports.read(wanted)
    times = [row["from"] for row in rows]
    local = await context.db.fetch(_QUERIES["times_of_zone"], times, options.tz, options.bucket)
    table = [[time["at"], *[*row.values()][1:]] for time, row in zip(local, rows, strict=True)]
    columns = list(rows[0])
    if options.csv:
        csv.writer(sys.stdout).writerows([columns, *table])
    else:
        write_table([name.upper().replace("_", " ") for name in columns], table)


async def _in_zone(context: Context, time: datetime) -> str:
    """ISO 8601, in UTC; a time without a zone is one of that which was asked for."""
    if time.tzinfo is None:
        time = await context.db.fetchval(_QUERIES["time_in_zone"], time.isoformat(), context.options.tz)
    return time.astimezone(UTC).isoformat()


@on_database
async def export_plan(context: Context) -> None:
    """Print the plan of a hall."""
    plan = await store.plan_of(context.db, context.options.hall)
    text = files.WRITERS[context.options.format](plan)
    if sys.stdout.isatty():
        write_lines(*text.splitlines())
    else:
        sys.stdout.buffer.write(text.encode())


def import_plan(options: argparse.Namespace) -> None:
    """Take a plan: add a hall and print its id, or replace the layout of one and print what has become of its seats."""
    if options.keep_status and options.replace is None:
        raise Failure("--keep-status goes with --replace: the seats of a new hall have no status to keep.")
    path = Path(options.file)
    with path.open("rb") as file:
        plan = files.read(file.read(files.MAX_BYTES + 1), path.name)
    if options.replace is not None:
        plan = evolve(plan, name=None)  # the hall's stays
    if options.name is not None:
        plan = evolve(plan, name=options.name)
    if plan.name is None and options.replace is None:
        raise Failure(f"{path.name} does not name the hall: --name NAME does.")
    options.plan = plan
    _take_plan(options)


@on_database
async def _take_plan(context: Context) -> None:
    options = context.options
    async with context.db.transaction(timeout=Timing().seed_s) as session:
        if options.replace is None:
            line = str(await store.add_hall(session, options.cinema, options.plan))
        else:
            done = await store.replace(session, options.replace, options.plan, keep_status=options.keep_status)
            if done.lost and not options.yes:
                lost = counted(done.lost, "seat")
                raise Failure(f"{lost} would lose a status other than VACANT: with --yes it is done.")
            line = (
                f"Hall {options.replace}: {counted(done.kept, 'seat')} kept, {done.moved} moved, {done.added} added,"
                f" {done.removed} removed; {done.lost} lost a status other than VACANT."
            )
    write_lines(line)


async def _cinemas(context: Context) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = jsontext.loads(await CinemaStore(context.db).all())
    return found


def _seats(hall: dict[str, Any]) -> int:
    return sum(hall["seats_count"].values())
