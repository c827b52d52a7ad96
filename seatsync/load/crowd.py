"""The clients of a process that read: they come, stay or go, and are there to be compared at the end."""

import heapq
import random
from functools import partial
from time import monotonic

from seatsync.load import plan
from seatsync.load.client import World
from seatsync.load.faults import Kind
from seatsync.load.loop import Timer
from seatsync.load.pace import spread
from seatsync.load.stats import Count
from seatsync.load.subscriber import Idler, Subscriber

#: Clients that may be on their way in at a time: more would overflow the server's queue of connections, and the test
#: would time the kernel's retries. Those that wait for their turn keep the time they were meant to come.
MAX_PENDING = 1024

#: One client in so many checks that the server has taken its token.
_ASKS_WHO_IT_IS = 50

#: Of a client's stay, how long it is away before it comes again, on average.
_AWAY_SHARE = 0.25

_FURTHER = ("cinemas.subscribe", "user.subscribe")


class Crowd:
    """Readers by plan."""

    _timer: Timer | None = None

    def __init__(self, world: World, share: plan.Crowd) -> None:
        self._world = world
        self._plan = share
        self.clients = [self._make(number) for number in range(share.count)]
        self._queue: list[tuple[float, int]] = []
        self._coming: set[Subscriber | Idler] = set()
        self._away: set[Subscriber | Idler] = set()
        self._moving = False
        self.last_joined_at = 0.0
        """When the latest of them was where it wanted to be, on `time.monotonic`."""

    def _make(self, number: int) -> Subscriber | Idler:
        """The client that is the ``number``-th here."""
        share = self._plan
        token = share.tokens[number % len(share.tokens)] if share.tokens else None
        number += share.first
        if not share.subscribe:
            idler = Idler(self._world, f"Connection {number}", token)
            idler.on_live = partial(self._arrived, idler)
            return idler
        hall = self._world.halls[number % len(self._world.halls)]
        eid = "hall" if share.same_eid else f"hall-{number}"
        subscriber = Subscriber(self._world, f"Subscriber {number}", eid, hall, token)
        subscriber.on_live = partial(self._arrived, subscriber)
        subscriber.asks_who_it_is = token is not None and number % _ASKS_WHO_IT_IS == 0
        subscriber.further = _FURTHER if share.comes_and_goes_s else ()
        return subscriber

    @property
    def subscribers(self) -> list[Subscriber]:
        """Those that watch a hall and have not gone."""
        return [client for client in self.clients if isinstance(client, Subscriber) and client not in self._away]

    @property
    def live(self) -> int:
        """How many have what they came for."""
        return sum(client.is_live for client in self.clients)

    @property
    def is_in(self) -> bool:
        """Nobody is on the way in any more."""
        return not self._queue and all(client.gave_up for client in self._coming)

    @property
    def is_ready(self) -> bool:
        """The load may begin."""
        return self._plan.during or self.is_in

    @property
    def ends(self) -> bool:
        """The load is over when everybody is in."""
        return self._plan.during and not self._plan.comes_and_goes_s

    def prepare(self) -> None:
        """Come now, if that is to be before the load."""
        if not self._plan.during:
            self._invite(monotonic())

    def begin(self, at: float) -> None:
        """The load begins at that time."""
        self._moving = True
        if self._plan.during:
            self._invite(at)

    def finish(self) -> None:
        """Nobody leaves or comes any more."""
        self._moving = False
        self._away.update(self.clients[number] for _, number in self._queue)
        self._queue.clear()

    def give_up(self) -> None:
        """Stop waiting for those that are on their way."""
        for client in self._coming:
            if not client.gave_up:
                self._world.stats.faults.add(Kind.CONNECTION, f"{client.name} was let in by nobody for too long.")
        self._coming.clear()
        self._queue.clear()

    # Coming and going

    def _invite(self, at: float) -> None:
        for number, moment_s in enumerate(spread(self._plan.count, self._plan.ramp_s)):
            heapq.heappush(self._queue, (at + moment_s, number))
        self._admit()

    def _admit(self) -> None:
        """Let in those whose time has come, as far as there is room."""
        now = monotonic()
        if self._timer is not None:
            self._timer.cancel()
        while self._queue and len(self._coming) < MAX_PENDING:
            meant_at, number = self._queue[0]
            if meant_at > now:
                self._timer = self._world.loop.at(meant_at, self._admit)
                return
            heapq.heappop(self._queue)
            client = self.clients[number]
            self._coming.add(client)
            client.start(meant_at)

    def _arrived(self, client: Subscriber | Idler) -> None:
        """For the first time, or again after it had lost its connection."""
        if client not in self._coming:
            return
        self._coming.discard(client)
        self.last_joined_at = monotonic()
        if self._plan.comes_and_goes_s:
            stay_s = random.expovariate(1 / self._plan.comes_and_goes_s)
            self._world.loop.after(stay_s, partial(self._leave, client))
        if self._queue:
            self._admit()

    def _leave(self, client: Subscriber | Idler) -> None:
        if not self._moving or not client.is_live:
            return
        client.stop()
        self._away.add(client)
        self._world.stats.counts[Count.LEFT] += 1
        away_s = random.expovariate(1 / (self._plan.comes_and_goes_s * _AWAY_SHARE))
        self._world.loop.after(away_s, partial(self._return, client))

    def _return(self, client: Subscriber | Idler) -> None:
        """Somebody else comes in its place."""
        if not self._moving:
            return
        number = self.clients.index(client)
        self._away.discard(client)
        self.clients[number] = self._make(number)
        heapq.heappush(self._queue, (monotonic(), number))
        self._admit()
