"""The clients of a process: a pool that reads and pools that write, prepared, started and finished together."""

import heapq
import random
from collections import deque
from functools import partial
from time import monotonic

from attrs import define, field

from seatsync.load import LoadError
from seatsync.load.client import Context
from seatsync.load.plan import Clients, Halls
from seatsync.load.schedule import spread
from seatsync.load.stats import Count, Kind
from seatsync.load.subscriber import USER, Subscriber
from seatsync.load.verifier import Verifier
from seatsync.load.writer import Seat, Writer

#: Clients that may be joining at a time: more would overflow the server's accept queue, and the test would measure the
#: kernel's retries. Those that wait count from when they were due.
MAX_JOINING = 1024

#: One client in so many checks that the server has accepted its token; visitors all do.
_CHECKS_USER = 50


@define(eq=False, slots=False)
class ReaderPool:
    """Clients that connect, stay or leave, and are compared at the end."""

    context: Context
    part: Clients
    clients: list[Subscriber] = field(init=False)
    last_joined_at: float = field(default=0.0, init=False)
    """When the latest of them was live, on `time.monotonic`."""
    _queue: list[tuple[float, int]] = field(factory=list, init=False)
    _joining: set[Subscriber] = field(factory=set, init=False)
    _is_moving: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.clients = [self._make(index) for index in range(self.part.count)]

    def _make(self, index: int) -> Subscriber:
        part, context = self.part, self.context
        token = part.tokens[index] if part.tokens else None
        number = part.first + index
        hall = context.halls[number % len(context.halls)]
        eid = "hall" if context.plan.same_eid else f"hall-{number}"
        name = f"Subscriber {number}"
        checks_user = (USER,) if token is not None and number % _CHECKS_USER == 0 else ()
        return Subscriber(
            context,
            name,
            token,
            hall=hall,
            verifier=Verifier(name, eid, hall.views, context.stats),
            on_live=self._joined,
            further=("cinemas.subscribe", USER) if context.plan.mean_stay_s else checks_user,
        )

    @property
    def subscribers(self) -> list[Subscriber]:
        """Those that subscribe to a hall and have not left."""
        return [client for client in self.clients if client.is_started] if self.context.plan.subscribe else []

    @property
    def live(self) -> int:
        """The number of clients that are connected and, where they subscribe, subscribed."""
        return sum(client.is_live for client in self.clients)

    @property
    def is_quiet(self) -> bool:
        """No client is joining any more."""
        return not self._queue and all(client.gave_up for client in self._joining)

    @property
    def is_ready(self) -> bool:
        """The load may begin."""
        return self.context.plan.joins_under_load or self.is_quiet

    def prepare(self) -> None:
        """Connect now, unless that is part of the load."""
        if not self.context.plan.joins_under_load:
            self._enqueue_all(monotonic())

    def begin(self, at: float) -> None:
        """The load begins at that time."""
        self._is_moving = True
        if self.context.plan.joins_under_load:
            self._enqueue_all(at)

    def finish(self) -> None:
        """Let no client leave or connect any more."""
        self._is_moving = False
        self._queue.clear()

    def give_up(self) -> None:
        """Stop waiting for those that are joining."""
        for client in self._joining:
            if not client.gave_up:
                client.fault(Kind.CONNECTION, "could not join in time")
        self._joining.clear()
        self._queue.clear()

    # Joining and leaving

    def _enqueue_all(self, at: float) -> None:
        delays_s = spread(self.part.count, self.context.plan.ramp_s)
        self._queue = [(at + delay_s, index) for index, delay_s in enumerate(delays_s)]
        for due_at in sorted({due_at for due_at, _ in self._queue}):
            self.context.loop.at(due_at, self._admit)

    def _admit(self) -> None:
        """Connect the clients that are due, as far as `MAX_JOINING` allows."""
        now = monotonic()
        while self._queue and self._queue[0][0] <= now and len(self._joining) < MAX_JOINING:
            due_at, index = heapq.heappop(self._queue)
            client = self.clients[index]
            self._joining.add(client)
            client.start(due_at)

    def _joined(self, client: Subscriber) -> None:
        """For the first time, or again after it had lost its connection."""
        if client not in self._joining:
            return
        self._joining.discard(client)
        self.last_joined_at = monotonic()
        if self.context.plan.mean_stay_s:
            stay_s = random.expovariate(1 / self.context.plan.mean_stay_s)
            self.context.loop.after(stay_s, partial(self._leave, client))
        if self._queue:
            self._admit()

    def _leave(self, client: Subscriber) -> None:
        """Let a new client take its place."""
        if not self._is_moving or not client.is_live:
            return
        client.stop()
        self.context.stats.counts[Count.LEFT] += 1
        index = self.clients.index(client)
        self.clients[index] = self._make(index)
        heapq.heappush(self._queue, (monotonic(), index))
        self._admit()


@define(eq=False, slots=False)
class WriterPool:
    """Clients that write. Writers are dealt out over the halls in turn, and each hall's seats over its writers."""

    context: Context
    part: Clients
    halls: Halls
    clients: list[Writer] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Raises `LoadError` if there are too few seats."""
        self.clients = [self._make(index) for index in range(self.part.count)]

    def prepare(self) -> None:
        """Connect."""
        for writer in self.clients:
            writer.start(monotonic())

    def _make(self, index: int) -> Writer:
        plan, halls = self.context.plan, self.context.halls
        number = self.part.first + index
        hall = halls[number % len(halls)]
        seats = [Seat(*seat) for seat in self.halls[hall.id].items()]
        mine = deque(seats[number // len(halls) :: -(-plan.writers // len(halls))])
        if len(mine) < plan.bulk:
            raise LoadError(
                f"Hall {hall.id} has {len(seats)} seats, too few for {plan.writers} writers that change {plan.bulk} at"
                " once: seatsync seed hall makes larger ones."
            )
        return Writer(self.context, f"Writer {number}", self.part.tokens[index], hall=hall, seats=mine)

    @property
    def is_ready(self) -> bool:
        """All are connected."""
        return all(writer.is_open for writer in self.clients)

    @property
    def is_quiet(self) -> bool:
        """No change is in flight or due."""
        return all(writer.is_quiet for writer in self.clients)

    def begin(self, at: float) -> None:
        """Start changing seats at that time; at a rate, evenly staggered."""
        rate = self.context.plan.rate
        for number, writer in enumerate(self.clients, self.part.first):
            writer.begin(at + (number / rate if rate else 0.0))

    def finish(self) -> None:
        """Start no more changes."""
        for writer in self.clients:
            writer.finish()

    def give_up(self) -> None:
        """Stop waiting for connections and replies."""
        if not self.is_ready:
            self.context.stats.fault(Kind.CONNECTION, "Not all writers got a connection.")
        for writer in self.clients:
            writer.report_unanswered()
