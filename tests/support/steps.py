"""Steps of random histories of two halls, by SQL."""

from contextlib import suppress

from psycopg import errors

from tests.support.sql import World


def some_seats(world: World, places: set[int]) -> list[int]:
    """The ids of the seats at these places among all there are, counted around; 0 where there are none."""
    known = world.values("select id from seat order by id")
    return [known[place % len(known)] for place in places] if known else [0]


def run_step(world: World, statement: str, *, seats: list[int], hall: int, other: int, n: int) -> None:
    """Run a statement that names ``seats``, the first as ``seat``, two halls and ``n``; it may collide with a seat."""
    names = {"seats": ",".join(map(str, seats)), "seat": seats[0], "hall": hall, "other": other, "n": n}
    with suppress(errors.UniqueViolation):
        world.do(statement.format_map(names))
