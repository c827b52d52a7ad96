"""One query for everybody who asks the same at the same time."""

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from seatsync.core.channels.singleflight import SingleFlight


@define
class Query:
    """A fetch that answers when told, with how often it was asked."""

    asked: int = 0
    gate: trio.Event = field(factory=trio.Event)
    fault: Exception | None = None

    async def __call__(self, *args: int) -> tuple[int, ...]:
        """The number of this call and its arguments."""
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return (number, *args)


@pytest.fixture
def flights(nursery: trio.Nursery) -> SingleFlight[tuple[int, ...]]:
    """Flights in the test's nursery."""
    return SingleFlight(nursery.start_soon)


async def test_all_who_ask_meanwhile_share_one_answer(flights: SingleFlight[tuple[int, ...]]) -> None:
    """Only the first has begun it: the others learn that theirs may be older than their question."""
    query, answers = Query(), []

    async def ask() -> None:
        answers.append(await flights.fetch("key", query, 7))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        query.gate.set()
    assert sorted(answers) == [((1, 7), False), ((1, 7), True), ((1, 7), True)]
    assert await flights.fetch("key", query, 8) == ((2, 8), False)


async def test_an_answer_asked_anew_is_no_older_than_the_question(flights: SingleFlight[tuple[int, ...]]) -> None:
    """Those who came while the first flew share one that began after they had asked."""
    query, answers = Query(), []

    async def ask() -> None:
        answers.append(await flights.fetch_anew("key", query))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        query.gate.set()
    assert sorted(answers) == [(1,), (2,), (2,)]


async def test_different_keys_do_not_share(flights: SingleFlight[tuple[int, ...]]) -> None:
    """Each key has a flight of its own."""
    query = Query()
    query.gate.set()
    assert [await flights.fetch(key, query) for key in "ab"] == [((1,), False), ((2,), False)]


async def test_cancelled_asker_takes_the_answer_from_nobody(flights: SingleFlight[tuple[int, ...]]) -> None:
    """Not even the one who asked first."""
    query, answers = Query(), []

    async def ask() -> None:
        answers.append(await flights.fetch("key", query))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as first:
                first.start_soon(flights.fetch, "key", query)
                await wait_all_tasks_blocked()
                nursery.start_soon(ask)
                await wait_all_tasks_blocked()
                scope.cancel()
        query.gate.set()
    assert answers == [((1,), True)]


async def test_error_reaches_everybody_and_the_next_asks_anew(flights: SingleFlight[tuple[int, ...]]) -> None:
    """A failed flight is not remembered, and does not end the nursery it ran in."""
    query, raised = Query(fault=RuntimeError("no")), []

    async def ask() -> None:
        try:
            await flights.fetch("key", query)
        except RuntimeError as error:
            raised.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        query.gate.set()
    assert len(raised) == 3
    query.fault = None
    assert await flights.fetch("key", query) == ((2,), False)
