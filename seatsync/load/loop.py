"""The event loop of a client process: one epoll, one heap of timers, plain callbacks.

No callback may wait. A client that only receives costs one callback and one `recv` a frame, which lets one process
keep up with tens of thousands of subscribers.
"""

import heapq
import select
from collections.abc import Callable
from itertools import count
from time import monotonic

#: Sockets served before the timers get their turn: about a millisecond's worth.
_BATCH = 256

#: Below this many seconds a wait goes through select, which counts in microseconds; epoll counts in milliseconds.
_FINE_WAIT_S = 0.05

_IDLE_S = 1.0

Ready = Callable[[int], None]


class Loop:
    """Calls back when descriptors are ready and when times have come, all on `time.monotonic`.

    The owner of a descriptor forgets it before it closes it.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._tiebreak = count()
        self._running = False

    def watch(self, descriptor: int, ready: Ready, *, writable: bool = False) -> None:
        """Call ``ready(events)`` while the descriptor is readable (or writable, if so wanted)."""
        events = select.EPOLLIN | (select.EPOLLOUT if writable else 0)
        if descriptor in self._ready:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._ready[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        """Stop calling for that descriptor."""
        del self._ready[descriptor]
        self._epoll.unregister(descriptor)

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call at that time, or as soon after it as possible. It cannot be called off: the call finds out by itself."""
        heapq.heappush(self._timers, (when, next(self._tiebreak), call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call in so many seconds."""
        self.at(monotonic() + seconds, call)

    def stop(self) -> None:
        """Make `run` return after the present round."""
        self._running = False

    def close(self) -> None:
        """Give the epoll descriptor back."""
        self._epoll.close()

    def run(self) -> None:
        """Serve until `stop`. An exception of a callback ends the run."""
        self._running = True
        ready = self._ready
        while self._running:
            for descriptor, events in self._wait():
                # A callback earlier in this round may have closed the descriptor of a later one.
                call = ready.get(descriptor)
                if call is not None:
                    call(events)
            self._run_timers()

    def _wait(self) -> list[tuple[int, int]]:
        wait_s = self._timers[0][0] - monotonic() if self._timers else _IDLE_S
        if not 0 < wait_s < _FINE_WAIT_S:
            return self._epoll.poll(min(max(wait_s, 0), _IDLE_S), _BATCH)
        events = self._epoll.poll(0, _BATCH)
        if not events:
            select.select((self._epoll,), (), (), wait_s)
            events = self._epoll.poll(0, _BATCH)
        return events

    def _run_timers(self) -> None:
        timers = self._timers
        now = monotonic()
        while timers and timers[0][0] <= now:
            heapq.heappop(timers)[2]()
