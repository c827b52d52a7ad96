"""The client processes of a test: started, directed by orders through a pipe each, and read.

A process reports ``started``; then ``prepare`` → ``ready``; ``go`` at a time → ``done`` where the load has an end;
``stop`` → ``quiet``; ``check`` → ``result``. In between it reports ``stats`` twice a second, and ``failed`` when it
cannot go on. It ends when the pipe does.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_readable
from time import monotonic
from typing import Any

import trio
from attrs import define, field

from seatsync.load import LoadError, worker
from seatsync.load.address import Address, find_halls
from seatsync.load.plan import Plan, Share, shares, tokens_needed
from seatsync.load.schedule import SendTimes
from seatsync.load.stats import Pipe, next_report_at
from seatsync.load.totals import Totals

#: How long a process may take to report, beyond how long it was to wait itself, in seconds.
GRACE_S = 30.0

#: How long a process may take to end once its pipe has, in seconds.
END_S = 5.0

#: From the order to the beginning of the load, at least, so that all processes have received it, in seconds.
HEAD_START_S = 0.2

_SPAWN = multiprocessing.get_context("spawn")


@define(eq=False)
class Running:
    """A started process."""

    name: str
    pipe: Pipe
    wait: Callable[[], object]
    """Returns when the process has ended; called once it can neither receive nor report."""
    received: dict[str, Any] = field(factory=dict, init=False)
    """The last report of each kind but statistics, since the last order."""

    def close(self) -> None:
        """End its orders, and wait for its end."""
        self.pipe.close()
        self.wait()


Start = Callable[[Share, SendTimes], Running]


def start_process(share: Share, send_times: SendTimes) -> Running:
    """Do the share in a process of its own, which starts from nothing."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=worker.work, args=(theirs, share, send_times), daemon=True)
    resource_tracker.ensure_running()  # which would end the mask of signals if it were started by the first process
    with _uninterrupted():  # and the process never is: this one stops it in order
        process.start()
    theirs.close()

    def wait() -> int | None:
        process.join(END_S)
        process.kill()
        process.join()
        return process.exitcode

    return Running(share.name, ours, wait)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends; a process that is started in it inherits that for good."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@define(eq=False)
class _Processes:
    """The processes of a test, and what they report."""

    all: Sequence[Running]
    totals: Totals
    on_change: Callable[[Totals], None]

    def order(self, order: str, patience_s: float, at: float = 0.0) -> None:
        """Send an order to all processes; one that has ended does not get it, and its reports say why."""
        self.totals.phase = order
        for process in self.all:
            process.received.clear()
            with suppress(BrokenPipeError):
                process.pipe.send((order, patience_s, at))

    def wait(self, report: str, seconds: float) -> list[Any]:
        """Wait for that report of all processes and return them. Raises `LoadError`."""
        if not self.listen(monotonic() + seconds + GRACE_S, report):
            silent = ", ".join(process.name for process in self.all if report not in process.received)
            raise LoadError(f"The client processes {silent} did not answer in time.")
        return [process.received[report] for process in self.all]

    def listen(self, until: float, report: str | None = None) -> bool:
        """Receive until that time, or until all processes have sent that report; returns whether they have."""
        by_pipe = {process.pipe: process for process in self.all}
        while report is None or any(report not in process.received for process in self.all):
            left_s = until - monotonic()
            if left_s <= 0:
                return False
            for pipe in wait_readable([*by_pipe], left_s):
                self._receive(by_pipe[pipe])  # type: ignore[index]  # only pipes were handed in
        return True

    def _receive(self, process: Running) -> None:
        try:
            with _uninterrupted():  # half a report would spoil those that follow
                report, details = process.pipe.recv()
        except (EOFError, ConnectionResetError):
            ended = f"The client process '{process.name}' has ended unexpectedly ({process.wait()})."
            raise LoadError(ended) from None
        if report == "failed":
            raise LoadError(details)
        if report == "stats":
            self.totals.add(process.name, details)
            self.on_change(self.totals)
        else:
            process.received[report] = details


def run_test(
    plan: Plan,
    issue: Callable[[int], list[str]],
    on_change: Callable[[Totals], None],
    *,
    start: Start = start_process,
) -> Totals:
    """Run a test from its preparation to the final check.

    ``issue`` returns session tokens of a user that may change seats, so many or fewer; ``on_change`` is called whenever
    the totals have changed. Raises `LoadError`. A KeyboardInterrupt during the load ends the load, and the test goes on
    to its check; at any other time it ends the test, with the totals so far.
    """
    totals = Totals(plan, plan.halls, {})
    try:
        Address.parse(plan.url).connect().close()
        wanted = tokens_needed(plan)
        tokens = issue(wanted) if wanted else []
        token = tokens[0] if tokens else None
        halls = trio.run(find_halls, plan, token)
        totals.halls = tuple(halls)
        with ExitStack() as stack:
            parts = shares(plan, halls, tokens)
            totals.cpu_s = {share.name: 0.0 for share in parts}
            send_times = SendTimes(len(halls))
            running: list[Running] = []
            for share in parts:
                running.append(start(share, send_times))
                stack.callback(running[-1].close)
            _direct(_Processes(running, totals, on_change), plan, totals)
    except* KeyboardInterrupt:  # in a group where trio ran
        totals.interrupted = True
    return totals


def _direct(processes: _Processes, plan: Plan, totals: Totals) -> None:
    processes.wait("started", 0.0)
    joining_s = plan.ramp_s + plan.patience_s
    processes.order("prepare", joining_s)
    processes.wait("ready", joining_s)
    totals.started_at = at = next_report_at(HEAD_START_S)
    processes.order("go", joining_s, at)
    try:
        if plan.scenario == "join":
            totals.load_s = max(processes.wait("done", joining_s)) - at
        else:
            processes.listen(at + plan.duration_s)
    except KeyboardInterrupt:
        totals.interrupted = True
    totals.load_s = totals.load_s or max(0.001, monotonic() - at)
    for order, report in (("stop", "quiet"), ("check", "result")):
        processes.order(order, plan.patience_s)
        processes.wait(report, plan.patience_s)
    totals.is_checked = True
