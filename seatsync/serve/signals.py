"""The signals that end a server."""

import signal
from collections.abc import Iterable

import structlog
import trio

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

logger = structlog.get_logger(__name__)


async def watch_signals(
    numbers: Iterable[signal.Signals],
    stop: trio.Event,
    scope: trio.CancelScope | None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Set ``stop`` at the first of these signals and cancel ``scope`` at the second; without one ignore the second."""
    with trio.open_signal_receiver(*numbers) as signals:
        task_status.started()
        async for number in signals:
            if scope is not None or not stop.is_set():
                logger.info("stopping", signal=signal.Signals(number).name, at_once=stop.is_set())
            if scope is not None and stop.is_set():
                scope.cancel()
            stop.set()
