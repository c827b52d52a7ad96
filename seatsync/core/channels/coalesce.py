"""Coalesced queries: callers that want the same, or the like, share one query to the database.

`SingleFlight` runs one query for all who want the same; `BatchLoader` looks up many keys in one query. Queries run in
``spawn``'s nursery, so that the cancellation of one caller takes the answer from no other; an error is raised in each.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

import trio
from attrs import define, field

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@define(eq=False)
class _Answer(Generic[T]):
    """The result of a query in flight, or its error."""

    ready: trio.Event = field(factory=trio.Event)
    value: T | None = None
    error: Exception | None = None

    async def get(self) -> T:
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # it was set, to `None` perhaps where that is a `T`


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
            answer.value = await query()
        except Exception as error:  # noqa: BLE001 - it is raised in every task that waits
            answer.error = error
        finally:
            del self._flights[key]
            answer.ready.set()


@define(eq=False)
class BatchLoader(Generic[K, T]):
    """One query at a time for all keys: while it is in flight, keys gather for the next. There is no timer."""

    query: Callable[[Sequence[K]], Awaitable[Mapping[K, T]]]
    spawn: Callable[..., object]
    max_keys: int = 500
    """Keys in one query, at most."""
    _waiting: list[tuple[K, _Answer[T | None]]] = field(factory=list)
    _loading: bool = False

    async def load(self, key: K) -> T | None:
        """The value of a key, no older than the call; ``None`` if it has none. Raises what ``query`` raises."""
        answer: _Answer[T | None] = _Answer()
        self._waiting.append((key, answer))
        if not self._loading:
            self._loading = True
            self.spawn(self._run)
        return await answer.get()

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self.max_keys], self._waiting[self.max_keys :]
                await self._load_all(batch)
        finally:
            self._loading = False

    async def _load_all(self, batch: Sequence[tuple[K, _Answer[T | None]]]) -> None:
        try:
            values = await self.query([key for key, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is raised in every task that waits
            for _, answer in batch:
                answer.error = error
        else:
            for key, answer in batch:
                answer.value = values.get(key)
        finally:
            for _, answer in batch:
                answer.ready.set()
