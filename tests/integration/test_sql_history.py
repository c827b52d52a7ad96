"""The history in SQL: the view with names, the indexes that serve a seat and a user, and the checkpoints of halls."""

import pytest
import trio
from psycopg import errors

from seatsync.core.postgres.migrate import Migration, migrate, migrations
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from tests.support.sql import User, World, open_world
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


@pytest.mark.usefixtures("database_url")
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
@pytest.mark.usefixtures("database_url")
def test_a_seat_and_a_user_have_an_index(world: World, hall: int, alice: User, query: str) -> None:
    """No question about one seat or one user reads a whole day that is over."""
    first, second, today = fill(world, hall)
    while world.value("select index_history()"):
        pass
    world.do("analyze")
    plan = "\n".join(world.values(f"explain {query}"))
    read = [part for part in (first, second, today) if f"Seq Scan on {part} " in plan]
    assert read in ([], [today]), plan


@pytest.mark.usefixtures("database_url")
def test_one_server_indexes_at_a_time(world: World, hall: int) -> None:
    """Another returns at once, also while days are made and dropped."""
    fill(world, hall)
    other = world.session()
    other.do("begin")
    assert other.value(KEEP, 30) == 0
    assert world.value("select index_history()") == 0
    other.do("rollback")
    assert world.value("select index_history()") == 1


def day_of_long_ago(world: World, condition: str) -> None:
    """Move events to a day that will be dropped."""
    world.do(
        "create table seat_event_20010101 partition of seat_event for values from ('2001-01-01') to ('2001-01-02')"
    )
    world.do(f"update seat_event set at = '2001-01-01T12:00Z' where {condition}")


def goes_to(world: World, hall: int, rev: int) -> bool:
    """Whether the history has the hall at a revision."""
    try:
        return bool(world.values("select id from hall_at_rev($1, $2)", hall, rev))
    except errors.NoDataFound:
        return False


@pytest.mark.usefixtures("database_url")
def test_a_dropped_day_takes_the_checkpoints_that_need_it(world: World, hall: int) -> None:
    """Also where times overtook: a later revision in the day that goes makes a hole behind the checkpoint before."""
    for status in ("OCCUPIED", "VACANT", "OCCUPIED", "VACANT"):
        world.do("update seat set status = $1::text::seat_status", status)
        world.value("select checkpoint_halls(array[$1::bigint])", hall)
    day_of_long_ago(world, "rev <= 2 or rev = 4 and seat_id = 1")
    assert [goes_to(world, hall, rev) for rev in (1, 2, 3, 4, 5)] == [True] * 5
    world.value(KEEP, 30)
    assert world.values("select rev from hall_checkpoint order by rev") == [4, 5]
    assert [goes_to(world, hall, rev) for rev in (1, 2, 3, 4, 5)] == [False, False, False, True, True]


def test_a_hall_that_rests_keeps_its_past(world: World, hall: int) -> None:
    """It needs no new checkpoint: it is at the revision of the last one for as long as it does not change."""
    world.value("select checkpoint_halls(array[$1::bigint])", hall)
    day_of_long_ago(world, "true")
    world.do("update hall_checkpoint set at = '2001-01-01T12:00Z'")
    world.value(KEEP, 30)
    assert world.value("select hall_rev_at($1, '2010-01-01')", hall) == 1
    assert world.value("select hall_rev_at($1, '2000-01-01')", hall) is None
    assert len(world.values("select id from hall_at($1, '2010-01-01')", hall)) == 6


def test_a_removed_revision_is_not_passed_over(world: World, hall: int) -> None:
    """Where somebody has deleted events by hand, the history ends there."""
    world.do("update seat set status = 'OCCUPIED'; update seat set status = 'VACANT'")
    world.do("delete from seat_event where rev = 2")
    assert [goes_to(world, hall, rev) for rev in (1, 2, 3)] == [True, False, False]


def test_checkpoints_that_are_due(world: World, hall: int) -> None:
    """One a day for a hall that has changed, and one for as many events as it has seats, and 500; none else."""
    due = "select keep_checkpoints(100)"
    assert world.value(due) == 0
    world.do("update hall_checkpoint set at = now() - interval '1 day'")
    assert [world.value(due), world.value(due)] == [1, 0]
    world.do("update hall_checkpoint set at = now() - interval '1 day'")
    assert world.value(due) == 0
    world.do("update hall_checkpoint set at = now()")
    for _ in range(100):
        world.do("update seat set status = 'OCCUPIED'; update seat set status = 'VACANT'")
        if world.value(due):
            break
    assert world.values("select rev from hall_checkpoint order by rev desc limit 2") == [world.rev(hall), 1]
    assert world.rev(hall) - 1 == 86  # of six seats


@pytest.mark.usefixtures("database_url")
def test_one_server_makes_checkpoints_at_a_time(world: World, hall: int) -> None:
    """Another returns at once."""
    world.do("update hall_checkpoint set at = now() - interval '1 day'")
    other = world.session()
    other.do("begin")
    assert other.value("select keep_checkpoints(100)") == 1
    assert world.value("select keep_checkpoints(100)") == 0
    other.do("rollback")
    assert world.value("select keep_checkpoints(100)") == 1


def test_truncated_seats_are_in_the_history(world: World, hall: int) -> None:
    """They were there before; nothing is left of a hall that is truncated itself."""
    seats = world.seats(hall)
    world.do("truncate seat")
    assert world.values("select id from hall_at_rev($1, 1)", hall) == seats
    assert world.values("select id from hall_at_rev($1, 2)", hall) == []
    world.do("truncate cinema cascade")
    assert world.value("select count(*) from seat_event") == world.value("select count(*) from hall_checkpoint") == 0


def test_a_hall_of_before_the_migration(empty_database_url: str) -> None:
    """Its history begins with the migration, at the revision that it has then."""
    known = migrations()

    async def run(known: list[Migration]) -> None:
        async with Database.open(empty_database_url, size=1) as db:
            await migrate(db, known)

    trio.run(run, [migration for migration in known if migration.name < "0025"])
    with open_world(empty_database_url) as world:
        hall = world.hall()
        world.do("update seat set status = 'OCCUPIED'")
        trio.run(run, known)
        world.do("update seat set status = 'VACANT'")
        assert [goes_to(world, hall, rev) for rev in (1, 2, 3, 4)] == [False, True, True, False]
        assert set(world.values("select status::text from hall_at_rev($1, 2)", hall)) == {"OCCUPIED"}


def test_a_column_of_a_later_migration(world: World, hall: int) -> None:
    """It is null in checkpoints of before; with a default PostgreSQL refuses it."""
    with pytest.raises(errors.FeatureNotSupported, match="uses its row type"):
        world.do("alter table seat add column colour text not null default 'red'")
    world.do("alter table seat add column colour text; alter table seat alter column colour set default 'red'")
    world.do("update seat set colour = 'blue', x = x + 1")
    colours = "select distinct (unnest(seats)).colour from hall_checkpoint where rev = $1"
    assert [world.values(colours, rev) for rev in (1, 2)] == [[None], ["blue"]]
