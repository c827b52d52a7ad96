"""One worker in each slot, through deaths and replacements. The processes are fakes."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from seatsync.core.timing import Timing
from seatsync.serve.failures import sentences
from seatsync.serve.supervisor import READY, Supervisor
from tests.support.server import server_settings

TIMING = Timing()


class FakeProcess:
    """A worker's process, and its end of the socket to the supervisor. Any signal ends it; SIGKILL alone while deaf."""

    pid = 1
    is_deaf = False

    def __init__(self, index: int) -> None:
        self.index = index
        self.control = trio.testing.MemoryReceiveStream()
        self.returncode: int | None = None
        self._ended = trio.Event()

    def send_signal(self, number: signal.Signals) -> None:
        """End, unless it has ended."""
        if self.returncode is None and (number == signal.SIGKILL or not self.is_deaf):
            self.returncode = -number
            self.control.put_eof()
            self._ended.set()

    async def wait(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    def report(self, report: bytes) -> None:
        """Send a report to the supervisor."""
        self.control.put_data(report)

    def die(self) -> None:
        """End by itself."""
        self.send_signal(signal.SIGSEGV)


class Machine:
    """Launches fake processes, each of which becomes ready or not as ``prepare`` has it."""

    def __init__(self, prepare: Callable[[FakeProcess], None]) -> None:
        self.launched: list[FakeProcess] = []
        self.prepare = prepare

    async def launch(self, index: int, *_: object) -> tuple[Any, trio.abc.ReceiveStream]:
        """Start a process."""
        process = FakeProcess(index)
        self.launched.append(process)
        self.prepare(process)
        return process, process.control

    @property
    def alive(self) -> list[FakeProcess]:
        """The processes that have not ended."""
        return [process for process in self.launched if process.returncode is None]


def ready(process: FakeProcess) -> None:
    """Become ready at once, with a report in two reads."""
    process.report(READY[:2])
    process.report(READY[2:])


def stuck(process: FakeProcess) -> None:
    """Never report."""


def doomed(process: FakeProcess) -> None:
    """Report a reason and end."""
    process.report(b"There is no database.")
    process.die()


class Supervised:
    """A supervisor, its processes and its reports."""

    def __init__(
        self, workers: int = 1, prepare: Callable[[FakeProcess], None] = ready, drain_delay: str = "0"
    ) -> None:
        self.machine = Machine(prepare)
        self.stop = trio.Event()
        self.is_up = False
        settings = server_settings("postgresql:///nowhere", WORKERS=str(workers), DRAIN_DELAY=drain_delay)
        self.supervisor = Supervisor(settings, [], self.stop, launch=self.machine.launch)

    async def run(self) -> None:
        """Run the supervisor."""
        await self.supervisor.run(self._started)

    async def _started(self) -> None:
        self.is_up = True


@asynccontextmanager
async def supervised(workers: int = 1, drain_delay: str = "0") -> AsyncIterator[Supervised]:
    """A supervisor whose workers are ready; everything ends with the block."""
    one = Supervised(workers, drain_delay=drain_delay)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        assert one.is_up
        yield one
        one.stop.set()
    assert one.machine.alive == []


async def test_a_dead_worker_is_restarted(autojump_clock: trio.testing.MockClock) -> None:
    """A dead worker is restarted after its backoff."""
    async with supervised() as one:
        one.machine.launched[0].die()
        await trio.sleep(1)
        assert one.machine.alive == one.machine.launched[1:2]


async def test_a_worker_that_dies_again_and_again_waits_longer(autojump_clock: trio.testing.MockClock) -> None:
    """The backoff doubles up to its maximum, and is reset once a worker has lived long enough."""
    async with supervised() as one:
        waits = []
        for _ in range(9):
            died_at = trio.current_time()
            count = len(one.machine.launched)
            one.machine.alive[0].die()
            while len(one.machine.launched) == count:  # noqa: ASYNC110 - the clock jumps
                await trio.sleep(0.01)
            waits.append(trio.current_time() - died_at)
        assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[TIMING.last_restart_s] * 3], abs=0.02)
        await trio.sleep(TIMING.settled_s + 1)
        one.machine.alive[0].die()
        await trio.sleep(0.2)
        assert one.machine.alive


async def test_a_failed_restart_is_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    """A failed restart is repeated until it succeeds."""
    async with supervised() as one:
        one.machine.prepare = doomed
        one.machine.launched[0].die()
        await trio.sleep(60)
        assert 10 < len(one.machine.launched) < 25
        one.machine.prepare = ready
        await trio.sleep(TIMING.last_restart_s + 1)
        assert len(one.machine.alive) == 1


@pytest.mark.parametrize("ready_after_s", [0.01, 1.0])
async def test_a_worker_may_die_while_it_is_being_replaced(
    autojump_clock: trio.testing.MockClock, ready_after_s: float
) -> None:
    """Its replacement stays, alone, whether it was ready before the dead one was to be restarted or after."""
    async with supervised() as one, trio.open_nursery() as nursery:
        one.machine.prepare = stuck
        nursery.start_soon(one.supervisor.replace_all)
        await trio.testing.wait_all_tasks_blocked()
        one.machine.launched[0].die()
        await trio.sleep(ready_after_s)
        replacement = one.machine.launched[1]
        replacement.report(READY)
        await trio.sleep(2 * TIMING.last_restart_s)
        assert one.machine.alive == [replacement]


async def test_a_dead_worker_may_be_replaced(autojump_clock: trio.testing.MockClock) -> None:
    """While a dead worker waits to be restarted, its replacement is that restart."""
    async with supervised() as one:
        one.machine.launched[0].die()
        await trio.testing.wait_all_tasks_blocked()
        await one.supervisor.replace_all()
        assert one.machine.alive == one.machine.launched[1:]
        await trio.sleep(2 * TIMING.last_restart_s)
        assert one.machine.alive == one.machine.launched[1:2]


async def test_workers_are_replaced_one_by_one(autojump_clock: trio.testing.MockClock) -> None:
    """Workers are replaced one at a time."""
    async with supervised(workers=3) as one, trio.open_nursery() as nursery:
        one.machine.prepare = stuck
        nursery.start_soon(one.supervisor.replace_all)
        for index in range(3):
            await trio.sleep(1)
            assert [process.index for process in one.machine.launched[3:]] == [*range(index + 1)]
            assert len(one.machine.alive) == 4
            one.machine.launched[-1].report(READY)
        await trio.sleep(1)
        assert one.machine.alive == one.machine.launched[3:]


async def test_a_replacement_that_does_not_get_ready_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """A replacement that does not become ready in time is dropped, and the old worker stays."""
    async with supervised() as one:
        one.machine.prepare = stuck
        await one.supervisor.replace_all()
        assert trio.current_time() >= TIMING.worker_ready_s
        assert one.machine.alive == one.machine.launched[:1]


async def test_a_worker_has_its_delay_and_its_drain_before_it_is_killed(autojump_clock: trio.testing.MockClock) -> None:
    """It is killed after DRAIN_DELAY, DRAIN_TIMEOUT and a margin; one that is replaced has no delay."""
    limit_s = 10 + TIMING.worker_end_s
    async with supervised(drain_delay="100") as one:
        one.machine.launched[0].is_deaf = True
        started = trio.current_time()
        await one.supervisor.replace_all()
        assert trio.current_time() - started == pytest.approx(limit_s)
        one.machine.launched[1].is_deaf = True
        started = trio.current_time()
        one.stop.set()
    assert trio.current_time() - started == pytest.approx(100 + limit_s)
    assert [process.returncode for process in one.machine.launched] == [-signal.SIGKILL] * 2


async def test_a_stop_ends_a_replacement(autojump_clock: trio.testing.MockClock) -> None:
    """A stop during a replacement ends the old and the new worker."""
    async with supervised() as one, trio.open_nursery() as nursery:
        one.machine.prepare = stuck
        nursery.start_soon(one.supervisor.replace_all)
        await trio.testing.wait_all_tasks_blocked()
        one.stop.set()


@pytest.mark.parametrize(("prepare", "sentence"), [(doomed, "There is no database"), (stuck, "not ready within 30 s")])
async def test_a_start_that_fails_is_not_tried_again(
    autojump_clock: trio.testing.MockClock, prepare: Callable[[FakeProcess], None], sentence: str
) -> None:
    """When a worker cannot start as the server does, the server ends with the reason that the worker reported."""
    one = Supervised(2, prepare)
    with pytest.raises(BaseExceptionGroup) as caught:
        await one.run()
    assert all(sentence in line for line in sentences(caught.value))
    assert len(one.machine.launched) <= 2
    assert (one.machine.alive, one.is_up) == ([], False)


async def test_a_stop_during_the_start_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    """A stop during the start ends without a ready report and without a failure."""
    one = Supervised(2, stuck)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.sleep(1)
        one.stop.set()
    assert (one.machine.alive, one.is_up) == ([], False)


async def test_a_cancellation_kills_all_workers(autojump_clock: trio.testing.MockClock) -> None:
    """The second SIGTERM waits for no drain; those being replaced are killed with the others."""
    one = Supervised(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        one.machine.prepare = stuck
        nursery.start_soon(one.supervisor.replace_all)
        await trio.testing.wait_all_tasks_blocked()
        assert len(one.machine.alive) == 3
        nursery.cancel_scope.cancel()
    assert [process.returncode for process in one.machine.launched] == [-signal.SIGKILL] * 3


async def test_metrics_of_a_dead_worker_are_removed(autojump_clock: trio.testing.MockClock) -> None:
    """A dead worker's metrics are removed at once, all others' with the supervisor."""
    async with supervised(workers=2) as one:
        directory = one.supervisor._metrics_directory
        files = [directory / f"{process.index}.prom" for process in one.machine.launched]
        for file in files:
            file.write_bytes(b"")
        one.machine.launched[0].die()
        await trio.testing.wait_all_tasks_blocked()
        assert [file.exists() for file in files] == [False, True]
        await one.supervisor.replace_all()
        assert files[1].exists()
    assert not directory.exists()
