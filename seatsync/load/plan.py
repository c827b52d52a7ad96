"""The plan of a test, and each client process's share of it: plain data.

Writers and subscribers run in separate processes: a burst of frames at the subscribers would delay the changes, and be
measured as if the server had delayed them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle, islice, pairwise
from typing import Literal, TypeAlias

from attrs import evolve, field, frozen

Scenario: TypeAlias = Literal["watch", "write", "join", "idle", "mixed"]

Halls: TypeAlias = Mapping[int, Mapping[int, str]]
"""The halls of a test by id, each with the statuses of its seats by id where the test changes them."""

#: Changes that the server lets one connection have in flight; scheduled changes wait for each other only beyond that.
MAX_PIPELINE = 64

#: The mixed scenario: visitors for each seller, and the shares of the duration over which visitors connect, and which
#: they stay on average.
VISITORS_PER_SELLER = 25
RAMP_SHARE, STAY_SHARE = 0.25, 0.4


@frozen(kw_only=True)
class Plan:
    """The whole test: the arguments of `seatsync.load.arguments`, which describes them. Times in seconds."""

    scenario: Scenario
    url: str
    processes: int
    duration_s: float = 0.0
    patience_s: float
    """The time that replies and frames may be outstanding, at every point where the test waits for all of them."""
    survive: bool
    heartbeat_s: float
    halls: tuple[int, ...] = field(converter=tuple)
    """Ids; none: the largest hall."""
    clients: int = 0
    ramp_s: float = 0.0
    mean_stay_s: float = 0.0
    """The time that one stays before another takes its place; 0: for good."""
    sign_in: bool = False
    same_eid: bool = False
    subscribe: bool = True
    writers: int = 0
    rate: float = 0.0
    """Changes a second by all of them together; 0: none, or as fast as replies come."""
    pipeline: int = 1
    bulk: int = 1

    def evening(self) -> "Plan":
        """With visitors who come and go, and sellers for them."""
        return evolve(
            self,
            ramp_s=self.duration_s * RAMP_SHARE,
            mean_stay_s=self.duration_s * STAY_SHARE,
            writers=max(1, self.clients // VISITORS_PER_SELLER),
        )

    @property
    def joins_under_load(self) -> bool:
        """Clients connect when the load begins, not before it."""
        return self.scenario in {"join", "mixed"}

    @property
    def changes_seats(self) -> bool:
        """It has writers."""
        return self.writers > 0 and (self.scenario != "watch" or self.rate > 0)

    @property
    def rushes(self) -> bool:
        """At times the rate is several times as high."""
        return self.scenario == "mixed"

    @property
    def in_flight(self) -> int:
        """Changes that each writer may have in flight."""
        return MAX_PIPELINE if self.rate else self.pipeline


@frozen(kw_only=True)
class Clients:
    """Clients of one process that read, or that write: ``count`` of them, numbered from ``first``."""

    first: int
    count: int
    tokens: tuple[str, ...] = ()
    """One for each; none: guests."""


@frozen(kw_only=True)
class Share:
    """The part of a test that one process does."""

    name: str
    plan: Plan
    halls: Halls
    token: str | None = None
    """For reading halls at the end."""
    readers: Clients | None = None
    writers: Clients | None = None

    @property
    def connections(self) -> int:
        """The most connections open at a time, those of the final check included."""
        return sum(clients.count for clients in (self.readers, self.writers) if clients is not None) + 1


def tokens_needed(plan: Plan) -> int:
    """The number of sessions that the test needs."""
    return _signed_in(plan) + (plan.writers if plan.changes_seats else 0)


def _signed_in(plan: Plan) -> int:
    return plan.clients if plan.sign_in or plan.scenario == "join" else 0


def shares(plan: Plan, halls: Halls, tokens: Sequence[str]) -> list[Share]:
    """The shares of the client processes. ``tokens`` are used in turn if there are fewer than needed."""
    share = partial(Share, plan=plan, halls=halls, token=tokens[0] if tokens else None)
    supply = cycle(tokens)
    readers = Clients(first=1, count=plan.clients, tokens=tuple(islice(supply, _signed_in(plan))))
    writers = Clients(first=0, count=plan.writers, tokens=tuple(islice(supply, plan.writers)))
    if plan.scenario == "write":
        # One subscriber a hall has the written streams verified, too.
        witness = share(name="witness", readers=Clients(first=1, count=len(halls)))
        return [*(share(name=f"writers {n}", writers=part) for n, part in _split(writers, plan.processes)), witness]
    name = {"watch": "subscribers", "mixed": "visitors"}.get(plan.scenario, "clients")
    reading = [share(name=f"{name} {n}", readers=part) for n, part in _split(readers, plan.processes)]
    return [*reading, share(name="writers", writers=writers)] if plan.changes_seats else reading


def _split(whole: Clients, processes: int) -> list[tuple[int, Clients]]:
    """A part for each process, with the process's number; none is empty."""
    ends = [whole.count * number // processes for number in range(processes + 1)]
    spans = [(start, end) for start, end in pairwise(ends) if end > start]
    return [
        (number, evolve(whole, first=whole.first + start, count=end - start, tokens=whole.tokens[start:end]))
        for number, (start, end) in enumerate(spans, 1)
    ]
