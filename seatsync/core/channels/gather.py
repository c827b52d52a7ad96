"""Many questions of one kind, asked of the database together: while one query is under way the next gathers."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

import trio
from attrs import define, field

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Questions in one query, at most.
MAX_TOGETHER = 500


@define(eq=False)
class _Question(Generic[K, V]):
    key: K
    answered: trio.Event = field(factory=trio.Event)
    value: V | None = None
    error: Exception | None = None


@define(eq=False)
class Gathered(Generic[K, V]):
    """Asks ``fetch`` for the values of many keys at once, in ``spawn``'s nursery: nobody's cancellation hurts others.

    There is no timer: a question that comes alone is asked at once.
    """

    fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
    spawn: Callable[..., object]
    _questions: list[_Question[K, V]] = field(factory=list)
    _asking: bool = False

    async def ask(self, key: K) -> V | None:
        """The value of a key, ``None`` if it has none. Never older than the call; raises what ``fetch`` raises."""
        question: _Question[K, V] = _Question(key)
        self._questions.append(question)
        if not self._asking:
            self._asking = True
            self.spawn(self._run)
        await question.answered.wait()
        if question.error is not None:
            raise question.error
        return question.value

    async def _run(self) -> None:
        try:
            while self._questions:
                batch, self._questions = self._questions[:MAX_TOGETHER], self._questions[MAX_TOGETHER:]
                await self._ask_all(batch)
        finally:
            self._asking = False

    async def _ask_all(self, batch: Sequence[_Question[K, V]]) -> None:
        try:
            values = await self.fetch([question.key for question in batch])
        except Exception as error:  # noqa: BLE001 - it is raised in every task that waits
            for question in batch:
                question.error = error
        else:
            for question in batch:
                question.value = values.get(question.key)
        finally:
            for question in batch:
                question.answered.set()
