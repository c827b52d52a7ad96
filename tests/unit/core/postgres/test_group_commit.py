"""Group commit, on a database that can be slow, locked, away or wrong.

Time is the mock clock's: it passes only while every task waits.
"""

from collections import Counter

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.postgres.group_commit import ANSWERS, COMMIT_S, DEADLINE_S, FLOOR_S, MAX_ROWS, GroupCommit, Ticket
from seatsync.core.postgres.pool import DatabaseRejected
from seatsync.core.telemetry.metrics import Metrics
from tests.support.batches import DONE, LOCK_S, FakeDatabase, Seats, outcome, outcomes

Writer = GroupCommit[Seats]


@pytest.fixture
def database() -> FakeDatabase:
    """A database in order."""
    return FakeDatabase()


@pytest.fixture
def writer(database: FakeDatabase, nursery: trio.Nursery) -> Writer:
    """A running queue on it."""
    writer: Writer = GroupCommit(database.commit, database.free, Metrics())
    nursery.start_soon(writer.run)
    return writer


# Batches


async def test_idle_queue_commits_at_once(writer: Writer, database: FakeDatabase) -> None:
    """There is no timer: a lone change does not wait for company."""
    before = trio.current_time()
    assert await outcome(writer.submit(Seats(1))) == "done"
    assert trio.current_time() - before < 1
    assert database.done == [[1]]


async def test_what_gathers_during_a_commit_is_the_next_batch(writer: Writer, database: FakeDatabase) -> None:
    """While one batch commits, the next fills up, in order."""
    database.gate = trio.Event()
    tickets = [writer.submit(Seats(0))]
    await wait_all_tasks_blocked()
    tickets += [writer.submit(Seats(number)) for number in range(1, 6)]
    database.gate.set()
    assert await outcomes(tickets) == ["done"] * 6
    assert database.done == [[0], [1, 2, 3, 4, 5]]


async def test_next_batch_is_under_way_before_the_last_is_answered(writer: Writer, database: FakeDatabase) -> None:
    """PostgreSQL does not wait for the answers to go out; they go in order all the same."""
    answered: list[int] = []
    waiting = database.gate = trio.Event()
    for number in range(10 * ANSWERS):
        writer.submit(Seats(number)).on_done(lambda ticket: answered.append(ticket.change.number))
    await wait_all_tasks_blocked()
    last = writer.submit(Seats(10 * ANSWERS))
    database.gate = trio.Event()
    waiting.set()
    while len(database.tried) < 2:
        await trio.lowlevel.checkpoint()
    assert len(answered) < 5 * ANSWERS
    database.gate.set()
    assert await outcome(last) == "done"
    assert answered == list(range(10 * ANSWERS))


async def test_what_has_committed_is_answered_when_all_ends(database: FakeDatabase) -> None:
    """Also what was still to be answered."""
    writer: Writer = GroupCommit(database.commit, database.free, Metrics())
    waiting = database.gate = trio.Event()
    tickets = [writer.submit(Seats(number)) for number in range(10 * ANSWERS)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await wait_all_tasks_blocked()
        writer.submit(Seats(10 * ANSWERS))
        database.gate = trio.Event()
        waiting.set()
        while len(database.tried) < 2:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert [ticket.result() for ticket in tickets] == [DONE] * 10 * ANSWERS


async def test_batch_is_bounded_in_rows(writer: Writer, database: FakeDatabase) -> None:
    """A change that does not fit any more begins the next batch; nothing overtakes it."""
    rows = [400, 400, 400, 1, MAX_ROWS]
    tickets = [writer.submit(Seats(number, rows=size)) for number, size in enumerate(rows)]
    assert await outcomes(tickets) == ["done"] * 5
    assert database.done == [[0, 1], [2, 3], [4]]


async def test_same_claim_waits_for_the_next_batch_in_order(writer: Writer, database: FakeDatabase) -> None:
    """A seat, or a key, stands once in a batch; the changes of one seat keep their order, others pass."""
    seats = ["a", "a", "b", "a", "c"]
    tickets = [writer.submit(Seats(number, claims=frozenset(seat))) for number, seat in enumerate(seats)]
    assert await outcomes(tickets) == ["done"] * 5
    assert database.done == [[0, 2, 4], [1], [3]]


async def test_claims_of_what_waits_hold_as_well(writer: Writer, database: FakeDatabase) -> None:
    """A change of two seats that waits for one of them keeps its place for the other."""
    claims = ["a", "ab", "b"]
    tickets = [writer.submit(Seats(number, claims=frozenset(seats))) for number, seats in enumerate(claims)]
    assert await outcomes(tickets) == ["done"] * 3
    assert database.done == [[0], [1], [2]]


async def test_many_changes_of_one_seat_are_done_one_by_one(writer: Writer, database: FakeDatabase) -> None:
    """However many wait, each is done once and in order."""
    tickets = [writer.submit(Seats(number, claims=frozenset("a"))) for number in range(300)]
    assert await outcomes(tickets) == ["done"] * 300
    assert database.done == [[number] for number in range(300)]


# Outcomes


async def test_each_change_has_its_own_outcome(writer: Writer, database: FakeDatabase) -> None:
    """What SQL says of one is not what it says of another."""
    database.refused = {1: errors.SeatConflict()}
    tickets = [writer.submit(Seats(number)) for number in range(3)]
    assert await outcomes(tickets) == ["done", "SeatConflict", "done"]


async def test_outcome_is_told_once_and_kept(writer: Writer) -> None:
    """A callback hears of it once; whoever asks later gets the same."""
    told: list[Ticket[Seats]] = []
    ticket = writer.submit(Seats(1))
    ticket.on_done(told.append)
    await wait_all_tasks_blocked()
    assert told == [ticket]
    assert (ticket.result(), await ticket.wait()) == (DONE, DONE)


async def test_cancelled_waiter_does_not_take_the_change_back(writer: Writer, database: FakeDatabase) -> None:
    """It is done all the same, and nobody else's is disturbed."""
    with trio.move_on_after(0) as scope:
        await writer.submit(Seats(1)).wait()
    assert scope.cancelled_caught
    assert await outcome(writer.submit(Seats(2))) == "done"
    assert database.numbers == [1, 2]


async def test_rejection_that_is_not_about_data_is_not_taken_apart(writer: Writer, database: FakeDatabase) -> None:
    """A missing right fails every change; asking for each would only add to the trouble."""
    database.fault = DatabaseRejected("42501", "permission denied")
    with capture_logs() as logs:
        assert await outcomes([writer.submit(Seats(number)) for number in range(7)]) == ["InternalServerError"] * 7
    assert len(logs) == len(database.tried) == 1


@pytest.mark.parametrize("bad", [{0}, {3}, {6}, {1, 5}, set(range(7))])
async def test_bad_change_never_fails_its_neighbours(writer: Writer, database: FakeDatabase, bad: set[int]) -> None:
    """A batch that the database rejects is taken apart until only the change that it objects to fails."""
    database.bad = bad
    tickets = [writer.submit(Seats(number)) for number in range(7)]
    with capture_logs() as logs:
        found = await outcomes(tickets)
    assert found == ["InternalServerError" if number in bad else "done" for number in range(7)]
    assert sorted(database.numbers) == sorted(set(range(7)) - bad)
    assert [line["event"] for line in logs] == ["write_rejected"] * len(bad)


async def test_fault_of_ours_fails_its_batch_and_nothing_else(writer: Writer, database: FakeDatabase) -> None:
    """It is logged; the queue goes on."""
    database.fault = RuntimeError("a bug")
    with capture_logs() as logs:
        assert await outcome(writer.submit(Seats(1))) == "InternalServerError"
    assert [line["event"] for line in logs] == ["write_fault"]
    database.fault = None
    assert await outcome(writer.submit(Seats(2))) == "done"


async def test_unreachable_database_fails_the_batch(writer: Writer, database: FakeDatabase) -> None:
    """Nobody knows whether it happened: it is not tried again here."""
    database.fault = errors.ServiceUnavailable()
    tickets = [writer.submit(Seats(number)) for number in range(3)]
    assert await outcomes(tickets) == ["ServiceUnavailable"] * 3
    assert len(database.tried) == 1


# Deadlines


async def test_change_that_waited_too_long_is_not_done(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """Past its deadline it ends in `ServiceUnavailable` instead of surprising somebody."""
    database.takes_s = COMMIT_S - 0.1
    tickets = [writer.submit(Seats(number, claims=frozenset("a"))) for number in range(3)]
    assert await outcomes(tickets) == ["done", "ServiceUnavailable", "ServiceUnavailable"]
    assert [0] in database.done
    assert [2] not in database.tried


async def test_commit_is_bounded(writer: Writer, database: FakeDatabase, autojump_clock: MockClock) -> None:
    """A database that hangs is given up soon enough for what waits behind."""
    database.gate = trio.Event()
    before = trio.current_time()
    assert await outcome(writer.submit(Seats(1))) == "ServiceUnavailable"
    assert trio.current_time() - before == pytest.approx(COMMIT_S)


async def test_late_change_does_not_hurry_its_neighbours(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A batch gets time enough to commit, however near the deadline of one of its changes is."""
    database.takes_s = 0.8
    tickets = [writer.submit(Seats(number, claims=frozenset("a"))) for number in range(3)]
    await trio.sleep(1.5)
    tickets.append(writer.submit(Seats(3)))
    database.takes_s = FLOOR_S - 0.05
    assert await outcomes(tickets) == ["done"] * 4
    assert database.done[-1] == [2, 3]
    assert min(database.timeouts) >= FLOOR_S


# Locks


@pytest.mark.parametrize("error", ["55P03", "40P01", "40001"])
async def test_locked_group_does_not_hold_up_the_others(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock, error: str
) -> None:
    """Halls that nobody has locked are through after one wait for the lock; the locked one's change ends in time."""
    database.locked, database.lock_error = {"locked"}, error
    before = trio.current_time()
    locked = writer.submit(Seats(0, "locked"))
    free = [writer.submit(Seats(number, f"hall {number}")) for number in range(1, 30)]
    assert await outcomes(free) == ["done"] * 29
    assert trio.current_time() - before < 2 * LOCK_S
    assert await outcome(locked) == "ServiceUnavailable"
    assert trio.current_time() - before <= DEADLINE_S + FLOOR_S
    assert 0 not in database.numbers


async def test_lock_let_go_lets_the_change_through(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A locked hall's changes are tried again until their deadline, in order."""
    database.locked = {"hall"}
    tickets = [writer.submit(Seats(number, claims=frozenset("a"))) for number in range(3)]
    await trio.sleep(1)
    tickets.append(writer.submit(Seats(3, claims=frozenset("a"))))
    database.locked.clear()
    assert await outcomes(tickets) == ["done"] * 4
    assert database.done == [[0], [1], [2], [3]]


async def test_order_of_a_seat_survives_a_lock(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """Changes queued before, during and after the lock keep their order; afterwards halls share batches again."""
    database.gate = trio.Event()
    tickets = [writer.submit(Seats(0, "other"))]
    await wait_all_tasks_blocked()
    database.locked = {"hall"}
    tickets += [writer.submit(Seats(number, claims=frozenset("a"))) for number in (1, 2)]
    tickets += [writer.submit(Seats(number, claims=frozenset("b"))) for number in (3, 4)]
    database.gate.set()
    await trio.sleep(0.5)
    tickets.append(writer.submit(Seats(5, claims=frozenset("ab"))))
    database.locked.clear()
    assert await outcomes(tickets) == ["done"] * 6
    done = database.numbers
    assert done.index(1) < done.index(2) < done.index(5)
    assert done.index(3) < done.index(4) < done.index(5)
    both = [writer.submit(Seats(6, "hall")), writer.submit(Seats(7, "other"))]
    assert await outcomes(both) == ["done"] * 2
    assert database.done[-1] == [6, 7]


async def test_many_locked_groups_cost_one_wait(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """However many halls somebody has locked, the others wait once, and everyone's deadline holds."""
    database.locked = {f"hall {number}" for number in range(50)}
    before = trio.current_time()
    tickets = [writer.submit(Seats(number, f"hall {number}")) for number in range(50)]
    assert await outcome(writer.submit(Seats(99, "free"))) == "done"
    assert trio.current_time() - before < 2 * LOCK_S
    assert await outcomes(tickets) == ["ServiceUnavailable"] * 50
    assert trio.current_time() - before <= DEADLINE_S + FLOOR_S


async def test_lock_error_that_comes_at_once_is_no_busy_loop(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A serialisation failure takes no time and leaves no lock behind; asking again does take time."""
    database.fault, database.lock_wait_s = DatabaseRejected("40001", "could not serialize access"), 0.0
    assert await outcome(writer.submit(Seats(1))) == "ServiceUnavailable"
    assert len(database.tried) < 100


async def test_bad_change_of_a_locked_group_fails_alone(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A group that was put aside comes back however its changes end."""
    database.locked, database.bad = {"hall"}, {1}
    tickets = [writer.submit(Seats(number)) for number in range(3)]
    await trio.sleep(0.5)
    database.locked.clear()
    with capture_logs():
        assert await outcomes(tickets) == ["done", "InternalServerError", "done"]
    assert await outcome(writer.submit(Seats(3))) == "done"


@pytest.mark.parametrize("fault", [errors.ServiceUnavailable(), RuntimeError("a bug")])
async def test_who_holds_a_lock_may_stay_unknown(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock, fault: Exception
) -> None:
    """Where that cannot be asked, everything concerned is put aside and ends in time; the queue goes on."""
    database.locked, database.free_fault = {"hall"}, fault
    tickets = [writer.submit(Seats(0)), writer.submit(Seats(1, "free"))]
    with capture_logs():
        assert await outcomes(tickets) == ["ServiceUnavailable"] * 2
    database.locked, database.free_fault = set(), None
    assert await outcomes([writer.submit(Seats(2)), writer.submit(Seats(3, "free"))]) == ["done"] * 2


async def test_cancellation_leaves_what_is_queued_undone(database: FakeDatabase) -> None:
    """Stopping stops: nothing more is committed, and nothing hangs."""
    writer: Writer = GroupCommit(database.commit, database.free, Metrics())
    database.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for number in range(3):
            writer.submit(Seats(number, claims=frozenset("a")))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert database.done == []
    assert Counter(len(batch) for batch in database.tried) == {1: 1}


async def test_batches_are_measured(database: FakeDatabase, nursery: trio.Nursery) -> None:
    """How many seats each group commit wrote."""
    metrics = Metrics()
    writer: Writer = GroupCommit(database.commit, database.free, metrics)
    nursery.start_soon(writer.run)
    tickets = [writer.submit(Seats(1, rows=3)), writer.submit(Seats(2, rows=4))]
    await outcomes(tickets)
    assert metrics.write_batch_seats.total == 7
