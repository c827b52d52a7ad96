"""One worker of ``serve --workers``: ``python -m seatsync.serve.worker INDEX METRICS_DIRECTORY CONTROL LISTENING…``.

CONTROL and LISTENING are inherited descriptors. The worker drains and ends at its first signal, or when the supervisor
is gone; a service manager and the supervisor may both signal it, so it ignores further signals. `DRAIN_DELAY` is for a
server that stops as a whole: a worker that is replaced (SIGHUP) leaves it out, as does one whose supervisor is gone,
since another that starts in its place needs the ports. Its exit status is 1 when it cannot start; it reports why over
CONTROL.
"""

import gc

if __name__ == "__main__":
    gc.disable()  # until all is imported

import shutil
import signal
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
from seatsync.serve.garbage import collect_seldom
from seatsync.serve.supervisor import READY
from seatsync.serve.worker_metrics import WorkerMetrics

logger = structlog.get_logger(__name__)


async def main(index: int, directory: Path, control_end: socket, listening: list[socket]) -> int:
    """Serve until a signal arrives or the supervisor is gone; return the exit status.

    The settings come from the environment, where the supervisor has put its own, and from ``.env`` as it is now.
    """
    structlog.contextvars.bind_contextvars(worker=index)
    metrics = Metrics()
    stop, replaced = trio.Event(), trio.Event()
    shared = WorkerMetrics(directory, index, metrics.text, replaced)
    status = 0
    control = trio.SocketStream(trio.socket.from_stdlib_socket(control_end))
    async with control, trio.open_nursery() as nursery:

        async def started() -> None:
            nursery.start_soon(shared.run)
            await _report(control, READY)

        await nursery.start(_watch_signals, replaced, stop)
        nursery.start_soon(_follow_supervisor, control, replaced, stop, directory)
        try:
            settings = load_settings()
            configure_logs(settings.log_level, settings.log_format)
            await serve(
                settings,
                listening,
                stop,
                started=started,
                skip_delay=replaced,
                metrics=metrics,
                metrics_text=shared.merged,
            )
        except* EXPECTED as group:
            status = 1
            await _report(control, " ".join(sentences(group)).encode())
        nursery.cancel_scope.cancel()
    return status


async def _watch_signals(replaced: trio.Event, stop: trio.Event, task_status: trio.TaskStatus[None]) -> None:
    """Stop at the first signal; at SIGHUP without the delay, for a successor accepts connections."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if not stop.is_set():
                logger.info("stopping", signal=signal.Signals(number).name, at_once=False)
            if number == signal.SIGHUP:
                replaced.set()
            stop.set()


async def _follow_supervisor(
    control: trio.SocketStream, replaced: trio.Event, stop: trio.Event, directory: Path
) -> None:
    """Stop when the supervisor is gone, and remove what it can no longer remove."""
    with suppress(trio.BrokenResourceError):
        await control.receive_some()
    replaced.set()
    stop.set()
    shutil.rmtree(directory, ignore_errors=True)


async def _report(control: trio.SocketStream, report: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # the supervisor is gone
        await control.send_all(report)


if __name__ == "__main__":
    collect_seldom()
    _, number, metrics_directory, *descriptors = sys.argv
    end, *sockets = (socket(fileno=int(descriptor)) for descriptor in descriptors)
    sys.exit(trio.run(main, int(number), Path(metrics_directory), end, sockets))
