"""The clients of a process that write: they divide the seats of the halls among them, and change their own."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from seatsync.load import plan
from seatsync.load.client import Hall, World
from seatsync.load.failure import LoadError
from seatsync.load.faults import Kind
from seatsync.load.pace import Pace
from seatsync.load.promises import Promises
from seatsync.load.reader import Reader
from seatsync.load.seats import MAINTENANCE, SALES, Place, Seats
from seatsync.load.writer import Writer


class Crew:
    """Writers by plan: the first halls to the first of them, in turn, and of each hall's seats every n-th."""

    def __init__(self, world: World, share: plan.Crew, promises: Mapping[int, Promises]) -> None:
        """What is answered goes into ``promises``, by the hall's number."""
        self._world = world
        self._plan = share
        self._places: dict[int, list[Place]] = {}
        self._reader = Reader(world, share.tokens[0], world.halls, on_hall=self._read, on_error=self._refused)
        self.clients: list[Writer] = []
        self._promises = promises

    def prepare(self) -> None:
        """Find out which seats there are, then connect."""
        self._reader.start(monotonic())

    def _read(self, hall: Hall, data: Mapping[str, Any]) -> None:
        self._places[hall.number] = [Place(seat["id"], seat["status"]) for seat in data["seats"]]
        if self._reader.is_done:
            self._world.loop.at(0.0, self._start)

    def _refused(self, hall: Hall, code: str) -> None:
        raise LoadError(f"Hall {hall.id} could not be read: {code}.")

    def _start(self) -> None:
        self._reader.stop()
        share = self._plan
        self.clients = [self._make(number) for number in range(share.count)]
        for writer in self.clients:
            writer.start(monotonic())

    def _make(self, number: int) -> Writer:
        share, halls = self._plan, self._world.halls
        overall = share.first + number
        hall = halls[overall % len(halls)]
        seats = Seats(MAINTENANCE if share.maintenance else SALES)
        mine, of = overall // len(halls), -(-share.of // len(halls))
        seats.add(self._places[hall.number][mine::of])
        if len(seats) < share.bulk:
            raise LoadError(
                f"Hall {hall.id} has {len(self._places[hall.number])} seats, too few for {share.of} writers that change"
                f" {share.bulk} at once: seatsync seed hall makes larger ones."
            )
        return Writer(
            self._world,
            f"{'Attendant' if share.maintenance else 'Writer'} {overall}",
            share.tokens[number % len(share.tokens)],
            hall=hall,
            seats=seats,
            promises=self._promises[hall.number],
            pace=Pace(share.rate, share.rushes) if share.rate else None,
            pipeline=share.pipeline,
            bulk=share.bulk,
        )

    @property
    def is_ready(self) -> bool:
        """All are connected."""
        return bool(self.clients) and all(writer.is_open for writer in self.clients)

    @property
    def is_quiet(self) -> bool:
        """Nothing is under way or due."""
        return all(writer.is_quiet for writer in self.clients)

    def begin(self, at: float) -> None:
        """Start changing seats at that time; with a rate, each a little after the one before."""
        rate = self._plan.rate
        for number, writer in enumerate(self.clients):
            writer.begin(at + (number / len(self.clients) / rate if rate else 0.0))

    def finish(self) -> None:
        """Start no more changes."""
        for writer in self.clients:
            writer.finish()

    def give_up(self) -> None:
        """Stop waiting for connections and answers."""
        if not self.is_ready:
            self._world.stats.faults.add(Kind.CONNECTION, "Not all writers got a connection.")
        for writer in self.clients:
            writer.report_unanswered()
