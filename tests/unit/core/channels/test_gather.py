"""Questions gathered into one query: each has its own answer, and nobody waits for a timer."""

from collections.abc import Mapping, Sequence

import pytest
import trio
import trio.testing

from seatsync import errors
from seatsync.core.channels.gather import MAX_TOGETHER, Gathered


class Source:
    """Answers a key with its square, odd ones with nothing, when told to."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []
        self.error: Exception | None = None
        self.go = trio.Event()

    async def fetch(self, keys: Sequence[int]) -> Mapping[int, int]:
        """One query."""
        self.asked.append(list(keys))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return {key: key * key for key in keys if key % 2 == 0}


async def test_what_comes_meanwhile_is_asked_together() -> None:
    """The first question is asked at once; those that come while it is under way share the next query."""
    source = Source()
    answers: dict[int, int | None] = {}
    async with trio.open_nursery() as nursery:
        gathered = Gathered(source.fetch, nursery.start_soon)

        async def ask(key: int) -> None:
            answers[key] = await gathered.ask(key)

        for key in (2, 3, 4):
            nursery.start_soon(ask, key)
            await trio.testing.wait_all_tasks_blocked()
        assert source.asked == [[2]]
        source.go.set()
    assert source.asked == [[2], [3, 4]]
    assert answers == {2: 4, 3: None, 4: 16}


async def test_error_is_raised_in_every_question_of_the_query() -> None:
    """The query failed for all who asked; the next question is asked anew."""
    source = Source()
    source.go.set()
    async with trio.open_nursery() as nursery:
        gathered = Gathered(source.fetch, nursery.start_soon)
        source.error = errors.ServiceUnavailable()
        with pytest.raises(errors.ServiceUnavailable):
            await gathered.ask(2)
        source.error = None
        assert await gathered.ask(2) == 4


async def test_cancelled_question_takes_nothing_from_others() -> None:
    """Who asked together with somebody who went away is answered all the same."""
    source = Source()
    async with trio.open_nursery() as nursery:
        gathered = Gathered(source.fetch, nursery.start_soon)
        with trio.move_on_after(0):
            await gathered.ask(2)
        source.go.set()
        assert await gathered.ask(4) == 16


async def test_a_query_has_a_limited_size() -> None:
    """A storm of questions becomes several queries."""
    source = Source()
    async with trio.open_nursery() as nursery:
        gathered = Gathered(source.fetch, nursery.start_soon)
        for key in range(MAX_TOGETHER + 2):
            nursery.start_soon(gathered.ask, key)
        await trio.testing.wait_all_tasks_blocked()
        source.go.set()
    assert max(map(len, source.asked)) <= MAX_TOGETHER
    assert sum(map(len, source.asked)) == MAX_TOGETHER + 2
