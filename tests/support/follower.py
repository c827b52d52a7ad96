"""A loop over the Python client's changes, in the background of a test."""

import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from seatsync.client import Change, Changes, Timing
from tests.support.client import PATIENCE_S
from tests.support.server import RunningServer

#: The waits of clients in tests.
QUICK = Timing(heartbeat_s=0.1, dead_s=0.6, first_backoff_s=0.02, last_backoff_s=0.1, retry_s=0.05, handshake_s=1.0)


@define(eq=False)
class Follower:
    """The changes so far, as each was when its turn came."""

    changes: list[Change] = field(factory=list)
    error: Exception | None = None
    """What ended the loop."""
    _news: trio.Event = field(factory=trio.Event)

    async def run(self, changes: Changes) -> None:
        """Take changes until the iteration ends."""
        try:
            async for change in changes:
                self.changes.append(copy.deepcopy(change))
                self._notify()
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.error = error
            self._notify()

    async def until(self, holds: Callable[[Change], object]) -> Change:
        """The newest change, once it is so."""
        with trio.fail_after(PATIENCE_S):
            while not (self.changes and holds(self.changes[-1])):
                assert self.error is None, self.error
                await self._news.wait()
        return self.changes[-1]

    async def ended(self) -> Exception:
        """The error that ends the iteration."""
        with trio.fail_after(PATIENCE_S):
            while self.error is None:
                await self._news.wait()
        return self.error

    def _notify(self) -> None:
        self._news.set()
        self._news = trio.Event()


@asynccontextmanager
async def following(changes: Changes) -> AsyncIterator[Follower]:
    """Follow until the block ends."""
    follower = Follower()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run, changes)
        yield follower
        nursery.cancel_scope.cancel()


async def is_true(server: RunningServer, change: Change) -> None:
    """The client's hall equals the database's in full."""
    text = await server.value("select data from hall_snapshot($1)", change.state["id"])
    assert change.state == json.loads(text)
