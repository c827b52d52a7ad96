"""Cancellation at a stop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def unless(stop: trio.Event) -> AsyncIterator[None]:
    """Cancel the block when ``stop`` is set; its errors come in a group, as a nursery's do."""

    async def wait() -> None:
        await stop.wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        yield
        nursery.cancel_scope.cancel()
