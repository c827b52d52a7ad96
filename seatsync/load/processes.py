"""The client processes of a test: started, directed by JSON lines on their standard input, and read.

A process receives its share of the test as its first line and reports ``started``; then ``prepare`` → ``ready``; ``go``
at a time → ``done`` where the load has an end; ``stop`` → ``quiet``; ``check`` → ``result``. In between it reports
``stats`` twice a second, and ``failed`` when it cannot go on. It ends when its input does.
"""

import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from time import monotonic, process_time
from typing import IO, Any, Protocol

import cattrs
import orjson
from attrs import define, field, frozen
from cattrs.preconf.orjson import make_converter

from seatsync.load import LoadError
from seatsync.load.address import Address
from seatsync.load.plan import Plan, shares, tokens_needed
from seatsync.load.schedule import SendTimes
from seatsync.load.stats import Interval, Stats
from seatsync.load.totals import Process, Totals

#: How often statistics are reported, in seconds.
REPORT_S = 0.5

#: How long a process may take to report, beyond how long it was to wait itself, in seconds.
GRACE_S = 30.0

#: How long a process may take to end once its input has, in seconds.
END_S = 5.0

#: From the order to the beginning of the load, so that all processes have received it, in seconds.
HEAD_START_S = 0.2

_RECEIVE_BYTES = 1 << 20

converter = make_converter()


class ServerAccess(Protocol):
    """The server's side of a test, which the command line provides."""

    def tokens(self, count: int) -> list[str]:
        """Session tokens of a user that may change seats."""

    def database(self) -> AbstractContextManager[str]:
        """The address of the server's database, for changes by SQL."""


@frozen
class ProcessSpec:
    """A process to start."""

    name: str
    share: Mapping[str, Any] = field(repr=False)
    """Its first line of input: it may hold tokens, so it does not go on the command line."""
    module: str = "seatsync.load.worker"
    environment: Mapping[str, str] = field(factory=dict, repr=False)
    """Besides ours."""


class Lines:
    """JSON lines that come in on a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""

    def receive(self) -> list[dict[str, Any]] | None:
        """Wait for at least one whole line and return all that have come; ``None`` at the end."""
        while data := os.read(self.descriptor, _RECEIVE_BYTES):
            *lines, self._rest = (self._rest + data).split(b"\n")
            if lines:
                return [orjson.loads(line) for line in lines]
        return None


@define(eq=False)
class Reporter:
    """A client process's way to its parent. Its methods raise `BrokenPipeError` when the parent has ended."""

    descriptor: int
    stats: Stats = field(factory=Stats)
    """Reported, and started anew, at each interval."""
    _phase: str = "prepare"
    _cpu_s: float = field(factory=process_time)

    def send(self, report: str, **details: Any) -> None:
        """Send one report."""
        line = converter.dumps({"report": report, **details}) + b"\n"
        while line:
            line = line[os.write(self.descriptor, line) :]

    def send_stats(self, live: int, next_phase: str | None = None) -> None:
        """Report the interval since the last time; what follows belongs to the next phase, if one is given."""
        cpu_s, before = process_time(), self._cpu_s
        self._cpu_s = cpu_s
        self.send("stats", interval=Interval(self._phase, monotonic(), cpu_s - before, live, self.stats))
        self.stats.clear()
        self._phase = next_phase or self._phase


@define(eq=False)
class Running:
    """A started process."""

    name: str
    orders: IO[bytes]
    reports: IO[bytes]
    wait: Callable[[], object]
    """Returns when the process has ended; called once it can neither receive nor report."""
    lines: "Lines" = field(init=False)
    received: dict[str, Mapping[str, Any]] = field(factory=dict, init=False)
    """The last report of each kind but statistics, since the last order."""

    def __attrs_post_init__(self) -> None:
        self.lines = Lines(self.reports.fileno())

    def send(self, order: Mapping[str, Any]) -> None:
        """Send a line; a process that has ended does not get it, and its reports say why."""
        with suppress(BrokenPipeError):
            self.orders.write(converter.dumps(order) + b"\n")
            self.orders.flush()

    def close(self) -> None:
        """End its orders, and wait for its end."""
        with suppress(BrokenPipeError):
            self.orders.close()
        self.reports.close()
        self.wait()


Start = Callable[[ProcessSpec, int], Running]
"""Starts a process, which inherits a descriptor: that of the send times."""


def start_process(spec: ProcessSpec, send_times: int) -> Running:
    """Start ``python -m MODULE DESCRIPTOR``."""
    process = subprocess.Popen(  # noqa: S603 - our own programs
        [sys.executable, "-m", spec.module, str(send_times)],
        env={**os.environ, **spec.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(send_times,),
    )

    def wait() -> int:
        try:
            return process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    return Running(spec.name, process.stdin, process.stdout, wait)


@define(eq=False)
class Processes:
    """The processes of a test."""

    _all: Sequence[Running]
    _on_interval: Callable[[str, Interval], None]
    """Called with a process's name and its statistics."""
    _selector: selectors.DefaultSelector = field(factory=selectors.DefaultSelector, init=False)

    def __attrs_post_init__(self) -> None:
        for process in self._all:
            self._selector.register(process.lines.descriptor, selectors.EVENT_READ, process)

    def order(self, order: str, patience_s: float, **details: Any) -> None:
        """Send an order to all processes."""
        for process in self._all:
            process.received.clear()
            process.send({"order": order, "patience_s": patience_s, **details})

    def wait(self, report: str, seconds: float) -> list[Mapping[str, Any]]:
        """Wait for that report of all processes and return them. Raises `LoadError`."""
        if not self.listen(monotonic() + seconds + GRACE_S, report):
            silent = ", ".join(process.name for process in self._all if report not in process.received)
            raise LoadError(f"The client processes {silent} did not answer in time.")
        return [process.received[report] for process in self._all]

    def listen(self, until: float, report: str | None = None) -> bool:
        """Receive until that time, or until all processes have sent that report; returns whether they have."""
        while report is None or any(report not in process.received for process in self._all):
            left_s = until - monotonic()
            if left_s <= 0:
                return False
            for key, _ in self._selector.select(left_s):
                self._receive(key.data)
        return True

    def _receive(self, process: Running) -> None:
        lines = process.lines.receive()
        if lines is None:
            raise LoadError(f"The client process '{process.name}' has ended unexpectedly ({process.wait()}).")
        for line in lines:
            match line["report"]:
                case "stats":
                    self._on_interval(process.name, converter.structure(line["interval"], Interval))
                case "failed":
                    raise LoadError(line["reason"])
                case report:
                    process.received[report] = line


def run_test(
    plan: Plan,
    access: ServerAccess,
    on_change: Callable[[Totals], None],
    *,
    tokens: list[str] | None = None,
    start: Start = start_process,
) -> Totals:
    """Run a test from its preparation to the final check.

    ``on_change`` is called whenever the totals have changed; ``tokens``, if given, replace those of ``access``. Raises
    `LoadError`. A KeyboardInterrupt during the load ends the load, and the test goes on to its check; at any other time
    it is the caller's.
    """
    address = Address.parse(plan.url)
    address.check_reachable()
    wanted = tokens_needed(plan)
    tokens = (tokens or access.tokens(wanted)) if wanted else []
    halls = plan.halls or (address.largest_hall(tokens[0] if tokens else None),)
    with ExitStack() as stack:
        specs = [ProcessSpec(share.name, cattrs.unstructure(share)) for share in shares(plan, halls, tokens)]
        if plan.via == "sql" and plan.rate:
            environment = {"DATABASE_URL": stack.enter_context(access.database())}
            share = {"halls": halls, "rate": plan.rate, "bulk": plan.bulk, "survive": plan.survive}
            specs.append(ProcessSpec("SQL", share, "seatsync.cli.load_sql", environment))
        totals = Totals(plan, halls, {spec.name: Process() for spec in specs})

        def on_interval(process: str, interval: Interval) -> None:
            totals.add(process, interval)
            on_change(totals)

        send_times = SendTimes.create()
        stack.callback(os.close, send_times)
        running: list[Running] = []
        for spec in specs:
            running.append(start(spec, send_times))
            stack.callback(running[-1].close)
        for spec, process in zip(specs, running, strict=True):
            process.send(spec.share)
        _direct(Processes(running, on_interval), plan, totals)
    return totals


def _direct(processes: Processes, plan: Plan, totals: Totals) -> None:
    def order(order: str, report: str, patience_s: float, **details: Any) -> list[Mapping[str, Any]]:
        totals.phase = order
        processes.order(order, patience_s, **details)
        return processes.wait(report, patience_s)

    processes.wait("started", 0.0)
    order("prepare", "ready", plan.ramp_s + plan.patience_s)
    totals.started_at = at = monotonic() + HEAD_START_S
    if plan.scenario == "join":
        done = order("go", "done", plan.ramp_s + plan.patience_s, at=at)
        totals.load_s = max(report["at"] for report in done) - at
    else:
        totals.phase = "go"
        processes.order("go", plan.patience_s, at=at)
        try:
            processes.listen(at + plan.duration_s)
        except KeyboardInterrupt:
            totals.interrupted = True
        totals.load_s = max(0.001, monotonic() - at)
    order("stop", "quiet", plan.patience_s)
    order("check", "result", plan.patience_s)
