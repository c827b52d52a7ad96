"""Initial data: the demo cinemas, and large rectangular halls for load tests.

It fills the tables of several domains, so it stands beside them, for `serve` and the command line.
"""

from importlib.resources import files

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row
from seatsync.core.timing import Timing

_QUERIES = load("seed")


async def demo(db: Database, *, timing: Timing = Timing()) -> bool:
    """Add the demo cinemas if there are no cinemas; return whether they were added.

    All or nothing, and once, however many servers start at the same time.
    """
    script = files("seatsync.sql").joinpath("demo.sql").read_text(encoding="utf-8")
    async with db.transaction(timeout=timing.seed_s) as tx:
        await tx.execute(_QUERIES["demo_lock"])
        if await tx.fetchval(_QUERIES["has_cinemas"]):
            return False
        await tx.script(script)
    return True


async def counts(db: Database) -> Row:
    """The numbers of ``cinemas`` and ``halls``."""
    (row,) = await db.fetch(_QUERIES["site_counts"])
    return row


async def hall(db: Database, name: str, seats: int, *, timing: Timing = Timing()) -> int:
    """Add a rectangular hall with that many vacant seats and return its id."""
    hall_id: int = await db.fetchval(_QUERIES["create_hall"], name, seats, timeout=timing.seed_s)
    return hall_id
