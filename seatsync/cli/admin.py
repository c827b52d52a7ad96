"""The commands that migrate the database and add data."""

import sys
from functools import partial

from seatsync import seed
from seatsync.cli.database import Context, on_database
from seatsync.core.postgres.migrate import grant
from seatsync.terminal import write_lines


@partial(on_database, create=True)
async def migrate(context: Context) -> None:
    """Apply the missing migrations and print their names; grant the server's role its rights."""
    write_lines(*context.applied)
    if context.options.server_role is not None:
        await grant(context.db, context.options.server_role)


@partial(on_database, create=True)
async def seed_demo(context: Context) -> None:
    """Add the demo cinemas, unless there are cinemas already."""
    if not await seed.demo(context.db):
        write_lines("seatsync: There are cinemas already; nothing was added.", stream=sys.stderr)


@partial(on_database, create=True)
async def seed_hall(context: Context) -> None:
    """Add a hall and print its id."""
    write_lines(await seed.hall(context.db, context.options.name, context.options.seats))
