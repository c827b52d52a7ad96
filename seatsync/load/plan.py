"""What a test does, as a whole and by process: plain data that goes to the client processes as JSON."""

from typing import Literal, TypeAlias

from attrs import frozen

Scenario: TypeAlias = Literal["watch", "write", "join", "idle", "mixed"]


@frozen(kw_only=True)
class Plan:
    """The whole test, as the command line wants it. Times in seconds."""

    scenario: Scenario
    url: str
    processes: int
    duration_s: float
    patience_s: float
    """How long answers and frames may be outstanding, at every point where the test waits for all of them."""
    survive: bool
    heartbeat_s: float
    sources: int
    """Addresses of this machine to connect from; 0: as many as needed."""
    halls: tuple[int, ...]
    """Ids; none: the largest hall there is."""
    clients: int = 0
    """Those that watch, join, idle or come and go."""
    ramp_s: float = 0.0
    """Over how long they come."""
    sign_in: bool = False
    """Those that only read sign in too."""
    same_eid: bool = False
    """All subscribers use one eid, so that the server has the same bytes for all."""
    subscribe: bool = True
    """Idle connections watch a hall."""
    writers: int = 0
    """Connections that change seats."""
    rate: float = 0.0
    """Changes a second by all of them together; 0: none, or as many as answers come."""
    pipeline: int = 1
    """Changes under way on one connection, at most."""
    bulk: int = 1
    """Seats in one change."""
    via: Literal["protocol", "sql"] = "protocol"


@frozen(kw_only=True)
class Crowd:
    """Some of the clients that read: ``count`` of them, numbered from ``first``."""

    first: int
    count: int
    during: bool = False
    """They come when the load begins, not before it."""
    delay_s: float = 0.0
    """How much later the first of them comes."""
    ramp_s: float = 0.0
    subscribe: bool = True
    same_eid: bool = False
    comes_and_goes_s: float = 0.0
    """How long one stays on average before it leaves, and comes again; 0: for good."""
    tokens: tuple[str, ...] = ()
    """Used in turn; none: guests."""


@frozen(kw_only=True)
class Crew:
    """Some of the clients that write: ``count`` of ``of``, numbered from ``first``. The seats are divided among all."""

    first: int
    count: int
    of: int
    tokens: tuple[str, ...]
    rate: float = 0.0
    """Changes a second by each of them; 0: as many as answers come."""
    rushes: bool = False
    pipeline: int = 1
    bulk: int = 1
    maintenance: bool = False


@frozen(kw_only=True)
class Share:
    """The part of a test that one process does."""

    name: str
    url: str
    halls: tuple[int, ...]
    survive: bool
    heartbeat_s: float
    sources: int
    reader_token: str | None = None
    crowd: Crowd | None = None
    crews: tuple[Crew, ...] = ()

    @property
    def connections(self) -> int:
        """How many it may have open at a time, with the reader's."""
        crowd = self.crowd.count if self.crowd else 0
        return crowd + sum(crew.count for crew in self.crews) + 1
