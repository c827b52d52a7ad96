"""There is one worker in each place, whatever dies while it is being replaced. The workers here are no processes."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import define

from seatsync.app import StartError
from seatsync.serve.supervisor import LONGEST_WAIT_S, READY_S, SETTLED_S, Supervisor, Worker
from tests.support.server import server_settings


class Process:
    """A process in name only."""

    pid = 1
    returncode = -9


@define(eq=False)
class TameWorker(Worker):
    """A worker that ends as soon as it is told to."""

    def tell(self, number: signal.Signals) -> None:
        """End."""
        self.gone.set()

    @property
    def is_alive(self) -> bool:
        """It has not ended."""
        return not self.gone.is_set()


class TameSupervisor(Supervisor):
    """Launches workers that become ready, or not, as ``prepare`` has it."""

    launched: list[TameWorker]
    prepare: Callable[[TameWorker], None]
    is_up = False

    async def _launch(self, index: int) -> Worker:
        worker = TameWorker(index, Process(), None)  # type: ignore[arg-type]  # neither is used
        self.launched.append(worker)
        self.prepare(worker)
        return worker

    async def started(self) -> None:
        """The supervisor says that everything is up."""
        self.is_up = True

    @property
    def alive(self) -> list[TameWorker]:
        """The workers that have not ended."""
        return [worker for worker in self.launched if worker.is_alive]


def ready(worker: TameWorker) -> None:
    """It accepts connections at once."""
    worker.ready.set()


def stuck(worker: TameWorker) -> None:
    """It never will."""


def doomed(worker: TameWorker) -> None:
    """It ends instead, and says why."""
    worker.failure = "There is no database."
    worker.gone.set()


def make_supervisor(
    stop: trio.Event, workers: int = 1, prepare: Callable[[TameWorker], None] = ready
) -> TameSupervisor:
    """A supervisor that has not begun."""
    supervisor = TameSupervisor(server_settings("postgresql:///nowhere", WORKERS=str(workers)), [], stop)
    supervisor.launched = []
    supervisor.prepare = prepare
    return supervisor


@asynccontextmanager
async def supervised(workers: int = 1) -> AsyncIterator[TameSupervisor]:
    """A supervisor whose workers are ready; everything ends with the block."""
    stop = trio.Event()
    supervisor = make_supervisor(stop, workers)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run, supervisor.started)
        await trio.testing.wait_all_tasks_blocked()
        assert supervisor.is_up
        yield supervisor
        stop.set()
    assert supervisor.alive == []


async def test_a_dead_worker_is_started_again(autojump_clock: trio.testing.MockClock) -> None:
    """A worker that has died has a successor after a while."""
    async with supervised() as supervisor:
        supervisor.launched[0].gone.set()
        await trio.sleep(1)
        assert supervisor.alive == supervisor.launched[1:2]


async def test_a_worker_that_dies_again_and_again_waits_longer(autojump_clock: trio.testing.MockClock) -> None:
    """The waits double up to a few seconds, and begin anew once a worker has lived for a while."""
    async with supervised() as supervisor:
        waits = []
        for _ in range(9):
            died_at = trio.current_time()
            count = len(supervisor.launched)
            supervisor.alive[0].gone.set()
            while len(supervisor.launched) == count:  # noqa: ASYNC110 - the clock jumps
                await trio.sleep(0.01)
            waits.append(trio.current_time() - died_at)
        assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[LONGEST_WAIT_S] * 3], abs=0.02)
        await trio.sleep(SETTLED_S + 1)
        supervisor.alive[0].gone.set()
        await trio.sleep(0.2)
        assert supervisor.alive


async def test_a_failed_restart_is_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    """A worker that cannot start while the server is up is tried for until it can."""
    async with supervised() as supervisor:
        supervisor.prepare = doomed
        supervisor.launched[0].gone.set()
        await trio.sleep(60)
        assert 10 < len(supervisor.launched) < 25
        supervisor.prepare = ready
        await trio.sleep(LONGEST_WAIT_S + 1)
        assert len(supervisor.alive) == 1


@pytest.mark.parametrize("ready_after_s", [0.01, 1.0])
async def test_a_worker_may_die_while_it_is_being_replaced(
    autojump_clock: trio.testing.MockClock, ready_after_s: float
) -> None:
    """Its replacement stays, alone, whether it was ready before the dead one was to be started again or after."""
    async with supervised() as supervisor, trio.open_nursery() as nursery:
        supervisor.prepare = stuck
        nursery.start_soon(supervisor.replace_all)
        await trio.testing.wait_all_tasks_blocked()
        supervisor.launched[0].gone.set()
        await trio.sleep(ready_after_s)
        replacement = supervisor.launched[1]
        replacement.ready.set()
        await trio.sleep(2 * LONGEST_WAIT_S)
        assert supervisor.alive == [replacement]


async def test_a_replacement_may_be_wanted_of_a_dead_worker(autojump_clock: trio.testing.MockClock) -> None:
    """While a dead worker waits to be started again, the replacement asked for is that start."""
    async with supervised() as supervisor:
        supervisor.launched[0].gone.set()
        await trio.testing.wait_all_tasks_blocked()
        await supervisor.replace_all()
        assert supervisor.alive == supervisor.launched[1:]


async def test_workers_are_replaced_one_by_one(autojump_clock: trio.testing.MockClock) -> None:
    """The next is not begun before the last has its successor."""
    async with supervised(workers=3) as supervisor, trio.open_nursery() as nursery:
        supervisor.prepare = stuck
        nursery.start_soon(supervisor.replace_all)
        for index in range(3):
            await trio.sleep(1)
            assert [worker.index for worker in supervisor.launched[3:]] == [*range(index + 1)]
            assert len(supervisor.alive) == 4
            supervisor.launched[-1].ready.set()
        await trio.sleep(1)
        assert supervisor.alive == supervisor.launched[3:]


async def test_a_replacement_that_does_not_get_ready_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """The worker that was to be replaced stays."""
    async with supervised() as supervisor:
        supervisor.prepare = stuck
        await supervisor.replace_all()
        assert trio.current_time() >= READY_S
        assert supervisor.alive == supervisor.launched[:1]


async def test_a_stop_ends_a_replacement(autojump_clock: trio.testing.MockClock) -> None:
    """Old and new end alike."""
    async with supervised() as supervisor, trio.open_nursery() as nursery:
        supervisor.prepare = stuck
        nursery.start_soon(supervisor.replace_all)
        await trio.testing.wait_all_tasks_blocked()
        supervisor._stop.set()


@pytest.mark.parametrize(("prepare", "sentence"), [(doomed, "There is no database"), (stuck, "not ready within 30 s")])
async def test_a_start_that_fails_is_not_tried_again(
    autojump_clock: trio.testing.MockClock, prepare: Callable[[TameWorker], None], sentence: str
) -> None:
    """When a worker cannot start as the server does, the server ends with what the worker said."""
    supervisor = make_supervisor(trio.Event(), 2, prepare)
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesExc(StartError, match=sentence))):
        await supervisor.run(supervisor.started)
    assert len(supervisor.launched) <= 2
    assert not supervisor.is_up


async def test_a_stop_during_the_start_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    """Nobody is told that the server is up, and that is no failure."""
    stop = trio.Event()
    supervisor = make_supervisor(stop, 2, stuck)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run, supervisor.started)
        await trio.sleep(1)
        stop.set()
    assert (supervisor.alive, supervisor.is_up) == ([], False)
