"""Data to begin with: the demo cinemas, and big plain halls for load tests."""

from importlib.resources import files

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load

#: A hall of a million seats takes this long on a slow disk.
DEADLINE_S = 300.0

_QUERIES = load("system")


async def demo(db: Database) -> bool:
    """Add the demo cinemas to a database without any cinema; return whether that was so.

    All or nothing, and once, however many servers do it at the same time.
    """
    script = files("seatsync.sql").joinpath("demo.sql").read_text(encoding="utf-8")
    async with db.transaction(timeout=DEADLINE_S) as tx:
        await tx.execute(_QUERIES["demo_lock"])
        if await tx.fetchval(_QUERIES["has_cinemas"]):
            return False
        await tx.script(script)
    return True


async def hall(db: Database, name: str, seats: int) -> int:
    """Add a rectangular hall with that many vacant seats and return its id."""
    hall_id: int = await db.fetchval(_QUERIES["create_hall"], name, seats, timeout=DEADLINE_S)
    return hall_id
