"""Initial data: the demo cinemas, and large rectangular halls for load tests.

It fills the tables of several domains, so it stands beside them, for `serve` and the command line.
"""

from importlib.resources import files

from attrs import evolve

from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row, Session
from seatsync.core.timing import Timing

_QUERIES = load("seed")


#: In the order of their ids, wherever there is no other.
_TYPES = ("Standard", "Comfort", "Premium", "VIP", "Love seat", "Wheelchair space")

#: The halls of each cinema, by name and colour; ``seatsync/plan/demo`` has their plans.
_DEMO = {
    ("Astoria", "#B91C1C"): ("Grand Hall", "Studio", "Salon"),
    ("Harbour Lights", "#0F766E"): ("Auditorium", "Quay", "Boathouse"),
    ("Lumen", "#6D28D9"): ("Dome", "Cellar"),
}

_BROKEN = (7, 14, "Armrest broken, the part is ordered")


async def demo(db: Database, *, timing: Timing = Timing()) -> bool:
    """Add the demo cinemas if there are no cinemas; return whether they were added.

    All or nothing, and once, however many servers start at the same time.
    """
    async with db.transaction(timeout=timing.seed_s) as tx:
        await tx.execute(_QUERIES["demo_lock"])
        if await tx.fetchval(_QUERIES["has_cinemas"]):
            return False
        await tx.execute(_QUERIES["demo_types"], list(_TYPES))
        hall_ids = []
        for (name, color), halls in _DEMO.items():
            cinema_id = await tx.fetchval(_QUERIES["demo_cinema"], name, color)
            hall_ids += [await _demo_hall(tx, cinema_id, hall) for hall in halls]
        await tx.execute(_QUERIES["demo_taken"], hall_ids)
        await tx.execute(_QUERIES["demo_broken"], hall_ids[0], *_BROKEN)
    return True


async def _demo_hall(tx: Session, cinema_id: int, name: str) -> int:
    """Add a hall with the plan of its name, as `seatsync hall import` does."""
    from seatsync.plan import files as plans  # noqa: PLC0415 -- a server without demo data needs none of it
    from seatsync.plan import store  # noqa: PLC0415

    file = files("seatsync.plan").joinpath("demo", f"{name.lower().replace(' ', '_')}.csv")
    return await store.add_hall(tx, cinema_id, evolve(plans.read(file.read_bytes(), name), name=name))


async def counts(db: Database) -> Row:
    """The numbers of ``cinemas`` and ``halls``."""
    (row,) = await db.fetch(_QUERIES["site_counts"])
    return row


async def hall(db: Database, name: str, seats: int, *, timing: Timing = Timing()) -> int:
    """Add a rectangular hall with that many vacant seats and return its id."""
    hall_id: int = await db.fetchval(_QUERIES["create_hall"], name, seats, timeout=timing.seed_s)
    return hall_id
