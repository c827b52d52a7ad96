"""One client process: does its share of a test, told what and when by lines of JSON, and answers in the same way.

``python -m seatsync.load.worker DESCRIPTOR`` with the descriptor of the timetable, and the share as the first line of
standard input. Says ``started``. Orders: ``prepare`` → ``ready``; ``go`` at a time → ``done`` where there is an end;
``stop`` → ``quiet``; ``check`` → ``result``. In between, statistics twice a second. When the input ends, so does the
process.
"""

import gc
import signal
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

import cattrs

from seatsync.load.address import Address, Sources, sources_needed
from seatsync.load.check import Check
from seatsync.load.client import Client, Hall, World
from seatsync.load.crew import Crew
from seatsync.load.crowd import Crowd
from seatsync.load.descriptors import raise_limit
from seatsync.load.failure import LoadError
from seatsync.load.lines import REPORT_S, Lines, Reporter, first_line, hush, say
from seatsync.load.loop import Loop
from seatsync.load.plan import Share
from seatsync.load.promises import Promises
from seatsync.load.receipts import collect
from seatsync.load.stats import Stats
from seatsync.load.timetable import Timetable
from seatsync.load.view import Album

#: How often phases are looked at, and a slice of the clients is looked after, in seconds.
POLL_S, LOOK_S = 0.01, 0.05

#: How often a client is looked after where it sends no heartbeats, in seconds.
LOOK_AFTER_S = 5.0


class Worker:
    """The process."""

    def __init__(self, share: Share, timetable: Timetable) -> None:
        address = Address.parse(share.url)
        raise_limit(share.connections)
        wanted = share.sources or sources_needed(share.connections)
        self._share = share
        self._loop = Loop()
        self._world = World(
            loop=self._loop,
            address=address,
            sources=Sources(wanted if address.is_loopback else 1),
            timetable=timetable,
            stats=Stats(),
            halls=[Hall(number, hall_id, Album()) for number, hall_id in enumerate(share.halls)],
            survive=share.survive,
            heartbeat_s=share.heartbeat_s,
        )
        self._crowd = Crowd(self._world, share.crowd) if share.crowd else None
        self._promises = {hall.number: Promises() for hall in self._world.halls}
        self._crews = [Crew(self._world, crew, self._promises) for crew in share.crews]
        self._parts: list[Crowd | Crew] = [*self._crews, *([self._crowd] if self._crowd else [])]
        crowd = self._crowd
        self._reporter = Reporter(self._world.stats, lambda: crowd.live if crowd else 0)
        self._looked_after = 0

    def run(self, orders: int) -> None:
        """Obey the orders that come in on a descriptor until it ends."""
        lines = Lines(orders, self._obey, self._loop.stop)
        self._loop.watch(orders, lambda _: lines.read())
        self._loop.after(REPORT_S, self._report_on)
        self._loop.after(LOOK_S, self._look_after)
        say("started")
        self._loop.run()

    # Orders

    def _obey(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "prepare":
                for part in self._parts:
                    part.prepare()
                self._wait("ready", order["patience_s"], lambda: all(part.is_ready for part in self._parts))
            case "go":
                gc.freeze()  # a thousand clients are here to stay: no need to look at them again and again
                self._report("load")
                for part in self._parts:
                    part.begin(order["at"])
                if (crowd := self._crowd) is not None and crowd.ends:
                    self._wait("done", order["patience_s"], lambda: crowd.is_in, lambda: {"at": crowd.last_joined_at})
            case "stop":
                self._report("drain")
                for part in self._parts:
                    part.finish()
                self._wait("quiet", order["patience_s"], self._is_quiet)
            case "check":
                self._check(order["patience_s"])

    def _wait(
        self, then: str, patience_s: float, condition: Callable[[], bool], details: Callable[[], dict[str, Any]] = dict
    ) -> None:
        """Say so when the condition holds, or when patience has run out."""
        give_up_at = monotonic() + patience_s

        def look() -> None:
            if not condition():
                if monotonic() < give_up_at:
                    self._loop.after(POLL_S, look)
                    return
                for part in self._parts:
                    part.give_up()
            self._report()
            say(then, **details())

        look()

    def _is_quiet(self) -> bool:
        return all(crew.is_quiet for crew in self._crews) and (self._crowd is None or self._crowd.is_in)

    def _check(self, patience_s: float) -> None:
        subscribers = self._crowd.subscribers if self._crowd else []
        check = Check(
            self._world,
            subscribers,
            self._promises,
            token=self._share.reader_token,
            patience_s=patience_s,
            on_done=self._finish,
        )
        check.begin()

    def _finish(self) -> None:
        for client in self._clients():
            client.stop()
        collect(self._world.halls, self._world.timetable, self._world.stats, at_once=True)
        self._report()
        say("result")

    # Now and then

    def _report_on(self) -> None:
        self._report()
        self._loop.after(REPORT_S, self._report_on)

    def _report(self, next_phase: str | None = None) -> None:
        world = self._world
        collect(world.halls, world.timetable, world.stats)
        self._reporter.report(next_phase)

    def _clients(self) -> list[Client]:
        crowd = self._crowd.clients if self._crowd else []
        return [*crowd, *(writer for crew in self._crews for writer in crew.clients)]

    def _look_after(self) -> None:
        """Look after the next few clients, so that each has its turn once a round and none waits for a thousand."""
        clients, now = self._clients(), monotonic()
        round_s = self._share.heartbeat_s or LOOK_AFTER_S
        few = min(len(clients), round(len(clients) * LOOK_S / round_s + 0.5))
        for number in range(self._looked_after, self._looked_after + few):
            clients[number % len(clients)].look_after(now)
        self._looked_after += few
        self._loop.after(LOOK_S, self._look_after)


def main() -> int:
    """Do a share; returns 1, having said why, when that is not possible."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops us in order
    share = cattrs.structure(first_line(), Share)
    try:
        Worker(share, Timetable(int(sys.argv[1]), len(share.halls))).run(sys.stdin.fileno())
    except LoadError as error:
        say("failed", words=str(error))
        return 1
    except BrokenPipeError:  # the parent is gone
        hush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
