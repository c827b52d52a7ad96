"""The queue of group commit: the composition of batches, and the order that locks must not change."""

from collections.abc import Sequence

import pytest

from seatsync.core.postgres.write_queue import MAX_ROWS, Ticket, WriteQueue
from tests.support.batches import FakeChange

Queue = WriteQueue[FakeChange, bytes]


def queue_of(changes: Sequence[FakeChange]) -> Queue:
    """A queue of these changes; each one's deadline is its number."""
    queue: Queue = WriteQueue()
    for change in changes:
        queue.put(ticket(change))
    return queue


def ticket(change: FakeChange) -> Ticket[FakeChange, bytes]:
    """A ticket for the change."""
    return Ticket(change, float(change.number))


def numbers(tickets: Sequence[Ticket[FakeChange, bytes]]) -> list[int]:
    """The tickets' changes."""
    return [ticket.change.number for ticket in tickets]


def batches(queue: Queue) -> list[list[int]]:
    """All batches, until the queue is empty."""
    taken = []
    while queue:
        taken.append(numbers(queue.take()))
    return taken


def test_batch_is_bounded_in_rows() -> None:
    """A change that does not fit any more begins the next batch; no later change overtakes it."""
    rows = [400, 400, 400, 1, MAX_ROWS]
    queue = queue_of([FakeChange(number, rows=size) for number, size in enumerate(rows)])
    assert batches(queue) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (["a", "a", "b", "a", "c"], [[0, 2, 4], [1], [3]]),
        (["a", "ab", "b"], [[0], [1], [2]]),
        (["a"] * 300, [[number] for number in range(300)]),
    ],
)
def test_claim_is_once_in_a_batch_and_in_order(claims: list[str], expected: list[list[int]]) -> None:
    """A change waits for the changes before it with one of its claims, also for those that wait themselves."""
    queue = queue_of([FakeChange(number, claims=frozenset(claim)) for number, claim in enumerate(claims)])
    assert batches(queue) == expected


def test_blocked_group_waits_apart_in_order() -> None:
    """Its part of the batch, what was queued, and what arrives later; the rest of the batch is first in the queue."""
    claims = [("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    queue = queue_of([FakeChange(number, claim[0], frozenset([claim])) for number, claim in enumerate(claims)])
    batch = queue.take()
    assert numbers(batch) == [0, 1, 4, 5]
    queue.put_back(batch, {"b"})
    queue.put(ticket(FakeChange(6, "a")))
    assert numbers(list(queue.blocked)) == [0, 4, 2, 6]
    assert batches(queue) == [[1, 5], [3]]
    queue.unblock({"a", "elsewhere"})
    assert batches(queue) == [[0, 4, 6], [2]]
    assert not list(queue.blocked)


@pytest.mark.parametrize("free", [{"group"}, set()])
def test_second_half_of_a_batch_is_not_overtaken(free: set[str]) -> None:
    """Whether its group is found free or not, after the first half has blocked it with all that was queued."""
    queue = queue_of([FakeChange(0), FakeChange(1, claims=frozenset("a")), FakeChange(2, claims=frozenset("a"))])
    first, second = queue.take()
    queue.put_back([first], set())
    queue.put_back([second], free)
    queue.unblock({"group"})
    assert batches(queue) == [[1, 0], [2]]


def test_blocked_tickets_expire() -> None:
    """Those whose deadline has come are removed; a group without tickets is no longer blocked."""
    queue = queue_of([FakeChange(1, "a"), FakeChange(2, "b"), FakeChange(3, "b")])
    queue.put_back(queue.take(), set())
    assert sorted(numbers(queue.expire(2.0))) == [1, 2]
    assert numbers(list(queue.blocked)) == [3]
    queue.put(ticket(FakeChange(4, "a")))
    assert batches(queue) == [[4]]
