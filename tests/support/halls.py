"""Halls for tests, and changes to them by a maintainer or another session."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen

from tests.support.server import RunningServer
from tests.support.waiting import eventually

_MAKE_HALL = """
with a_cinema as (
    insert into cinema (name, color) values ($3, '#112233') returning id
),
a_hall as (
    insert into hall (cinema_id, name, rows, places) select id, $3, $1, $2 from a_cinema returning id, cinema_id
),
types as (
    insert into seat_type (name) values ('standard'), ('vip')
    on conflict (name) do update set name = excluded.name
    returning id, name
)
select a_hall.id, a_hall.cinema_id, min(types.id) as standard, max(types.id) as vip
from a_hall, types
group by a_hall.id, a_hall.cinema_id
"""

_MAKE_SEATS = """
insert into seat (hall_id, seat_type_id, row, place, x, y, width, height, rotation)
select
    $1,
    case when row = $4 and row > 1 then $3::bigint else $2::bigint end,
    row,
    place,
    40 * place,
    40 * row,
    32,
    32,
    0
from generate_series(1, $4::integer) row, generate_series(1, $5::integer) place
order by row, place
"""


@frozen
class Hall:
    """A rectangular hall in a cinema of its own; the last row, if it is not the only one, is VIP."""

    id: int
    cinema_id: int
    standard: int
    vip: int
    seats: list[int]
    """The ids, by row and place."""


async def make_hall(server: RunningServer, rows: int = 1, places: int = 4, name: str = "Blue") -> Hall:
    """Add a hall of vacant seats. Its revision is 1: its seats came in one statement."""
    (hall,) = await server.rows(_MAKE_HALL, rows, places, name)
    await server.rows(_MAKE_SEATS, hall["id"], hall["standard"], hall["vip"], rows, places)
    seats = await server.rows("select id from seat where hall_id = $1 order by row, place", hall["id"])
    return Hall(hall["id"], hall["cinema_id"], hall["standard"], hall["vip"], [seat["id"] for seat in seats])


async def status_of(server: RunningServer, seat_id: int) -> str:
    """A seat's status in the database."""
    status: str = await server.value("select status::text from seat where id = $1", seat_id)
    return status


async def waits_for_a_lock(server: RunningServer) -> None:
    """Wait until one of the server's own statements waits for a lock of another session."""
    query = (
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and application_name = $1 and wait_event_type = 'Lock'"
    )

    async def check() -> bool:
        return bool(await server.value(query, "seatsync"))

    await eventually(check)


@asynccontextmanager
async def held(server: RunningServer, statement: str) -> AsyncIterator[None]:
    """Another session holds the locks of that statement until the block ends; then it rolls back."""
    async with server.db.session(timeout=60) as session:
        await session.script(f"begin; {statement}")
        try:
            yield
        finally:
            await session.script("rollback")
