"""The history in SQL: the view with names, and the indexes that serve a seat and a user."""

import pytest

from seatsync.core.postgres.queries import load
from tests.support.sql import User, World
from tests.support.writes import write_seat

KEEP = load("hall")["keep_history"].sql

#: The days of the history that have an index besides the primary key.
INDEXED = """
select p.inhrelid::regclass::text
from pg_inherits p
join pg_index i on i.indrelid = p.inhrelid
where p.inhparent = 'seat_event'::regclass
group by p.inhrelid
having count(*) > 1
order by 1
"""


def test_the_view_names_everything(world: World, hall: int, alice: User) -> None:
    """Hall, place and user; a seat that is gone has the place it had. Places are as people read them."""
    first, second = world.seats(hall)[:2]
    world.do("update seat set section = 'Stalls', row_label = 'AA' where row = 1")
    assert write_seat(world, alice, hall, first, "MAINTENANCE", note="Spring").code is None
    world.do(f"delete from seat where id = {second}; update hall set name = 'Blue'")
    found = world.rows(
        "select rev, hall, seat_id, section, row, place, kind::text, new_status::text, note, username "
        "from seat_history where hall_id = $1 and rev > 2 order by rev",
        hall,
    )
    assert [tuple(row) for row in found] == [
        (3, "Blue", first, "Stalls", "AA", "1", "status", "MAINTENANCE", "Spring", "alice"),
        (4, "Blue", second, "Stalls", "AA", "2", "layout", None, None, None),
        (5, "Blue", 0, None, None, None, "layout", None, None, None),
    ]


def fill(world: World, hall: int) -> list[str]:
    """Make a long history of many users, of today and of two days before; return their partitions, the last today's."""
    world.do(
        "insert into seat_event (hall_id, rev, seat_id, kind, old_status, new_status, by, at) "
        f"select {hall}, 1000 + n, 1000 + n % 2000, 'status', 'VACANT', 'OCCUPIED', 1000 + n % 300, "
        "now() - (n % 3) * interval '1 day' from generate_series(1, 30000) n"
    )
    world.value(KEEP, 30)
    return world.values("select distinct tableoid::regclass::text from seat_event where rev > 1000 order by 1")


def test_days_that_are_over_are_indexed(world: World, hall: int) -> None:
    """One in a call, the latest first; writes of today pay for no index."""
    first, second, today = fill(world, hall)
    assert world.values(INDEXED) == []
    assert world.value("select index_history()") == 1
    assert world.values(INDEXED) == [second]
    assert world.value("select index_history()") == 1
    assert world.value("select index_history()") == 0
    assert world.values(INDEXED) == [first, second]
    assert today not in world.values(INDEXED)


@pytest.mark.parametrize(
    "query",
    [
        "select * from seat_history where seat_id = 1005 order by rev desc limit 100",
        "select * from seat_history where username = 'alice' order by at desc limit 100",
        "select * from seat_event where hall_id = 1 and seat_id = 1005 and rev < 90000 order by rev desc limit 100",
    ],
)
def test_a_seat_and_a_user_have_an_index(world: World, hall: int, alice: User, query: str) -> None:
    """No question about one seat or one user reads a whole day that is over."""
    first, second, today = fill(world, hall)
    while world.value("select index_history()"):
        pass
    world.do("analyze")
    plan = "\n".join(world.values(f"explain {query}"))
    read = [part for part in (first, second, today) if f"Seq Scan on {part} " in plan]
    assert read in ([], [today]), plan


def test_one_server_indexes_at_a_time(world: World, hall: int) -> None:
    """Another returns at once, also while days are made and dropped."""
    fill(world, hall)
    other = world.session()
    other.do("begin")
    assert other.value(KEEP, 30) == 0
    assert world.value("select index_history()") == 0
    other.do("rollback")
    assert world.value("select index_history()") == 1
