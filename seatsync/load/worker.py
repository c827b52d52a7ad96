"""A client process's share of a test; `seatsync.load.processes` has the orders it receives and what it reports."""

import gc
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from time import monotonic, process_time

from seatsync.load import LoadError
from seatsync.load.address import Address, raise_descriptor_limit
from seatsync.load.check import FinalCheck
from seatsync.load.client import Client, Context, Hall
from seatsync.load.loop import Loop
from seatsync.load.plan import Share
from seatsync.load.pools import ReaderPool, WriterPool
from seatsync.load.schedule import SendTimes
from seatsync.load.stats import Count, Interval, Pipe, Stats, Timing, next_report_at

#: How often phases are checked, and a slice of the clients is kept alive, in seconds.
POLL_S, SLICE_S = 0.01, 0.05

#: How often a client's handshake is checked where it sends no heartbeats, in seconds.
ROUND_S = 5.0

#: A received revision whose send time is not known for so long was made outside this test, in seconds.
FOREIGN_S = 2.0


class Worker:
    """The process's part in the test."""

    def __init__(self, share: Share, send_times: SendTimes, pipe: Pipe) -> None:
        """Raises `LoadError`."""
        raise_descriptor_limit(share.connections)
        self._share = share
        self._pipe = pipe
        self.stats = Stats()
        """Of the present interval."""
        self._loop = Loop()
        self._context = Context(
            loop=self._loop,
            address=Address.parse(share.plan.url, share.connections),
            send_times=send_times,
            stats=self.stats,
            halls=[Hall(number, hall_id) for number, hall_id in enumerate(share.halls)],
            plan=share.plan,
        )
        self._readers = ReaderPool(self._context, share.readers) if share.readers else None
        writers = WriterPool(self._context, share.writers, share.halls) if share.writers else None
        self._pools = [pool for pool in (writers, self._readers) if pool is not None]
        self._kept_alive = 0
        self._phase, self._cpu_s = "prepare", process_time()

    def run(self) -> None:
        """Follow the orders. Raises `LoadError`, and `EOFError` or `ConnectionError` when the parent has ended."""
        self._loop.watch(self._pipe.fileno(), self._receive)
        self._loop.at(next_report_at(), self._report_again)
        self._loop.after(SLICE_S, self._keep_alive)
        self._pipe.send(("started", None))
        try:
            self._loop.run()
        finally:
            for client in self._clients():
                client.stop()
            self._loop.close()

    # Orders

    def _receive(self, _events: int) -> None:
        order, patience_s, at = self._pipe.recv()
        match order:
            case "prepare":
                for pool in self._pools:
                    pool.prepare()
                self._wait("ready", patience_s, lambda: all(pool.is_ready for pool in self._pools))
            case "go":
                gc.freeze()  # the clients are long-lived: spare each collection the walk over them
                self.report("load")
                for pool in self._pools:
                    pool.begin(at)
                if (readers := self._readers) is not None and self._context.plan.scenario == "join":
                    self._wait("done", patience_s, lambda: readers.is_quiet, lambda: readers.last_joined_at)
            case "stop":
                self.report("drain")
                for pool in self._pools:
                    pool.finish()
                self._wait("quiet", patience_s, lambda: all(pool.is_quiet for pool in self._pools))
            case "check":
                subscribers = self._readers.subscribers if self._readers else []
                check = FinalCheck(self._context, subscribers, self._share.token)
                self._wait("result", patience_s, check.poll, partial(self._finish, check), check.give_up)

    def _wait(
        self,
        report: str,
        patience_s: float,
        condition: Callable[[], bool],
        finish: Callable[[], object] = lambda: None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        """Report when the condition holds or patience has run out, with the details that ``finish`` returns."""
        give_up_at = monotonic() + patience_s

        def poll() -> None:
            if not condition():
                if monotonic() < give_up_at:
                    self._loop.after(POLL_S, poll)
                    return
                (give_up or self._give_up)()
            details = finish()
            self.report()
            self._pipe.send((report, details))

        poll()

    def _give_up(self) -> None:
        for pool in self._pools:
            pool.give_up()

    def _finish(self, check: FinalCheck) -> None:
        check.stop()
        for client in self._clients():
            client.stop()
        count_received(self._context.halls, self._context.send_times, self.stats, final=True)

    # At intervals

    def _report_again(self) -> None:
        self.report()
        self._loop.at(next_report_at(), self._report_again)

    def report(self, next_phase: str | None = None) -> None:
        """Report the interval since the last time; what follows belongs to the next phase, if one is given."""
        count_received(self._context.halls, self._context.send_times, self.stats)
        cpu_s, live = process_time(), self._readers.live if self._readers else 0
        interval = Interval(self._phase, monotonic(), cpu_s - self._cpu_s, live, self.stats)
        self._pipe.send(("stats", interval))
        self.stats.clear()
        self._phase, self._cpu_s = next_phase or self._phase, cpu_s

    def _clients(self) -> list[Client]:
        return [client for pool in self._pools for client in pool.clients]

    def _keep_alive(self) -> None:
        """Keep the next slice of the clients alive: each once a round, none at the same moment as all others."""
        clients, now = self._clients(), monotonic()
        round_s = self._share.plan.heartbeat_s or ROUND_S
        count = min(len(clients), round(len(clients) * SLICE_S / round_s + 0.5))
        for number in range(self._kept_alive, self._kept_alive + count):
            clients[number % len(clients)].keep_alive(now)
        self._kept_alive += count
        self._loop.after(SLICE_S, self._keep_alive)


def count_received(halls: Iterable[Hall], send_times: SendTimes, stats: Stats, *, final: bool = False) -> None:
    """Count what subscribers have received since the last time, with its latencies.

    Steps whose send times are not known yet are left for the next time, unless ``final``.
    """
    now = monotonic()
    for hall in halls:
        for step in [step for step in hall.views.steps if step.received]:
            times = [send_times.when(hall.number, rev) for rev in range(step.first, step.to.rev + 1)]
            if None in times and not final and now - step.received[0] <= FOREIGN_S:
                continue
            for due_at in times:
                if due_at is not None:
                    stats.histogram(Timing.RECEIVED).record_all(step.received, due_at)
            stats.counts[Count.FRAMES] += len(step.received)
            stats.counts[Count.FRAME_BYTES] += len(step.received) * step.frame_bytes
            step.received.clear()
        hall.views.steps = [step for step in hall.views.steps if not step.is_over]


def work(pipe: Pipe, share: Share, send_times: SendTimes) -> None:
    """Do the share until the pipe ends, or report why that is not possible."""
    with suppress(EOFError, ConnectionError):
        try:
            Worker(share, send_times, pipe).run()
        except LoadError as error:
            pipe.send(("failed", str(error)))
