"""Many connections in this process, on `seatsync.load`'s loop: opened a few at a time, driven until all is done."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from time import monotonic

from attrs import define, field

from seatsync.client.closing import Closing
from seatsync.load.address import Address
from seatsync.load.connection import Connection
from seatsync.load.loop import Loop
from tests.bench.processes import BenchError

#: Handshakes under way at the same time.
AT_ONCE = 64

#: Longer than any step of a round takes, in seconds.
PATIENCE_S = 60.0


class Member:
    """One connection's owner: what it does with what it is sent is up to the subclasses."""

    connection: Connection
    herd: "Herd"

    def opened(self, now: float) -> None:
        """The handshake is done."""
        self.herd.member_opened()

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """A text frame: its payload is ``data[start:end]``."""

    def lost(self, closing: Closing) -> None:
        """The server ended the connection: no measure expects that."""
        self.herd.fail(f"A connection was lost: {closing.code} {closing.reason}")


@define(eq=False)
class Herd:
    """The connections to one server."""

    url: str
    loop: Loop = field(factory=Loop)
    members: list[Member] = field(factory=list)
    opened: int = 0
    _waiting: Iterator[tuple[Member, str | None]] = field(factory=lambda: iter(()))
    _wanted: int = 0
    _failure: str | None = None
    _address: Address | None = None

    def open(self, members: Iterable[Member], tokens: Iterable[str] | None = None, at_once: int = AT_ONCE) -> None:
        """Connect them, ``at_once`` handshakes at a time, and return when all are open. Raises `BenchError`."""
        members = list(members)
        self._address = Address.parse(self.url, len(members))
        self._wanted = self.opened + len(members)
        self._waiting = iter(zip(members, tokens if tokens is not None else repeat(None, len(members)), strict=True))
        for _ in range(at_once):
            self._connect_next()
        self.run_until(lambda: self.opened >= self._wanted, "not every connection was opened")

    def _connect_next(self) -> None:
        member, token = next(self._waiting, (None, None))
        if member is not None and self._address is not None:
            member.herd = self
            self.members.append(member)
            member.connection = Connection(self.loop, self._address, token, member)

    def member_opened(self) -> None:
        """One more is open; the next may connect."""
        self.opened += 1
        if self.opened >= self._wanted:
            self.loop.stop()
        else:
            self._connect_next()

    def fail(self, sentence: str) -> None:
        """Something happened that makes the round worthless."""
        self._failure = sentence
        self.loop.stop()

    def run_until(self, done: Callable[[], bool], complaint: str, patience_s: float = PATIENCE_S) -> float:
        """Serve the connections until ``done``, looking whenever the loop is stopped; returns the time when it was.

        Raises `BenchError` with the complaint when it takes longer than ``patience_s``.
        """
        give_up_at = monotonic() + patience_s
        self.loop.at(give_up_at, self.loop.stop)
        while not done():
            if self._failure is not None:
                raise BenchError(self._failure)
            if monotonic() >= give_up_at:
                raise BenchError(f"After {patience_s:.0f} s {complaint}.")
            self.loop.run()
        return monotonic()

    def run_for(self, seconds: float) -> None:
        """Serve the connections for a while."""
        end = monotonic() + seconds
        self.loop.at(end, self.loop.stop)
        self.run_until(lambda: monotonic() >= end, "the time was not over", seconds + PATIENCE_S)

    def close(self) -> None:
        """Close every connection."""
        for member in self.members:
            member.connection.close()
        self.loop.close()


@contextmanager
def herd(url: str) -> Iterator[Herd]:
    """Connections to that server, closed at the end."""
    made = Herd(url)
    try:
        yield made
    finally:
        made.close()
