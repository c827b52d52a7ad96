"""``serve --workers N``: N server processes under one supervisor.

The supervisor opens the listening sockets and hands them down, so that no connection waiting to be accepted is lost
when a worker ends; it owns the embedded PostgreSQL, and starts a worker that died again. SIGTERM and SIGINT end all
workers, each cleanly; a second one at once. SIGHUP replaces them one by one, each only when its successor is ready.
Workers share nothing but PostgreSQL, like servers on several machines.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from itertools import count
from socket import socket

import structlog
import trio
from attrs import define, field

from seatsync.app import StartError
from seatsync.config import Settings
from seatsync.serve import control

#: Before a dead worker is started again, in seconds: the first time, and at most.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0

#: A worker that lived this long died of something new: the waits begin anew.
SETTLED_S = 30.0

#: How long a new worker may take until it accepts connections, in seconds.
READY_S = 30.0

#: How long a worker may take to end, beyond its own drain, before it is killed, in seconds.
END_S = 5.0

logger = structlog.get_logger(__name__)


@define(eq=False)
class Worker:
    """One process and the channel to it."""

    index: int
    process: trio.Process
    channel: control.Channel
    ready: trio.Event = field(factory=trio.Event)
    gone: trio.Event = field(factory=trio.Event)
    failure: str = ""
    """Why it cannot start, in its own words."""

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if not self.gone.is_set():
            self.process.send_signal(number)


@define(eq=False)
class Place:
    """Where one worker at a time stands. Only the task that keeps the place fills it."""

    worker: Worker
    asked: trio.Event = field(factory=trio.Event)
    """A replacement is wanted."""
    answered: trio.Event = field(factory=trio.Event)
    """The replacement that was wanted last has been tried."""


@define(eq=False)
class Scrape:
    """The metrics of all workers, while they come in."""

    missing: set[Worker]
    reports: dict[int, bytes] = field(factory=dict)
    complete: trio.Event = field(factory=trio.Event)

    def answered(self, worker: Worker, report: bytes) -> None:
        """A worker has said its own."""
        if worker in self.missing:
            self.reports[worker.index] = report
            self.leave_out(worker)

    def leave_out(self, worker: Worker) -> None:
        """A worker has answered, or never will."""
        self.missing.discard(worker)
        if not self.missing:
            self.complete.set()


class Supervisor:
    """The workers, by index. ``listening`` is the supervisor's to close: it does so as soon as it is told to stop."""

    def __init__(self, settings: Settings, listening: Sequence[socket], stop: trio.Event) -> None:
        self._settings = settings
        self._listening = listening
        self._stop = stop
        self._nursery: trio.Nursery
        self._workers: set[Worker] = set()
        self._places: dict[int, Place] = {}
        self._scrapes: dict[int, Scrape] = {}
        self._numbers = count()

    async def run(self, started: Callable[[], Awaitable[None]]) -> None:
        """Start all workers, call ``started``, keep them running until ``stop`` is set, and end them.

        Raises `StartError` when one of the first workers cannot start; that, and a cancellation, kills all.
        """
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._close_on_stop)
                async with trio.open_nursery() as starting:
                    for index in range(self._settings.workers):
                        starting.start_soon(self._fill, index)
                if not self._stop.is_set():
                    await started()
                for index in self._places:
                    self._nursery.start_soon(self._keep, index)
        finally:
            for worker in self._workers:
                worker.tell(signal.SIGKILL)

    async def replace_all(self) -> None:
        """Replace the workers one by one; one whose successor does not get ready in time stays."""
        for _, place in sorted(self._places.items()):
            old = place.worker
            place.answered = trio.Event()
            place.asked.set()
            await _first_of(place.answered, self._stop)
            if place.worker is not old:
                await _first_of(old.gone, self._stop)

    async def _close_on_stop(self) -> None:
        """Clients that come while the workers drain are refused at once: nobody would accept them."""
        await self._stop.wait()
        for one in self._listening:
            one.close()

    async def _fill(self, index: int) -> None:
        worker = await self._start(index)
        if worker is not None:
            self._places[index] = Place(worker)

    async def _keep(self, index: int) -> None:
        """Keep a worker running in one place until everything ends, then end it."""
        place = self._places[index]
        since, wait_s = trio.current_time(), FIRST_WAIT_S
        while not self._stop.is_set():
            if place.worker.gone.is_set():
                with trio.move_on_after(wait_s):
                    await self._stop.wait()
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
                await self._renew(place)
                since = trio.current_time()
            elif place.asked.is_set():
                await self._renew(place)
            else:
                await _first_of(place.worker.gone, place.asked, self._stop)
                if trio.current_time() - since > SETTLED_S:
                    wait_s = FIRST_WAIT_S
        await self._end(place.worker)

    async def _renew(self, place: Place) -> None:
        """Start a successor, which takes the place when it is ready, and end the one that was there."""
        place.asked = trio.Event()
        try:
            successor = await self._start(place.worker.index)
        except (StartError, OSError) as error:
            logger.error("worker_not_started", worker=place.worker.index, reason=str(error))  # noqa: TRY400 - a sentence
        else:
            if successor is not None:
                old, place.worker = place.worker, successor
                self._nursery.start_soon(self._end, old)
        if not place.asked.is_set():
            place.answered.set()

    async def _start(self, index: int) -> Worker | None:
        """A new worker that accepts connections; ``None`` if everything is to end before it does.

        Raises `StartError` when it ends instead or is not ready within `READY_S`, and `OSError` when there is no room
        for another process. Either way it is no more.
        """
        if self._stop.is_set():
            return None
        worker = await self._launch(index)
        with trio.move_on_after(READY_S):
            await _first_of(worker.ready, worker.gone, self._stop)
        if worker.ready.is_set() and not worker.gone.is_set():
            logger.info("worker_ready", worker=index, pid=worker.process.pid)
            return worker
        if not (self._stop.is_set() or worker.gone.is_set()):
            worker.failure = f"Worker {index} was not ready within {READY_S:.0f} s."
            worker.tell(signal.SIGKILL)
        await self._end(worker)
        if self._stop.is_set():
            return None
        status = worker.process.returncode
        raise StartError(worker.failure or f"Worker {index} ended with status {status} before it was ready.")

    async def _end(self, worker: Worker) -> None:
        """Have a worker drain and end; kill it if it does not."""
        worker.tell(signal.SIGTERM)
        with trio.move_on_after(self._settings.drain_timeout_s + END_S):
            await worker.gone.wait()
        worker.tell(signal.SIGKILL)
        await worker.gone.wait()

    async def _launch(self, index: int) -> Worker:
        """Start a worker process, in a session of its own: Ctrl-C is for the supervisor alone to pass on.

        It gets copies of the sockets, which nobody closes under it while it is being made.
        """
        ours, theirs = control.pair()
        with ExitStack() as handed_down:
            handed_down.enter_context(theirs)
            copies = [handed_down.enter_context(one.dup()) for one in self._listening]
            descriptors = [one.fileno() for one in (theirs, *copies)]
            try:
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-m", "seatsync.serve.worker", f"{index}", *map(str, descriptors)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=descriptors,
                    env=self._environment(),
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        worker = Worker(index, process, control.Channel(ours))
        self._workers.add(worker)
        self._nursery.start_soon(self._attend, worker)
        return worker

    def _environment(self) -> dict[str, str]:
        """What a worker reads its settings from: the database is decided, and the connections are shared out."""
        each = -(-self._settings.max_connections // self._settings.workers)
        return os.environ | {
            "DATABASE_URL": self._settings.database_url or "",
            "JWT_SECRET": self._settings.jwt_secret or "",
            "MAX_CONNECTIONS": str(each),
            "WORKERS": str(self._settings.workers),
        }

    async def _attend(self, worker: Worker) -> None:
        """Listen to a worker until it is gone."""

        def take(kind: bytes, payload: bytes) -> None:
            if kind == control.READY:
                worker.ready.set()
            elif kind == control.FAILED:
                worker.failure = payload.decode()
            elif kind == control.SCRAPE:
                self._nursery.start_soon(self._scrape, worker, payload)
            elif kind == control.REPORT:
                number, report = control.split_number(payload)
                if number in self._scrapes:
                    self._scrapes[number].answered(worker, report)

        await worker.channel.run(take)
        for scrape in self._scrapes.values():
            scrape.leave_out(worker)
        await worker.process.wait()
        self._workers.discard(worker)
        worker.gone.set()
        if worker.ready.is_set() and self._stands(worker) and not self._stop.is_set():
            logger.error("worker_died", worker=worker.index, status=worker.process.returncode)

    def _stands(self, worker: Worker) -> bool:
        place = self._places.get(worker.index)
        return place is not None and place.worker is worker

    async def _scrape(self, asker: Worker, question: bytes) -> None:
        """Gather the metrics of all workers for one of them; who does not answer in time is left out."""
        number = next(self._numbers)
        scrape = self._scrapes[number] = Scrape({place.worker for place in self._places.values()} & self._workers)
        try:
            for worker in scrape.missing:
                worker.channel.send(control.ASK, control.numbered(number))
            with trio.move_on_after(control.GATHER_S):
                await scrape.complete.wait()
        finally:
            del self._scrapes[number]
        asker.channel.send(control.ANSWER, question + control.merge_metrics(scrape.reports))


async def _first_of(*events: trio.Event) -> None:
    """Wait until one of the events is set."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)
