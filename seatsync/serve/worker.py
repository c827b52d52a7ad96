"""One worker of ``serve --workers``: ``python -m seatsync.serve.worker INDEX METRICS_DIRECTORY CONTROL LISTENING…``.

CONTROL and LISTENING are inherited descriptors. The worker drains and ends at its first signal, or when the supervisor
is gone; a service manager and the supervisor may both signal it, so it ignores further signals. Its exit status is 1
when it cannot start; it reports why over CONTROL.
"""

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from socket import socket

import structlog
import trio

from seatsync.app import serve
from seatsync.config import load_settings
from seatsync.core.telemetry.logs import configure_logs
from seatsync.core.telemetry.metrics import Metrics
from seatsync.serve.failures import EXPECTED, sentences
from seatsync.serve.process import STOP_SIGNALS, tune_garbage_collection, watch_signals
from seatsync.serve.supervisor import READY
from seatsync.serve.worker_metrics import WorkerMetrics


async def main(index: int, directory: Path, control_end: socket, listening: list[socket]) -> int:
    """Serve until a signal arrives or the supervisor is gone; return the exit status.

    The settings come from the environment, where the supervisor has put its own, and from ``.env`` as it is now.
    """
    tune_garbage_collection()
    structlog.contextvars.bind_contextvars(worker=index)
    metrics = Metrics()
    stop = trio.Event()
    shared = WorkerMetrics(directory, index, metrics.text, stop)
    status = 0
    control = trio.SocketStream(trio.socket.from_stdlib_socket(control_end))
    async with control, trio.open_nursery() as nursery:

        async def started() -> None:
            nursery.start_soon(shared.run)
            await _report(control, READY)

        await nursery.start(watch_signals, STOP_SIGNALS, stop, None)
        nursery.start_soon(_follow_supervisor, control, stop, directory)
        try:
            settings = load_settings()
            configure_logs(settings.log_level, settings.log_format)
            await serve(settings, listening, stop, metrics=metrics, metrics_text=shared.merged, started=started)
        except* EXPECTED as group:
            status = 1
            await _report(control, " ".join(sentences(group)).encode())
        nursery.cancel_scope.cancel()
    return status


async def _follow_supervisor(control: trio.SocketStream, stop: trio.Event, directory: Path) -> None:
    """Stop when the supervisor is gone, and remove what it can no longer remove."""
    with suppress(trio.BrokenResourceError):
        await control.receive_some()
    stop.set()
    shutil.rmtree(directory, ignore_errors=True)


async def _report(control: trio.SocketStream, report: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # the supervisor is gone
        await control.send_all(report)


if __name__ == "__main__":
    _, number, metrics_directory, *descriptors = sys.argv
    end, *sockets = (socket(fileno=int(descriptor)) for descriptor in descriptors)
    sys.exit(trio.run(main, int(number), Path(metrics_directory), end, sockets))
