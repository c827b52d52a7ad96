"""The roll-up of occupancy where a history has holes, the views of it, and the log of maintenance."""

import pytest

from tests.support.sql import User, World
from tests.support.writes import write_seat

ROLL_UP = "select roll_up_occupancy(1000)"

HOURS = """
select to_char(hour at time zone 'UTC', 'DD HH24'), seats, occupied_avg::float, occupied_peak, changes
from occupancy_by_hour
where hall_id = $1 and hour < '2026-03-02T00:00Z'
order by hour
"""


def at(world: World, hall: int, time: str) -> None:
    """Give the revision that the hall has now its time."""
    world.do(f"update seat_event set at = '{time}' where hall_id = {hall} and rev = {world.rev(hall)}")
    world.do(f"update hall_checkpoint set at = '{time}' where hall_id = {hall} and at > '2026-03-02T00:00Z'")


def occupy(world: World, hall: int, time: str, seats: int) -> None:
    """From that time on so many of the six seats are OCCUPIED."""
    world.do(
        "update seat set status = case when n.n <= $2::int then 'OCCUPIED' else 'VACANT' end::seat_status "
        "from (select id, row_number() over (order by id) as n from seat where hall_id = $1) n where n.id = seat.id",
        hall,
        seats,
    )
    at(world, hall, time)


@pytest.fixture
def past(world: World, hall: int) -> int:
    """A hall that is there since 20:00."""
    at(world, hall, "2026-03-01T20:00Z")
    return hall


def hours(world: World, hall: int) -> list[tuple[str, int, float, int, int]]:
    """The hours of the first of March."""
    return [tuple(row) for row in world.rows(HOURS, hall)]


def test_a_late_commit_changes_no_hour_that_is_done(world: World, past: int) -> None:
    """Its events count from the change before; an hour that nothing has followed can still change."""
    occupy(world, past, "2026-03-01T20:30Z", 2)
    world.do(ROLL_UP)
    occupy(world, past, "2026-03-01T20:15Z", 4)
    world.do(ROLL_UP)
    occupy(world, past, "2026-03-01T21:15Z", 6)
    world.do(ROLL_UP)
    done = [("01 20", 6, 2, 4, 4), ("01 21", 6, 5.5, 6, 2)]
    assert hours(world, past)[:2] == done
    occupy(world, past, "2026-03-01T20:45Z", 0)
    world.do(ROLL_UP)
    assert hours(world, past) == [done[0], ("01 21", 6, 1, 6, 8), ("01 22", 6, 0, 0, 0), ("01 23", 6, 0, 0, 0)]


def test_rows_outlive_the_history(world: World, past: int) -> None:
    """What is rolled up stays when events and checkpoints are gone, and the roll-up goes on behind the hole."""
    occupy(world, past, "2026-03-01T20:30Z", 2)
    world.do(ROLL_UP)
    world.do("delete from hall_checkpoint; delete from seat_event")
    assert hours(world, past)[:2] == [("01 20", 6, 1, 2, 2), ("01 21", 6, 2, 2, 0)]
    occupy(world, past, "2026-03-01T22:00Z", 3)
    world.do("delete from seat_event")  # somebody has, before it was rolled up
    occupy(world, past, "2026-03-01T22:30Z", 4)
    world.do("update seat set status = 'OCCUPIED'")
    world.do(ROLL_UP)
    now = world.row("select occupied, occupied_peak from occupancy_hour order by hour desc limit 1")
    assert tuple(now) == (6, 6)
    assert hours(world, past)[2:] == [("01 22", 6, 2, 2, 0), ("01 23", 6, 2, 2, 0)]


@pytest.mark.usefixtures("database_url")
def test_it_waits_for_no_other_server(world: World, past: int) -> None:
    """While one rolls up, for however long, another goes on with its work; then nothing is left to do."""
    other = world.session()
    world.do("begin")
    world.do(ROLL_UP)
    assert other.value(ROLL_UP) == 0
    assert other.value("select count(*) from occupancy_hour") == 0
    world.do("rollback")
    world.do(ROLL_UP)
    assert other.value("select count(*) from occupancy_hour") == 1


@pytest.mark.usefixtures("database_url")
def test_a_hall_may_go_meanwhile(world: World, past: int) -> None:
    """One that is deleted while another is rolled up, or just when it would be, is passed over."""
    between, last = world.hall(), world.hall()
    first, second, rolling = world.session(), world.session(), world.session()
    rolling.do("set statement_timeout = '5s'")
    first.do(f"begin; select from hall where id = {past} for update")
    second.do(f"begin; delete from hall where id = {last}")
    rolled = rolling.start(ROLL_UP)
    world.wait_for_lock(rolling)
    world.do(f"delete from hall where id = {between}")
    first.do("commit")
    world.wait_for_lock(rolling)
    second.do("commit")
    rolled.result()
    assert world.values("select distinct hall_id from occupancy_hour") == [past]


def test_work_is_bounded(world: World, past: int) -> None:
    """So many events a call, in whole revisions: 1 says that there is more."""
    for seats in (1, 2, 3, 6):
        occupy(world, past, "2026-03-01T20:30Z", seats)
    revs = []
    while world.value("select roll_up_occupancy(2)"):
        revs.append(world.value("select max(rev) from occupancy_hour"))
    assert revs == [1, 3, 5]
    assert hours(world, past)[0] == ("01 20", 6, 3, 6, 6)


def test_days_and_buckets_of_other_lengths(world: World, past: int) -> None:
    """The view by days is the report by days of UTC; weeks and months are reports, too."""
    occupy(world, past, "2026-03-01T22:00Z", 6)
    world.do(ROLL_UP)
    day = "select occupied_avg::float, occupied_peak, changes from occupancy_by_day where day = '2026-03-01'"
    assert tuple(world.row(day)) == (3, 6, 6)
    report = (
        "select occupied_avg, occupied_peak, changes from occupancy_report(array[$1::bigint], $2::text::timestamptz, "
    )
    for bucket in ("day", "week"):
        row = world.row(f"{report} '2026-03-02T00:00Z', $3)", past, "2026-03-01T23:00Z", bucket)
        assert tuple(row) == (3, 6, 6)
    assert len(world.rows(f"{report} '2026-05-01T00:00Z', 'month')", past, "2026-03-01T23:00Z")) == 2


def test_the_log_of_maintenance(world: World, hall: int, alice: User) -> None:
    """Each spell of a seat, with its last note; those that go on, and those of which the history has no beginning."""
    first, second, third, fourth, fifth = world.seats(hall)[:5]
    world.do(f"update seat set status = 'MAINTENANCE', note = 'Long ago' where id in ({third}, {fifth})")
    world.do("delete from seat_event where kind = 'status'")
    assert write_seat(world, alice, hall, first, "MAINTENANCE", note="Spring").code is None
    world.do(f"update seat set note = 'Spring and arm' where id = {first}")
    world.do(f"update seat set x = x + 1, status = 'OCCUPIED' where id = {first}")
    world.do(f"update seat set status = 'MAINTENANCE' where id in ({first}, {second})")
    world.do(f"update seat set x = x + 1 where id = {first}; delete from seat where id = {second}")
    world.value("select checkpoint_halls(array[$1::bigint])", hall)
    world.do(f"update seat set status = 'VACANT' where id = {fifth}")
    world.do(
        "insert into seat (hall_id, seat_type_id, row, place, status, note) "
        f"select hall_id, seat_type_id, 9, 9, 'MAINTENANCE', 'New' from seat where id = {fourth}"
    )
    found = world.rows(
        "select row, place, since is not null, until is not null, until > since, note, username "
        "from maintenance_log where hall_id = $1 order by row, place, since",
        hall,
    )
    assert [tuple(row) for row in found] == [
        ("1", "1", True, True, True, "Spring and arm", "alice"),
        ("1", "1", True, False, None, None, None),
        ("1", "2", True, True, True, None, None),
        ("1", "3", True, False, None, "Long ago", None),
        ("2", "2", False, True, None, None, None),
        ("9", "9", True, False, None, "New", None),
    ]
