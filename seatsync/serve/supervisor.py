"""``serve --workers N``: N server processes under one supervisor.

The supervisor opens the listening sockets and passes them on, so that no connection waiting to be accepted is lost when
a worker ends; it owns the embedded PostgreSQL, and restarts a worker that has died. SIGTERM and SIGINT end all workers,
each cleanly; a second one at once. SIGHUP replaces them one by one, each only when its successor is ready.
Workers share nothing but PostgreSQL, like servers on several machines.
"""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from socket import socket
from typing import TypeAlias

import structlog
import trio
from attrs import define, field

from seatsync.app import StartError, unless
from seatsync.config import Settings
from seatsync.core.timing import Timing
from seatsync.serve.worker_metrics import metrics_directory, metrics_file
from seatsync.serve.worker_process import WorkerProcess, launch

Launch: TypeAlias = Callable[[int, Sequence[socket], Path, Mapping[str, str]], Awaitable[WorkerProcess]]

logger = structlog.get_logger(__name__)


@define(eq=False)
class Slot:
    """One of the N positions, held by one worker at a time."""

    worker: WorkerProcess
    renewal: trio.Lock = field(factory=trio.Lock)
    """Held while a successor is started."""


class Supervisor:
    """Keeps a worker in each slot. It closes ``listening`` as soon as ``stop`` is set."""

    def __init__(
        self,
        settings: Settings,
        listening: Sequence[socket],
        stop: trio.Event,
        *,
        timing: Timing = Timing(),
        launch: Launch = launch,
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._stop = stop
        self._timing = timing
        self._launch = launch
        self._nursery: trio.Nursery
        self._metrics_directory: Path
        self._slots: list[Slot] = []

    async def run(self, started: Callable[[], Awaitable[None]]) -> None:
        """Start all workers, call ``started``, keep them running until ``stop`` is set, and end them.

        Raises `StartError` when one of the first workers cannot start; that, and a cancellation, kills all.
        """
        with metrics_directory() as self._metrics_directory:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._close_on_stop)
                first: dict[int, WorkerProcess | None] = {}

                async def start(index: int) -> None:
                    first[index] = await self._start(index)

                async with trio.open_nursery() as starting:
                    for index in range(self._settings.workers):
                        starting.start_soon(start, index)
                self._slots = [Slot(worker) for _, worker in sorted(first.items()) if worker is not None]
                if not self._stop.is_set():
                    await started()
                for slot in self._slots:
                    self._nursery.start_soon(self._keep, slot)

    async def replace_all(self) -> None:
        """Replace the workers one by one; one whose successor does not get ready in time stays."""
        for slot in self._slots:
            if self._stop.is_set():
                return
            async with slot.renewal:
                old = slot.worker
                await self._renew(slot)
            if slot.worker is not old:
                async with unless(self._stop):
                    await old.ended.wait()

    async def _close_on_stop(self) -> None:
        """Refuse new connections at once while the workers drain."""
        await self._stop.wait()
        for one in self._listening:
            one.close()

    async def _keep(self, slot: Slot) -> None:
        """Restart the worker of a slot whenever it has died, with backoff, until ``stop`` is set; then end it."""
        backoff_s, since = self._timing.first_restart_s, trio.current_time()
        while not self._stop.is_set():
            worker = slot.worker
            async with unless(self._stop):
                await worker.ended.wait()
                if worker is slot.worker:
                    if trio.current_time() - since > self._timing.settled_s:
                        backoff_s = self._timing.first_restart_s
                    await trio.sleep(backoff_s)
            async with slot.renewal:
                if slot.worker.ended.is_set():
                    await self._renew(slot)
                    backoff_s, since = min(2 * backoff_s, self._timing.last_restart_s), trio.current_time()
        async with slot.renewal:
            await self._end(slot.worker)

    async def _renew(self, slot: Slot) -> None:
        """Start a successor, which takes the slot when it is ready, and end the worker that had it."""
        old = slot.worker
        try:
            successor = await self._start(old.index)
        except (StartError, OSError) as error:
            logger.error("worker_not_started", worker=old.index, reason=str(error))  # noqa: TRY400 - a sentence
            return
        if successor is not None:
            slot.worker = successor
            self._nursery.start_soon(self._end, old)

    async def _start(self, index: int) -> WorkerProcess | None:
        """Start a worker that accepts connections; ``None`` if ``stop`` is set before it does.

        Raises `StartError` when it ends instead or is not ready within ``worker_ready_s``, and `OSError` when the
        system has no room for another process. Either way it has ended.
        """
        if self._stop.is_set():
            return None
        worker: WorkerProcess = await self._nursery.start(self._run_worker, index)
        with trio.move_on_after(self._timing.worker_ready_s) as deadline:
            async with unless(self._stop):
                await worker.reported.wait()
        if worker.ready and not worker.ended.is_set():
            logger.info("worker_ready", worker=index, pid=worker.process.pid)
            return worker
        if deadline.cancelled_caught:
            worker.send_signal(signal.SIGKILL)
        await self._end(worker)
        if self._stop.is_set():
            return None
        if deadline.cancelled_caught:
            raise StartError(f"Worker {index} was not ready within {self._timing.worker_ready_s:.0f} s.")
        status = worker.process.returncode
        raise StartError(worker.failure or f"Worker {index} ended with status {status} before it was ready.")

    async def _run_worker(self, index: int, task_status: trio.TaskStatus[WorkerProcess]) -> None:
        """Run one worker process from its launch to its end."""
        worker = await self._launch(index, self._listening, self._metrics_directory, self._environment())
        task_status.started(worker)
        await worker.run()
        if any(slot.worker is worker for slot in self._slots):
            metrics_file(self._metrics_directory, index).unlink(missing_ok=True)
            if not self._stop.is_set():
                logger.error("worker_died", worker=index, status=worker.process.returncode)

    async def _end(self, worker: WorkerProcess) -> None:
        """Let a worker drain and end; kill it if it does not."""
        worker.send_signal(signal.SIGTERM)
        with trio.move_on_after(self._settings.drain_timeout_s + self._timing.worker_end_s):
            await worker.ended.wait()
        worker.send_signal(signal.SIGKILL)
        await worker.ended.wait()

    def _environment(self) -> dict[str, str]:
        """The settings of a worker that are decided already: the database, and its share of the connections."""
        each = -(-self._settings.max_connections // self._settings.workers)
        return {
            "DATABASE_URL": self._settings.database_url or "",
            "JWT_SECRET": self._settings.jwt_secret or "",
            "MAX_CONNECTIONS": str(each),
            "WORKERS": str(self._settings.workers),
        }
