"""Commands that are functions of the database."""

import argparse
from collections.abc import Awaitable, Callable

import trio
from attrs import frozen

from seatsync.config import Settings, load_settings
from seatsync.core.embedded.server import resolve_database
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from seatsync.core.telemetry.logs import configure_logs

#: For a terminal to take what is printed before it counts, in seconds.
PRINT_S = 600.0


@frozen
class Context:
    """A command's arguments and its migrated database."""

    options: argparse.Namespace
    settings: Settings
    db: Database
    applied: list[str]
    """The migrations that were missing until now."""


def on_database(
    work: Callable[[Context], Awaitable[None]], *, create: bool = False
) -> Callable[[argparse.Namespace], None]:
    """Make a command of a function that works on the database; ``create`` makes an embedded one where there is none."""

    async def run(options: argparse.Namespace, settings: Settings) -> None:
        configure_logs("warning", settings.log_format)
        async with Database.open(settings.database_url or "", size=1) as db:
            await work(Context(options, settings, db, await migrate(db)))

    def command(options: argparse.Namespace) -> None:
        with resolve_database(load_settings(), create=create) as (settings, _):
            trio.run(run, options, settings)

    return command
