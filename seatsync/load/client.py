"""One simulated client: a connection, and a new one whenever that is lost."""

from time import monotonic

from attrs import define, frozen

from seatsync.load.address import Address, Sources
from seatsync.load.connection import Connection
from seatsync.load.faults import Kind
from seatsync.load.frames import Closing
from seatsync.load.loop import Loop, Timer
from seatsync.load.retry import FATAL, Backoff
from seatsync.load.stats import Count, Stats, Timing
from seatsync.load.timetable import Timetable
from seatsync.load.view import Album

#: How long a handshake may take, in seconds.
HANDSHAKE_S = 15.0

#: Heartbeats that may go unanswered, and the least silence that counts as the server's end, in seconds.
MISSED_HEARTBEATS, SILENCE_S = 3, 10.0


@frozen
class Hall:
    """One of the halls of the test."""

    number: int
    """Its place among them: what the timetable knows it by."""
    id: int
    album: Album


@define(eq=False)
class World:
    """What all clients of a process share."""

    loop: Loop
    address: Address
    sources: Sources
    timetable: Timetable
    stats: Stats
    halls: list[Hall]
    survive: bool
    """A lost connection is no fault."""
    heartbeat_s: float
    """0 for none."""


class Client:
    """Subclasses say hello in `opened`, read in `text`, and may add to `lost`."""

    def __init__(self, world: World, name: str, token: str | None) -> None:
        self.world = world
        self.name = name
        """As faults call it."""
        self._token = token
        self._connection: Connection | None = None
        self._backoff = Backoff()
        self._retry: Timer | None = None
        self._is_open = False
        self._gave_up = False
        self._has_worked = False
        self._meant_at = 0.0
        self._tried_at = 0.0
        self._lost_at: float | None = None

    @property
    def is_open(self) -> bool:
        """The handshake is done, and the connection stands."""
        return self._is_open

    @property
    def gave_up(self) -> bool:
        """It was told something after which there is no use in trying again."""
        return self._gave_up

    def start(self, meant_at: float) -> None:
        """Connect now, though it may have been meant to happen earlier: times count from ``meant_at``."""
        self._meant_at = meant_at
        self._connect()

    def stop(self) -> None:
        """Close the connection, if there is one, and make no more."""
        if self._retry is not None:
            self._retry.cancel()
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._is_open = False

    def send(self, payload: bytes) -> None:
        """Send a message; one that cannot be sent because the connection is gone is lost with it."""
        if self._connection is not None:
            self._connection.send(payload)

    def look_after(self, now: float) -> None:
        """Send a heartbeat, and give up a connection on which nothing has come for too long. Called now and then."""
        connection, heartbeat_s = self._connection, self.world.heartbeat_s
        if connection is None:
            return
        if not self._is_open and now - self._tried_at > HANDSHAKE_S:
            self._give_up(connection, "the handshake was not answered")
        elif self._is_open and heartbeat_s:
            if now - connection.last_received > max(SILENCE_S, MISSED_HEARTBEATS * heartbeat_s):
                self._give_up(connection, "heartbeats were not answered")
            else:
                connection.send(b"1")

    def _give_up(self, connection: Connection, why: str) -> None:
        connection.close()
        self.lost(Closing(1006, why))

    def _connect(self) -> None:
        self._tried_at = monotonic()
        world = self.world
        try:
            self._connection = Connection(world.loop, world.address, world.sources, self._token, self)
        except OSError as error:
            self.lost(Closing(1006, f"no socket: {error.strerror}"))

    # What the connection calls

    def opened(self, _now: float) -> None:
        """The handshake is done."""
        self._is_open = True
        self._backoff.reset()
        self.world.stats.counts[Count.OPENED] += 1

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A message."""
        raise NotImplementedError

    def lost(self, closing: Closing) -> None:
        """The connection has ended; another is made after a while."""
        stats, was_open = self.world.stats, self._is_open
        self._connection = None
        self._is_open = False
        if self._has_worked and self._lost_at is None:
            self._lost_at = monotonic()
        stats.counts[Count.LOST] += was_open
        said = f"{closing.code} {closing.reason}".strip()
        if closing.code in FATAL:
            self._gave_up = True
            stats.faults.add(Kind.PROTOCOL, f"{self.name} was closed with {said}.")
            return
        if not self.world.survive:
            verb = "lost its connection" if was_open else "got no connection"
            stats.faults.add(Kind.CONNECTION, f"{self.name} {verb}: {said}.")
        self._retry = self.world.loop.after(self._backoff.wait_s(closing), self._connect)

    def time_opening(self, now: float) -> None:
        """Note how long it took until the first handshake was done."""
        if not self._has_worked:
            self.world.stats.timings[Timing.OPENED].record(now - self._meant_at)

    def back(self, now: float) -> bool:
        """The client is at work; ``True`` if it was before, and had lost its connection."""
        lost_at, self._lost_at = self._lost_at, None
        self._has_worked = True
        if lost_at is not None:
            self.world.stats.timings[Timing.AWAY].record(now - lost_at)
        return lost_at is not None
