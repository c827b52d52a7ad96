"""Group commit, on a database that can be slow, locked, unreachable or rejecting. Time is the mock clock's."""

from collections import Counter

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.group_commit import ANSWERS
from seatsync.core.timing import Timing
from tests.support.batches import (
    BLOCKED,
    DONE,
    LOCK_S,
    FakeChange,
    FakeDatabase,
    Writer,
    outcome,
    outcomes,
    writer_on,
)

TIMING = Timing()

LATEST_S = TIMING.write_s + TIMING.least_commit_s
"""The longest time from a change's arrival to its outcome."""


@pytest.fixture
def database() -> FakeDatabase:
    """A database that works."""
    return FakeDatabase()


@pytest.fixture
def writer(database: FakeDatabase, nursery: trio.Nursery) -> Writer:
    """A running queue on it."""
    writer = writer_on(database)
    nursery.start_soon(writer.run)
    return writer


# Batches


async def test_idle_queue_commits_at_once(writer: Writer, database: FakeDatabase) -> None:
    """A lone change is committed at once: there is no timer."""
    before = trio.current_time()
    assert await outcome(writer.submit(FakeChange(1))) == "done"
    assert trio.current_time() - before < 1
    assert database.done == [[1]]


async def test_changes_that_arrive_during_a_commit_are_the_next_batch(writer: Writer, database: FakeDatabase) -> None:
    """Changes that arrive during a commit form the next batch, in order."""
    database.gate = trio.Event()
    tickets = [writer.submit(FakeChange(0))]
    await wait_all_tasks_blocked()
    tickets += [writer.submit(FakeChange(number)) for number in range(1, 6)]
    database.gate.set()
    assert await outcomes(tickets) == ["done"] * 6
    assert database.done == [[0], [1, 2, 3, 4, 5]]


async def test_next_batch_is_under_way_before_the_last_is_answered(writer: Writer, database: FakeDatabase) -> None:
    """The next batch begins before the outcomes of the last are delivered; outcomes stay in order."""
    answered: list[int] = []
    waiting = database.gate = trio.Event()
    for number in range(10 * ANSWERS):
        writer.submit(FakeChange(number)).on_done(lambda ticket: answered.append(ticket.change.number))
    await wait_all_tasks_blocked()
    last = writer.submit(FakeChange(10 * ANSWERS))
    database.gate = trio.Event()
    waiting.set()
    while len(database.tried) < 2:
        await trio.lowlevel.checkpoint()
    assert len(answered) < 5 * ANSWERS
    database.gate.set()
    assert await outcome(last) == "done"
    assert answered == list(range(10 * ANSWERS))


async def test_committed_changes_are_answered_at_the_end(database: FakeDatabase) -> None:
    """A cancellation delivers the outcomes of committed changes."""
    writer = writer_on(database)
    waiting = database.gate = trio.Event()
    tickets = [writer.submit(FakeChange(number)) for number in range(10 * ANSWERS)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await wait_all_tasks_blocked()
        writer.submit(FakeChange(10 * ANSWERS))
        database.gate = trio.Event()
        waiting.set()
        while len(database.tried) < 2:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert [ticket.result() for ticket in tickets] == [DONE] * 10 * ANSWERS


# Outcomes


async def test_each_change_has_its_own_outcome(writer: Writer, database: FakeDatabase) -> None:
    """A change's error does not affect its batch."""
    database.refused = {1: errors.SeatConflict()}
    tickets = [writer.submit(FakeChange(number)) for number in range(3)]
    assert await outcomes(tickets) == ["done", "SeatConflict", "done"]


async def test_outcome_is_delivered_once_and_kept(writer: Writer) -> None:
    """The callback is called once; later reads return the same outcome."""
    called: list[int] = []
    ticket = writer.submit(FakeChange(1))
    ticket.on_done(lambda ticket: called.append(ticket.change.number))
    await wait_all_tasks_blocked()
    assert called == [1]
    assert (ticket.result(), await ticket.wait()) == (DONE, DONE)


async def test_cancelled_waiter_does_not_take_the_change_back(writer: Writer, database: FakeDatabase) -> None:
    """The change of a cancelled waiter is committed, and so are the others."""
    with trio.move_on_after(0) as scope:
        await writer.submit(FakeChange(1)).wait()
    assert scope.cancelled_caught
    assert await outcome(writer.submit(FakeChange(2))) == "done"
    assert database.numbers == [1, 2]


async def test_rejection_that_is_not_about_data_is_not_bisected(writer: Writer, database: FakeDatabase) -> None:
    """A missing privilege fails every change; a bisection would only add load."""
    database.fault = DatabaseRejected("42501", "permission denied")
    with capture_logs() as logs:
        assert await outcomes([writer.submit(FakeChange(number)) for number in range(7)]) == ["InternalServerError"] * 7
    assert len(logs) == len(database.tried) == 1


@pytest.mark.parametrize("bad", [{0}, {3}, {6}, {1, 5}, set(range(7))])
async def test_bad_change_never_fails_its_neighbours(writer: Writer, database: FakeDatabase, bad: set[int]) -> None:
    """A rejected batch is bisected until only the changes with bad values fail."""
    database.bad = bad
    tickets = [writer.submit(FakeChange(number)) for number in range(7)]
    with capture_logs() as logs:
        found = await outcomes(tickets)
    assert found == ["InternalServerError" if number in bad else "done" for number in range(7)]
    assert sorted(database.numbers) == sorted(set(range(7)) - bad)
    assert [line["event"] for line in logs] == ["write_rejected"] * len(bad)


async def test_bug_fails_its_batch_alone(writer: Writer, database: FakeDatabase) -> None:
    """A bug is logged and fails its batch; the queue goes on."""
    database.fault = RuntimeError("a bug")
    with capture_logs() as logs:
        assert await outcome(writer.submit(FakeChange(1))) == "InternalServerError"
    assert [line["event"] for line in logs] == ["write_fault"]
    database.fault = None
    assert await outcome(writer.submit(FakeChange(2))) == "done"


async def test_unreachable_database_fails_the_batch(writer: Writer, database: FakeDatabase) -> None:
    """An unreachable database fails the batch without a retry, since the outcome is unknown."""
    database.fault = errors.ServiceUnavailable()
    tickets = [writer.submit(FakeChange(number)) for number in range(3)]
    assert await outcomes(tickets) == ["ServiceUnavailable"] * 3
    assert len(database.tried) == 1


# Deadlines


async def test_change_that_waited_too_long_is_not_done(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """Past its deadline it ends in `ServiceUnavailable` and is not committed later."""
    database.takes_s = TIMING.commit_s - 0.1
    tickets = [writer.submit(FakeChange(number, claims=frozenset("a"))) for number in range(3)]
    assert await outcomes(tickets) == ["done", "ServiceUnavailable", "ServiceUnavailable"]
    assert [0] in database.done
    assert [2] not in database.tried


async def test_commit_is_bounded(writer: Writer, database: FakeDatabase, autojump_clock: MockClock) -> None:
    """A commit that hangs is abandoned in time for the changes queued behind it."""
    database.gate = trio.Event()
    before = trio.current_time()
    assert await outcome(writer.submit(FakeChange(1))) == "ServiceUnavailable"
    assert trio.current_time() - before == pytest.approx(TIMING.commit_s)


async def test_late_change_does_not_hurry_its_neighbours(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A batch has time to commit, however near the deadline of one of its changes is."""
    database.takes_s = 0.8
    tickets = [writer.submit(FakeChange(number, claims=frozenset("a"))) for number in range(3)]
    await trio.sleep(1.5)
    tickets.append(writer.submit(FakeChange(3)))
    database.takes_s = TIMING.least_commit_s - 0.05
    assert await outcomes(tickets) == ["done"] * 4
    assert database.done[-1] == [2, 3]
    assert min(database.timeouts) >= TIMING.least_commit_s


# Locks


@pytest.mark.parametrize("error", ["55P03", "40P01", "40001"])
async def test_locked_group_does_not_hold_up_the_others(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock, error: str
) -> None:
    """Free groups are committed after one wait for the lock; the blocked change fails at its deadline."""
    database.locked, database.lock_error = {"locked"}, error
    before = trio.current_time()
    locked = writer.submit(FakeChange(0, "locked"))
    free = [writer.submit(FakeChange(number, f"group {number}")) for number in range(1, 30)]
    assert await outcomes(free) == ["done"] * 29
    assert trio.current_time() - before < 2 * LOCK_S
    with pytest.raises(errors.ServiceUnavailable, match=BLOCKED):
        await locked.wait()
    assert trio.current_time() - before <= LATEST_S
    assert 0 not in database.numbers


async def test_released_lock_unblocks_the_group(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A blocked group's changes are tried again until their deadline, in order."""
    database.locked = {"group"}
    tickets = [writer.submit(FakeChange(number, claims=frozenset("a"))) for number in range(3)]
    await trio.sleep(1)
    tickets.append(writer.submit(FakeChange(3, claims=frozenset("a"))))
    database.locked.clear()
    assert await outcomes(tickets) == ["done"] * 4
    assert database.done == [[0], [1], [2], [3]]


async def test_order_of_a_claim_survives_a_lock(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """Changes queued before, during and after the lock keep their order; afterwards groups share batches again."""
    database.gate = trio.Event()
    tickets = [writer.submit(FakeChange(0, "other"))]
    await wait_all_tasks_blocked()
    database.locked = {"group"}
    tickets += [writer.submit(FakeChange(number, claims=frozenset("a"))) for number in (1, 2)]
    tickets += [writer.submit(FakeChange(number, claims=frozenset("b"))) for number in (3, 4)]
    database.gate.set()
    await trio.sleep(0.5)
    tickets.append(writer.submit(FakeChange(5, claims=frozenset("ab"))))
    database.locked.clear()
    assert await outcomes(tickets) == ["done"] * 6
    done = database.numbers
    assert done.index(1) < done.index(2) < done.index(5)
    assert done.index(3) < done.index(4) < done.index(5)
    both = [writer.submit(FakeChange(6, "group")), writer.submit(FakeChange(7, "other"))]
    assert await outcomes(both) == ["done"] * 2
    assert database.done[-1] == [6, 7]


async def test_many_locked_groups_cost_one_wait(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """However many groups are locked, the others wait once, and every change ends by its deadline."""
    database.locked = {f"group {number}" for number in range(50)}
    before = trio.current_time()
    tickets = [writer.submit(FakeChange(number, f"group {number}")) for number in range(50)]
    assert await outcome(writer.submit(FakeChange(99, "free"))) == "done"
    assert trio.current_time() - before < 2 * LOCK_S
    assert await outcomes(tickets) == ["ServiceUnavailable"] * 50
    assert trio.current_time() - before <= LATEST_S


async def test_lock_error_that_comes_at_once_is_no_busy_loop(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A serialization failure takes no time and leaves no lock behind; the next attempt waits a little."""
    database.fault, database.lock_wait_s = DatabaseRejected("40001", "could not serialize access"), 0.0
    assert await outcome(writer.submit(FakeChange(1))) == "ServiceUnavailable"
    assert len(database.tried) < 100


async def test_bad_change_of_a_locked_group_fails_alone(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock
) -> None:
    """A blocked group is unblocked however its changes end."""
    database.locked, database.bad = {"group"}, {1}
    tickets = [writer.submit(FakeChange(number)) for number in range(3)]
    await trio.sleep(0.5)
    database.locked.clear()
    with capture_logs():
        assert await outcomes(tickets) == ["done", "InternalServerError", "done"]
    assert await outcome(writer.submit(FakeChange(3))) == "done"


@pytest.mark.parametrize("fault", [errors.ServiceUnavailable(), RuntimeError("a bug")])
async def test_query_for_free_groups_may_fail(
    writer: Writer, database: FakeDatabase, autojump_clock: MockClock, fault: Exception
) -> None:
    """If the query for free groups fails, all groups of the batch are blocked; the queue goes on."""
    database.locked, database.free_fault = {"group"}, fault
    tickets = [writer.submit(FakeChange(0)), writer.submit(FakeChange(1, "free"))]
    with capture_logs():
        assert await outcomes(tickets) == ["ServiceUnavailable"] * 2
    database.locked, database.free_fault = set(), None
    assert await outcomes([writer.submit(FakeChange(2)), writer.submit(FakeChange(3, "free"))]) == ["done"] * 2


async def test_cancellation_leaves_the_queue_uncommitted(database: FakeDatabase) -> None:
    """After a cancellation nothing more is committed, and no waiter hangs."""
    writer = writer_on(database)
    database.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for number in range(3):
            writer.submit(FakeChange(number, claims=frozenset("a")))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert database.done == []
    assert Counter(len(batch) for batch in database.tried) == {1: 1}


async def test_batches_are_measured(database: FakeDatabase, nursery: trio.Nursery) -> None:
    """The rows of each batch are recorded."""
    observed: list[int] = []
    writer = writer_on(database, observed.append)
    nursery.start_soon(writer.run)
    tickets = [writer.submit(FakeChange(1, rows=3)), writer.submit(FakeChange(2, rows=4))]
    await outcomes(tickets)
    assert observed == [7]
