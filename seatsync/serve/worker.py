"""One worker of ``serve --workers``: ``python -m seatsync.serve.worker INDEX CONTROL LISTENING…``.

CONTROL and LISTENING are descriptors inherited from `seatsync.serve.supervisor`. The worker drains and ends when told
by a signal, and also when the supervisor is gone. Exit status 1 when it cannot start; the supervisor is told why.

Its settings come from the environment, where the supervisor has put what is decided, and from ``.env`` as it is now.
"""

import os
import sys
from socket import socket

import structlog
import trio

from seatsync.app import serve
from seatsync.config import load_settings
from seatsync.core.telemetry.logs import configure_logs
from seatsync.core.telemetry.metrics import Exposition, Metrics
from seatsync.serve.control import WorkerControl
from seatsync.serve.failures import EXPECTED, sentences
from seatsync.serve.interpreter import tune_garbage_collection
from seatsync.serve.process import STOP_SIGNALS, watch_signals


async def main(index: int, control_end: socket, listening: list[socket]) -> int:
    """Serve until a signal comes or the supervisor is gone; returns the exit status."""
    tune_garbage_collection()
    structlog.contextvars.bind_contextvars(worker=index)
    metrics = Metrics()
    control = WorkerControl(control_end, Exposition(metrics).text)
    stop = trio.Event()
    status = 0

    async def follow_supervisor() -> None:
        await control.run()
        stop.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, STOP_SIGNALS, stop, nursery.cancel_scope)
        nursery.start_soon(follow_supervisor)
        try:
            settings = load_settings()
            configure_logs(settings.log_level, settings.log_format)
            await serve(settings, listening, stop, metrics=metrics, metrics_text=control.metrics, started=control.ready)
        except* EXPECTED as group:
            status = 1
            await control.failed(" ".join(sentences(group)))
        nursery.cancel_scope.cancel()
    return status


def _inherited(descriptor: str) -> socket:
    """A socket handed down, which goes no further."""
    os.set_inheritable(int(descriptor), False)
    return socket(fileno=int(descriptor))


if __name__ == "__main__":
    _, place, *descriptors = sys.argv
    end, *sockets = map(_inherited, descriptors)
    sys.exit(trio.run(main, int(place), end, sockets))
