"""Plans and the halls of the database."""

from typing import Any

from attrs import frozen

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Session
from seatsync.core.timing import Timing
from seatsync.plan import native
from seatsync.plan.faults import PlanError
from seatsync.plan.model import Plan, Seat

_QUERIES = load("plan")

_NO_SUCH_HALL = "P0002"


@frozen
class Replaced:
    """The seats of a hall, counted by their fate when its plan was replaced."""

    kept: int
    """As they were."""
    moved: int
    """With another position, size or type, or other numbers."""
    added: int
    removed: int
    lost: int
    """That were not vacant, and are gone or vacant."""


async def plan_of(db: Database, hall_id: int, *, timing: Timing = Timing()) -> Plan:
    """The plan of a hall. Raises `HallNotFound`, and `PlanError` for a hall without seats."""
    rows: list[Any] = await db.fetch(_QUERIES["seats"], hall_id, timeout=timing.seed_s)
    if not rows:
        raise errors.HallNotFound
    first = rows[0]
    if first["row"] is None:
        raise PlanError(f"Hall {hall_id} has no seats.")
    return Plan(
        name=first["name"],
        rows=first["rows"],
        places=first["places"],
        seats=[Seat(**{name: row[name] for name in native.SEAT}) for row in rows],
    )


async def add_hall(session: Session, cinema_id: int, plan: Plan) -> int:
    """Add a hall with this plan, which has a name, to a cinema; return its id. Raises `Failure` for no such cinema."""
    hall_id: int | None = await session.fetchval(_QUERIES["add_hall"], cinema_id, plan.name, plan.rows, plan.places)
    if hall_id is None:
        raise errors.Failure("There is no such cinema.")
    await replace(session, hall_id, plan, keep_status=True)
    return hall_id


async def replace(session: Session, hall_id: int, plan: Plan, *, keep_status: bool) -> Replaced:
    """Replace the layout of a hall, in one revision; its name, too, if the plan has one. Raises `HallNotFound`."""
    try:
        row: Any = await session.fetchrow(_QUERIES["replace"], hall_id, native.write(plan), keep_status)
    except DatabaseRejected as error:
        if error.sqlstate == _NO_SUCH_HALL:
            raise errors.HallNotFound from None
        raise
    return Replaced(row["kept"], row["moved"], row["added"], row["removed"], row["lost"])
