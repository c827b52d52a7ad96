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
    """One query at a time, for all callers."""

    query: Callable[[], Awaitable[T]]
    spawn: Callable[..., object]
    _flight: _Answer[T] | None = None

    async def fetch(self, accepts: Callable[[T], bool] = lambda _: False) -> T:
        """The result of the query, no older than the call; that of one in flight counts if ``accepts`` takes it."""
        if self._flight is not None:
            value = await self._flight.get()
            if accepts(value):
                return value
        if self._flight is None:
            self._flight = _Answer()
            self.spawn(self._fly, self._flight)
        return await self._flight.get()

    async def _fly(self, answer: _Answer[T]) -> None:
        try:
            await answer.run(self.query)
        finally:
            self._flight = None


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
