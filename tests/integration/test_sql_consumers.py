"""Other consumers of the history: each revision once, whole and in order, or an error."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic, sleep

import pytest
from psycopg import errors

from tests.support.readme import SQL, read_page
from tests.support.sql import PATIENCE_S, Session, World, at_once

AFTER = "select rev from events_after($1, (select epoch from hall where id = $1), $2, $3)"
TAKE = "select rev from take_events('test', $1, $2)"
START = "select rev from start_consumer('test', $1)"


def change(session: Session, *statuses: str) -> None:
    """A revision of every hall for each status."""
    for status in statuses:
        session.do("update seat set status = $1::text::seat_status", status)


def test_the_limit_counts_whole_revisions(world: World, hall: int) -> None:
    """However many events each has; none at the present."""
    change(world, "OCCUPIED", "VACANT", "OCCUPIED")
    assert world.values(AFTER, hall, 0, 2) == [1] * 6 + [2] * 6
    assert world.values(AFTER, hall, 3, 2) == [4] * 6
    assert world.values(AFTER, hall, 4, 2) == []
    taken = world.values("select seat_id from events_after($1, (select epoch from hall), 1, 1)", hall)
    assert taken == sorted(world.seats(hall))


def test_the_epoch_may_be_that_of_clients(world: World, hall: int) -> None:
    """For a program that keeps its cursor elsewhere: a failover that sets the revisions back is another epoch."""
    query = "select rev from events_after($1, (select epoch from hall_snapshot($1)), 0, 1)"
    assert world.values(query, hall) == [1] * 6


@pytest.mark.parametrize(
    ("epoch", "rev"),
    [
        ("'other'", "0"),
        ("null", "0"),
        ("epoch", "2"),
        ("epoch", "null"),
        ("epoch", "-1"),
        ("epoch || '-00000000'", "0"),
    ],
)
def test_another_epoch_raises(world: World, hall: int, epoch: str, rev: str) -> None:
    """So does a revision that is still to come."""
    with pytest.raises(errors.NoDataFound):
        world.do(f"select events_after(id, {epoch}, {rev}, 9) from hall")
    with pytest.raises(errors.NoDataFound, match="there is no hall 99"):
        world.do("select events_after(99, 'x', 0, 9)")
    with pytest.raises(errors.InvalidParameterValue):
        world.values(AFTER, hall, 0, 0)


def test_a_renewed_epoch_ends_a_cursor(world: World, hall: int) -> None:
    """Until the consumer begins with the hall as it is."""
    world.value(START, hall)
    world.do("update hall set epoch = default")
    change(world, "OCCUPIED")
    with pytest.raises(errors.NoDataFound, match="another epoch") as refused:
        world.values(TAKE, hall, 9)
    assert "start_consumer" in (refused.value.diag.message_hint or "")
    assert world.value(START, hall) == 3
    change(world, "VACANT")
    assert world.values(TAKE, hall, 9) == [4] * 6


def test_what_is_pruned_raises(world: World, hall: int) -> None:
    """Also where only a part of a revision is gone, and one of before is still there; the present does not."""
    world.value(START, hall)
    change(world, "OCCUPIED", "VACANT", "OCCUPIED")
    world.do(
        "create table seat_event_20010101 partition of seat_event for values from ('2001-01-01') to ('2001-01-02')"
    )
    world.do("update seat_event set at = '2001-01-01T12:00Z' where rev = 3 and seat_id = (select min(id) from seat)")
    assert world.values(AFTER, hall, 1, 9) == [2] * 6 + [3] * 6 + [4] * 6
    world.value("select checkpoint_halls(array[$1::bigint])", hall)  # as one was made the day after
    assert world.value("select keep_history(30)") == 1
    for rev in (0, 1, 2):
        with pytest.raises(errors.NoDataFound, match="does not go back"):
            world.values(AFTER, hall, rev, 1)
    with pytest.raises(errors.NoDataFound, match="does not go back"):
        world.values(TAKE, hall, 1)
    assert world.values(AFTER, hall, 4, 9) == []
    change(world, "VACANT")
    assert world.values(AFTER, hall, 4, 9) == [5] * 6


def test_a_removed_revision_raises(world: World, hall: int) -> None:
    """It is not passed over, whoever has removed it."""
    change(world, "OCCUPIED", "VACANT")
    world.do("delete from seat_event where rev = 2")
    assert world.values(AFTER, hall, 0, 1) == [1] * 6
    with pytest.raises(errors.NoDataFound, match="does not go back"):
        world.values(AFTER, hall, 0, 2)


def test_every_change_is_an_event(world: World, hall: int) -> None:
    """Those of the hall itself, of its seat types and of its layout, too: no revision is without."""
    for statement in (
        "update hall set name = 'Green'",
        "update hall set epoch = default",
        "update seat_type set name = 'love seat'",
        "update seat set place = place + 1",
        "update seat set hold_until = now() + interval '1 hour', status = 'RESERVED'",
        "update seat set hold_until = null",
        "update hall set rows = 9, places = 9",
        "delete from seat where place = 2",
        "truncate seat",
    ):
        world.value(START, hall)
        rev = world.rev(hall)
        world.do(statement)
        if "epoch" in statement:
            assert world.values("select count(*) from seat_event where rev = $1", rev + 1) == [1]
        else:
            assert set(world.values(TAKE, hall, 9)) == {*range(rev + 1, world.rev(hall) + 1)} != set(), statement


def test_a_cursor_goes_with_its_hall(world: World, hall: int) -> None:
    """And one that was never set is an error, not the beginning."""
    with pytest.raises(errors.NoDataFound, match="has no cursor"):
        world.values(TAKE, hall, 9)
    assert world.rows(START, 99) == []
    assert world.value(START, hall) == 1
    world.do("delete from hall")
    assert world.values("select name from consumer_cursor") == []
    with pytest.raises(errors.NoDataFound, match="has no cursor"):
        world.values(TAKE, hall, 9)


@pytest.mark.usefixtures("database_url")
def test_a_rollback_gives_the_events_again(world: World, hall: int) -> None:
    """A second consumer of the same name waits for the first, and gets what that has not taken for good."""
    world.value(START, hall)
    change(world, "OCCUPIED", "VACANT")
    other = world.session()
    world.do("begin")
    assert world.values(TAKE, hall, 1) == [2] * 6
    waiting = other.start(TAKE, hall, 1)
    world.wait_for_lock(other)
    world.do("rollback; begin")
    assert [row[0] for row in waiting.result()] == [2] * 6
    assert world.values(TAKE, hall, 9) == [3] * 6
    waiting = other.start(TAKE, hall, 9)
    world.wait_for_lock(other)
    world.do("commit")
    assert waiting.result() == []


@pytest.mark.usefixtures("database_url")
def test_what_is_not_committed_yet_comes_later(world: World, hall: int) -> None:
    """It holds up those behind it: no later revision can be read before it."""
    world.value(START, hall)
    other, third = world.session(), world.session()
    other.do("begin; update seat set status = 'OCCUPIED' where place = 1")
    waiting = third.start("update seat set status = 'OCCUPIED' where place = 2")
    world.wait_for_lock(third)
    assert world.values(TAKE, hall, 9) == []
    other.do("commit")
    waiting.result()
    assert world.values(TAKE, hall, 9) == [2] * 2 + [3] * 2


@contextmanager
def consumer(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """The program of the page, killed in the end."""
    (program,) = read_page(SQL).code("python", "Other consumers")
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"DATABASE_URL": world.dsn})
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def wait_until(session: Session, query: str) -> None:
    """Until it is true."""
    deadline = monotonic() + PATIENCE_S
    while not session.value(query):
        assert monotonic() < deadline, query
        sleep(0.01)


@pytest.mark.usefixtures("database_url")
def test_the_ten_line_consumer_takes_each_once(world: World, hall: int) -> None:
    """While others write, killed in the middle of its work again and again, beside a second one."""
    assert [hall, world.hall(), world.hall()] == [1, 2, 3]  # that of the page is the last
    begin, *_ = read_page(SQL).code("sql", "Other consumers")
    world.do(begin)
    world.do("begin; lock table sales.change in share mode")  # it has taken events, and cannot write yet
    blocked = (
        "from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        " and query like 'insert into sales.change%'"
    )

    def write(place: int) -> None:
        session = world.session()
        for status in ("OCCUPIED", "VACANT") * 60:
            session.do("update seat set status = $1::text::seat_status where place = $2", status, place)

    def kill() -> None:
        session = world.session()
        for _ in range(3):
            with consumer(world):
                wait_until(session, f"select count(*) > 0 {blocked}")
            session.do(f"select pg_terminate_backend(pid, 10000) {blocked}")

    at_once(partial(write, 1), partial(write, 2), kill)
    assert world.value("select count(*) from sales.change") == 0
    world.do("commit")
    with consumer(world), consumer(world):
        wait_until(world, "select count(*) > 200 from sales.change")
    with consumer(world) as last:
        wait_until(world, "select rev = (select rev from hall where id = 3) from consumer_cursor")
        change(world, "MAINTENANCE")  # it waits for a notification by now
        wait_until(world, "select rev = (select rev from hall where id = 3) from consumer_cursor")
        assert last.poll() is None
    events = "select rev, seat_id, new_status::text, at from seat_event where hall_id = 3 and rev > 1"
    assert world.rows(f"{events} except all table sales.change") == []
    assert world.value("select count(*) from sales.change") == len(world.rows(events)) == 480 + 6


@pytest.mark.usefixtures("database_url")
def test_a_role_needs_the_rights_of_the_page(world: World, hall: int) -> None:
    """No more than those, and nothing by the functions that it has not by itself."""
    role = f"seatsync_test_consumer_{os.getpid()}"
    world.do(f"create role {role}")
    try:
        world.do(f"grant select on hall, seat_event, hall_checkpoint, seat, seat_type, seat_count to {role}")
        world.do(f"grant select, insert, update on consumer_cursor to {role}; set role {role}")
        assert world.value(START, hall) == 1
        change(world.session(), "OCCUPIED")
        assert world.values(TAKE, hall, 9) == [2] * 6
        world.do(f"reset role; revoke all on seat_event from {role}; set role {role}")
        with pytest.raises(errors.InsufficientPrivilege):
            world.values(TAKE, hall, 9)
    finally:
        world.do(f"reset role; drop owned by {role}; drop role {role}")
