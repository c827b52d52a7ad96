"""The clients of a drill: watchers that verify every frame, and writers that send again until they are answered.

They run in one thread, on the load generator's loop and connections. A client that loses its connection reconnects and
resumes.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from time import monotonic

from seatsync.load.address import Address
from seatsync.load.loop import Loop
from seatsync.load.stats import Stats
from seatsync.load.verifier import Verifier
from seatsync.load.view import Views
from tests.faults.clients import Link, Watcher
from tests.faults.ledger import Ledger
from tests.faults.writers import Writer

#: Intervals between two looks at other threads' requests, and between two heartbeats of a client, in seconds.
_TICK_S, _HEARTBEAT_S = 0.01, 4.0


class Crowd:
    """All clients of a drill. Methods are for the drill's thread; `call` has something done in the clients' own."""

    def __init__(self, url: str, hall: int, *, pause_s: float = 0.0) -> None:
        self.address = Address.parse(url)
        self.hall = hall
        self.pause_s = pause_s
        """How long a writer rests after an answer."""
        self.views = Views()
        self.stats = Stats()
        self.ledger = Ledger()
        self.loop = Loop()
        self.resting = self.closing = False
        self.watchers: list[Watcher] = []
        self.writers: list[Writer] = []
        self.broken: BaseException | None = None
        self.on_steps: Callable[[], None] | None = None
        """Called before the steps that are over are forgotten."""
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.loop.after(0.0, self._tick)
        self.loop.after(_HEARTBEAT_S, self._beat)
        self.loop.after(0.5, self._tidy)
        try:
            self.loop.run()
        except BaseException as error:
            self.broken = error
            raise

    def _tick(self) -> None:
        while not self._asked.empty():
            self._asked.get()()
        self.loop.after(_TICK_S, self._tick)

    def _beat(self) -> None:
        now = monotonic()
        for link in (*self.watchers, *self.writers):
            link.beat(now)
        self.loop.after(_HEARTBEAT_S, self._beat)

    def _tidy(self) -> None:
        if self.on_steps is not None:
            self.on_steps()
        for step in self.views.steps:
            step.received.clear()
        self.views.steps = [step for step in self.views.steps if not step.is_over]
        self.loop.after(0.5, self._tidy)

    def call(self, function: Callable[[], None]) -> None:
        """Have something done by the clients' thread, and wait until it has been."""
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._asked.put(run)
        while not done.wait(0.1):
            if self.broken is not None:
                raise RuntimeError("the clients have broken down") from self.broken

    def each(self, act: Callable[[Link], None], links: Iterable[Link]) -> None:
        """Have the clients' thread do something to each of these."""

        def run() -> None:
            for link in links:
                act(link)

        self.call(run)

    def add_watchers(self, count: int) -> list[Watcher]:
        """Connect that many more watchers; returns at once."""
        first = len(self.watchers)
        # Few eids among many watchers, as it is in life: every existing client makes up its own in the same way.
        added = [
            Watcher(self, None, verifier=Verifier(f"watcher {number}", f"hall-{number % 4}", self.views, self.stats))
            for number in range(first, first + count)
        ]
        self.watchers += added
        self.each(Link.connect, added)
        return added

    def add_writers(self, tokens: Sequence[str], seats: Sequence[int]) -> None:
        """Connect a writer for each token; they share the seats out."""
        each = len(seats) // len(tokens)
        added = [
            Writer(self, token, seats=seats[number * each : (number + 1) * each]) for number, token in enumerate(tokens)
        ]
        self.writers += added
        self.each(Link.connect, added)

    @property
    def is_live(self) -> bool:
        """Every watcher has had its first frame."""
        return all(watcher.is_live for watcher in self.watchers)

    @property
    def is_quiet(self) -> bool:
        """No write waits for its answer."""
        return not any(writer.busy for writer in self.writers)

    def closings(self, after: float) -> Counter[int]:
        """With which codes connections ended since then."""
        links = (*self.watchers, *self.writers)
        return Counter(closing.code for link in links for at, closing in link.closings if at >= after)

    def notified_stale(self, after: float, *, stale: bool = True) -> list[float]:
        """When each watcher of that time was first notified; shorter than the watchers if some were not."""
        firsts = (
            next((at for at, notified in watcher.stale_at if at >= after and notified is stale), None)
            for watcher in self.watchers
            if watcher.opened_at[0] < after
        )
        return [at for at in firsts if at is not None]


@contextmanager
def running_crowd(url: str, hall: int, *, pause_s: float = 0.0) -> Iterator[Crowd]:
    """An empty crowd for the length of the block."""
    crowd = Crowd(url, hall, pause_s=pause_s)
    crowd._thread.start()
    try:
        yield crowd
    finally:
        crowd.closing = True
        crowd.loop.stop()
        crowd._thread.join()
        for link in (*crowd.watchers, *crowd.writers):
            link.resume()
            if link.connection is not None:
                link.connection.close()
        crowd.loop.close()
