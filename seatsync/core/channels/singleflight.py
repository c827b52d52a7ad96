"""One query for everybody who asks the same at the same time."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

import trio
from attrs import define, field

T = TypeVar("T")


@define(eq=False)
class _Flight(Generic[T]):
    landed: trio.Event = field(factory=trio.Event)
    result: T | None = None
    error: Exception | None = None


@define(eq=False)
class SingleFlight(Generic[T]):
    """Runs each fetch in ``spawn``'s nursery, so that nobody's cancellation takes the answer from the others."""

    spawn: Callable[..., object]
    _flights: dict[Hashable, _Flight[T]] = field(factory=dict)

    async def fetch(self, key: Hashable, fetch: Callable[..., Awaitable[T]], *args: Any) -> tuple[T, bool]:
        """``await fetch(*args)``, or what one under way for the same key returns or raises.

        The second value says whether it had begun before this call: then its answer may be older than the question.
        """
        flight = self._flights.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._flights[key] = _Flight()
            self.spawn(self._fly, key, flight, fetch, args)
        await flight.landed.wait()
        if flight.error is not None:
            raise flight.error
        return flight.result, joined  # type: ignore[return-value]  # set, for there was no error

    async def fetch_anew(self, key: Hashable, fetch: Callable[..., Awaitable[T]], *args: Any) -> T:
        """As `fetch`, with an answer that is no older than the call."""
        answer, joined = await self.fetch(key, fetch, *args)
        if joined:
            answer, _ = await self.fetch(key, fetch, *args)
        return answer

    async def _fly(
        self, key: Hashable, flight: _Flight[T], fetch: Callable[..., Awaitable[T]], args: tuple[Any, ...]
    ) -> None:
        try:
            flight.result = await fetch(*args)
        except Exception as error:  # noqa: BLE001 - it is raised in every task that waits
            flight.error = error
        finally:
            del self._flights[key]
            flight.landed.set()
