"""``serve --workers N``: N server processes under one supervisor.

The supervisor owns the listening sockets, so that no connection waiting to be accepted is lost when a worker ends. The
workers share nothing but these and PostgreSQL, like servers on several machines.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import socket, socketpair

import structlog
import trio
from attrs import define, field

from seatsync.config import Settings
from seatsync.core.stopping import unless
from seatsync.core.timing import Timing
from seatsync.errors import StartError
from seatsync.serve.worker_metrics import metrics_directory, metrics_file

READY = b"ready"
"""A worker's report that it accepts connections. One that cannot start reports the reason in a sentence instead."""

logger = structlog.get_logger(__name__)


async def launch(
    index: int, listening: Sequence[socket], metrics_directory: Path, settings: Settings
) -> tuple[trio.Process, trio.abc.ReceiveStream]:
    """Start a worker process; returns it and our end of its control socket. Raises `OSError`.

    The worker inherits copies of the sockets, which stay open when the supervisor closes its own, and the settings that
    are decided: the database, and its share of the connections. It drains when our end is closed. It has a session of
    its own: only the supervisor passes Ctrl-C on to it.
    """
    environment = {
        "DATABASE_URL": settings.database_url or "",
        "JWT_SECRET": ",".join(settings.jwt_secrets),
        "SECRETS_KEY": ",".join(settings.secrets_keys),
        "MAX_CONNECTIONS": f"{-(-settings.max_connections // settings.workers)}",
        "WORKERS": f"{settings.workers}",
    }
    # A secret in a file is read by now, and may be set only once.
    others = {name: text for name, text in os.environ.items() if name.removesuffix("_FILE") not in environment}
    ours, theirs = socketpair()
    with ExitStack() as inherited, ExitStack() as on_failure:
        on_failure.enter_context(ours)
        sockets = [inherited.enter_context(one) for one in (theirs, *(one.dup() for one in listening))]
        descriptors = [one.fileno() for one in sockets]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "seatsync.serve.worker", f"{index}", f"{metrics_directory}", *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            env=others | environment,
            start_new_session=True,
        )
        on_failure.pop_all()
    return process, trio.SocketStream(trio.socket.from_stdlib_socket(ours))


@define(eq=False)
class Slot:
    """One of the N positions, held by one worker at a time: a process that accepts connections, or has done so."""

    index: int
    worker: trio.Process
    renewal: trio.Lock = field(factory=trio.Lock)
    """Held while a successor is started."""


@define(eq=False)
class Supervisor:
    """Keeps a worker in each slot. It closes ``listening`` as soon as ``stop`` is set."""

    _settings: Settings
    _listening: Sequence[socket]
    _stop: trio.Event
    _timing: Timing = Timing()
    _launch: Callable[..., Awaitable[tuple[trio.Process, trio.abc.ReceiveStream]]] = launch
    _nursery: trio.Nursery = field(init=False)
    _metrics_directory: Path = field(init=False)
    _slots: list[Slot] = field(factory=list, init=False)

    async def run(self, started: Callable[[], Awaitable[None]]) -> None:
        """Start all workers, call ``started``, keep them running until ``stop`` is set, and end them.

        Raises `StartError` when one of the first workers cannot start; that, and a cancellation, kills all.
        """
        with metrics_directory() as self._metrics_directory:
            async with trio.open_nursery() as self._nursery:
                async with unless(self._stop), trio.open_nursery() as starting:
                    for index in range(self._settings.workers):
                        starting.start_soon(self._fill, index)
                if not self._stop.is_set():
                    await started()
                for slot in self._slots:
                    self._nursery.start_soon(self._keep, slot)
                await self._stop.wait()
                for one in self._listening:
                    one.close()

    async def _fill(self, index: int) -> None:
        self._slots.append(Slot(index, await self._start(index)))

    async def replace_all(self) -> None:
        """Replace the workers one by one; one whose successor does not get ready in time stays."""
        async with unless(self._stop):
            for slot in sorted(self._slots, key=lambda slot: slot.index):
                old = slot.worker
                async with slot.renewal:
                    await self._renew(slot)
                if slot.worker is not old:
                    await old.wait()

    async def _keep(self, slot: Slot) -> None:
        """Restart the worker of a slot whenever it has died, with backoff, until ``stop`` is set; then end it."""
        async with unless(self._stop):
            backoff_s, since = self._timing.first_restart_s, trio.current_time()
            while True:
                worker = slot.worker
                await worker.wait()
                if worker is slot.worker:
                    if trio.current_time() - since > self._timing.settled_s:
                        backoff_s = self._timing.first_restart_s
                    await trio.sleep(backoff_s)
                async with slot.renewal:
                    if slot.worker.returncode is not None:
                        await self._renew(slot)
                        backoff_s, since = min(2 * backoff_s, self._timing.last_restart_s), trio.current_time()
        async with slot.renewal:
            await self._end(slot.worker, signal.SIGTERM)

    async def _renew(self, slot: Slot) -> None:
        """Start a successor, which takes the slot when it is ready, and end the worker that had it."""
        try:
            successor = await self._start(slot.index)
        except (StartError, OSError) as error:
            logger.error("worker_not_started", worker=slot.index, reason=str(error))  # noqa: TRY400 - a sentence
            return
        self._nursery.start_soon(self._end, slot.worker, signal.SIGHUP)
        slot.worker = successor

    async def _start(self, index: int) -> trio.Process:
        """Start a worker and wait until it accepts connections; a cancellation kills it.

        Raises `StartError` when it ends instead or is not ready within ``worker_ready_s``, and `OSError` when the
        system has no room for another process. Either way it has ended.
        """
        with trio.move_on_after(self._timing.worker_ready_s):
            worker: trio.Process = await self._nursery.start(self._run_worker, index)
            logger.info("worker_ready", worker=index, pid=worker.pid)
            return worker
        raise StartError(f"Worker {index} was not ready within {self._timing.worker_ready_s:.0f} s.")

    async def _run_worker(self, index: int, task_status: trio.TaskStatus[trio.Process]) -> None:
        """Run one worker process from its launch to its end; it has started once it is ready."""
        worker, control = await self._launch(index, self._listening, self._metrics_directory, self._settings)
        report = b""
        try:
            async with control:
                async for data in control:
                    report += data
                    if report == READY:
                        task_status.started(worker)
                await worker.wait()
        finally:
            worker.send_signal(signal.SIGKILL)
            with trio.move_on_after(self._timing.worker_end_s, shield=True):
                await worker.wait()
        if not report.startswith(READY):
            reason = f"Worker {index} ended with status {worker.returncode} before it was ready."
            raise StartError(report.decode() or reason)
        if any(slot.worker is worker for slot in self._slots):
            metrics_file(self._metrics_directory, index).unlink(missing_ok=True)
            if not self._stop.is_set():
                logger.error("worker_died", worker=index, status=worker.returncode)

    async def _end(self, worker: trio.Process, number: signal.Signals) -> None:
        """Let a worker drain and end: at SIGHUP without `DRAIN_DELAY`. Kill it if it does not."""
        worker.send_signal(number)
        delay_s = 0 if number == signal.SIGHUP else self._settings.drain_delay_s
        with trio.move_on_after(delay_s + self._settings.drain_timeout_s + self._timing.worker_end_s):
            await worker.wait()
        worker.send_signal(signal.SIGKILL)
