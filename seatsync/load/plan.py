"""The plan of a test, and each client process's share of it: plain data.

Writers and subscribers run in separate processes: a burst of frames at the subscribers would delay the changes, and be
measured as if the server had delayed them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, TypeAlias, TypeVar

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


@frozen(kw_only=True)
class Readers:
    """Clients that read: ``count`` of them, numbered from ``first``."""

    first: int = 1
    count: int
    tokens: tuple[str, ...] = ()
    """Used in turn; none: guests."""


@frozen(kw_only=True)
class Writers:
    """Clients that write: ``count`` of ``of``, numbered from ``first``. The seats are divided among all."""

    first: int = 0
    count: int
    of: int
    tokens: tuple[str, ...]
    rate: float = 0.0
    """Changes a second by each of them; 0: as fast as replies come."""
    rushes: bool = False
    pipeline: int = 1
    bulk: int = 1


@frozen(kw_only=True)
class Share:
    """The part of a test that one process does."""

    name: str
    plan: Plan
    halls: Halls
    token: str | None = None
    """For reading halls at the end."""
    readers: Readers | None = None
    writers: Writers | None = None

    @property
    def connections(self) -> int:
        """The most connections open at a time, those of the final check included."""
        return sum(clients.count for clients in (self.readers, self.writers) if clients is not None) + 1


Part = TypeVar("Part", Readers, Writers)


def tokens_needed(plan: Plan) -> int:
    """The number of sessions that the test needs."""
    return _signed_in(plan) + (plan.writers if plan.changes_seats else 0)


def _signed_in(plan: Plan) -> int:
    return plan.clients if plan.sign_in or plan.scenario == "join" else 0


def shares(plan: Plan, halls: Halls, tokens: Sequence[str]) -> list[Share]:
    """The shares of the client processes. ``tokens`` are used in turn if there are fewer than needed."""
    share = partial(Share, plan=plan, halls=halls, token=tokens[0] if tokens else None)
    signed_in = _signed_in(plan)
    writers_tokens = _deal(tokens, plan.writers if plan.changes_seats else 0, signed_in)
    readers = Readers(count=plan.clients, tokens=_deal(tokens, signed_in))
    writers = Writers(
        count=plan.writers,
        of=plan.writers,
        tokens=writers_tokens,
        rate=plan.rate / plan.writers if plan.writers else 0.0,
        rushes=plan.scenario == "mixed",
        pipeline=MAX_PIPELINE if plan.rate else plan.pipeline,
        bulk=plan.bulk,
    )
    if plan.scenario == "write":
        # One subscriber a hall has the written streams verified, too.
        witness = share(name="witness", readers=Readers(count=len(halls)))
        return [*(share(name=f"writers {n}", writers=part) for n, part in _split(writers, plan.processes)), witness]
    name = {"watch": "subscribers", "mixed": "visitors"}.get(plan.scenario, "clients")
    reading = [share(name=f"{name} {n}", readers=part) for n, part in _split(readers, plan.processes)]
    return [*reading, share(name="writers", writers=writers)] if writers_tokens else reading


def _deal(tokens: Sequence[str], count: int, start: int = 0) -> tuple[str, ...]:
    return tuple(tokens[number % len(tokens)] for number in range(start, start + count)) if tokens else ()


def _split(whole: Part, processes: int) -> list[tuple[int, Part]]:
    """A part for each process, with the process's number; none is empty."""
    ends = [whole.count * number // processes for number in range(processes + 1)]
    spans = [(start, end) for start, end in pairwise(ends) if end > start]
    return [
        (number, evolve(whole, first=whole.first + start, count=end - start, tokens=whole.tokens[start:end]))
        for number, (start, end) in enumerate(spans, 1)
    ]
