"""Coalesced queries: their number, the age of results, and the independence of callers."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from seatsync.core.channels.coalesce import BatchLoader, SingleFlight


@define
class Query:
    """Returns its number when the gate opens; of many keys, the squares of the even ones."""

    calls: list[Sequence[int]] = field(factory=list)
    gate: trio.Event = field(factory=trio.Event)
    fault: Exception | None = None

    async def one(self) -> int:
        """Return the number of earlier calls."""
        self.calls.append([])
        number = len(self.calls)
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return number

    async def many(self, keys: Sequence[int]) -> Mapping[int, int]:
        """A value for some of the keys."""
        await self.one()
        self.calls[-1] = keys
        return {key: key * key for key in keys if key % 2 == 0}


@pytest.fixture
def query() -> Query:
    """A query that has not answered yet."""
    return Query()


@pytest.fixture
def flights(query: Query, nursery: trio.Nursery) -> SingleFlight[int]:
    """Flights in the test's nursery."""
    return SingleFlight(query.one, nursery.start_soon)


@pytest.fixture
def loader(query: Query, nursery: trio.Nursery) -> BatchLoader[int, int]:
    """A loader in the test's nursery, of at most three keys a query."""
    return BatchLoader(query.many, nursery.start_soon, max_keys=3)


async def gathered(query: Query, *calls: Any) -> list[Any]:
    """Results and errors of these calls, made one after another before the query answers."""
    results: list[Any] = [None] * len(calls)

    async def run(number: int, call: Any) -> None:
        try:
            results[number] = await call()
        except RuntimeError as error:
            results[number] = error

    async with trio.open_nursery() as nursery:
        for number, call in enumerate(calls):
            nursery.start_soon(run, number, call)
            await wait_all_tasks_blocked()
        query.gate.set()
    return results


async def test_callers_share_the_query_in_flight(flights: SingleFlight[int], query: Query) -> None:
    """A call during a query shares it; a later call runs its own."""
    assert await gathered(query, *[lambda: flights.fetch(lambda _: True)] * 3) == [1, 1, 1]
    assert await flights.fetch() == 2


async def test_result_that_is_not_accepted_is_fetched_anew(flights: SingleFlight[int], query: Query) -> None:
    """Callers that came while the first query was in flight share one that began after their call."""
    assert await gathered(query, *[flights.fetch] * 3) == [1, 2, 2]


async def test_keys_gather_while_a_query_is_in_flight(loader: BatchLoader[int, int], query: Query) -> None:
    """The first key is queried at once; later keys share the next queries, of a bounded size."""
    calls = [lambda key=key: loader.load(key) for key in (2, 3, 4, 6, 8)]
    assert await gathered(query, *calls) == [4, None, 16, 36, 64]
    assert query.calls == [[2], [3, 4, 6], [8]]


async def test_error_is_raised_in_every_caller(
    flights: SingleFlight[int], loader: BatchLoader[int, int], query: Query
) -> None:
    """Every caller gets the query's error; the nursery and later calls go on."""
    query.fault = RuntimeError("no")
    calls = [lambda: flights.fetch(lambda _: True), lambda: loader.load(2)] * 2
    assert await gathered(query, *calls) == [query.fault] * 4
    query.fault = None
    assert await flights.fetch(lambda _: True) == len(query.calls)
    assert await loader.load(4) == 16


async def test_cancelled_caller_takes_the_result_from_no_other(
    flights: SingleFlight[int], loader: BatchLoader[int, int], query: Query
) -> None:
    """A cancelled caller does not cancel the query, not even the one that began it."""
    with trio.move_on_after(0):
        await flights.fetch(lambda _: True)
    with trio.move_on_after(0):
        await loader.load(2)
    results = await gathered(query, lambda: flights.fetch(lambda _: True), lambda: loader.load(4))
    assert results == [1, 16]
