"""Coalesced queries: callers that want the same, or the like, share one query to the database.

Queries run in ``spawn``'s nursery, so that the cancellation of one caller takes the answer from no other; an error is
raised in each.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import trio
from attrs import define, field

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@define(eq=False)
class _Answer(Generic[T]):
    """The result of one query, or its error."""

    _ready: trio.Event = field(factory=trio.Event)
    _value: T | None = None
    _error: Exception | None = None

    async def get(self) -> T:
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # it was set, to `None` perhaps where that is a `T`

    async def run(self, query: Callable[[], Awaitable[T]]) -> None:
        try:
            self._value = await query()
        except Exception as error:  # noqa: BLE001 - it is raised in every task that waits
            self._error = error
        self._ready.set()


@define(eq=False)
class SingleFlight(Generic[T]):
    """One query at a time for each key."""

    spawn: Callable[..., object]
    _flights: dict[Hashable, _Answer[T]] = field(factory=dict)

    async def fetch(
        self, key: Hashable, query: Callable[[], Awaitable[T]], accepts: Callable[[T], bool] = lambda _: True
    ) -> T:
        """The result of ``query()``.

        That of a query in flight for the same key, which may be older than the call, counts if ``accepts`` takes it.
        """
        answer = self._flights.get(key)
        if answer is not None:
            value = await answer.get()
            if accepts(value):
                return value
            answer = self._flights.get(key)
        if answer is None:
            answer = self._flights[key] = _Answer()
            self.spawn(self._fly, key, query, answer)
        return await answer.get()

    async def _fly(self, key: Hashable, query: Callable[[], Awaitable[T]], answer: _Answer[T]) -> None:
        try:
            await answer.run(query)
        finally:
            del self._flights[key]


@define(eq=False)
class BatchLoader(Generic[K, T]):
    """One query at a time for many keys: while it is in flight, keys gather for the next. There is no timer."""

    query: Callable[[Sequence[K]], Awaitable[Mapping[K, T]]]
    spawn: Callable[..., object]
    max_keys: int = 500
    """Keys in one query, at most."""
    _batches: deque[tuple[list[K], _Answer[Mapping[K, T]]]] = field(factory=deque)
    """Those to come; keys are added to the last."""
    _loading: bool = False

    async def load(self, key: K) -> T | None:
        """The value of a key, no older than the call; ``None`` if it has none. Raises what ``query`` raises."""
        if not self._batches or len(self._batches[-1][0]) >= self.max_keys:
            self._batches.append(([], _Answer()))
        keys, answer = self._batches[-1]
        keys.append(key)
        if not self._loading:
            self._loading = True
            self.spawn(self._run)
        return (await answer.get()).get(key)

    async def _run(self) -> None:
        try:
            while self._batches:
                keys, answer = self._batches.popleft()
                await answer.run(partial(self.query, keys))
        finally:
            self._loading = False
