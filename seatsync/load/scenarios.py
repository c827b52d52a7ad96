"""The scenarios: what each client process does in each of them.

Who writes and who watches are processes of their own, so that a burst of frames at the watchers does not delay the
changes, and is not measured as if the server had.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from attrs import evolve

from seatsync.load.plan import Crew, Crowd, Plan, Share

#: How many changes the server lets one connection have under way; with a schedule, none waits for another below that.
MOST_PIPELINED = 64

#: Of a Friday evening: sellers and attendants for so many visitors, the seats of one attendant's change, changes a
#: second by each attendant, and which part of the evening people take to come, and stay.
VISITORS_PER_SELLER, VISITORS_PER_ATTENDANT, ROW, ATTENDANT_RATE = 25, 200, 10, 0.2
COMING, STAY = 0.25, 0.4


def tokens_needed(plan: Plan) -> int:
    """How many sessions the test wants."""
    readers = plan.clients if plan.sign_in or plan.scenario == "join" else 0
    match plan.scenario:
        case "watch" if plan.via == "sql" or not plan.rate:
            writers = 0
        case "watch" | "write":
            writers = plan.writers
        case "mixed":
            writers = _sellers(plan) + _attendants(plan)
        case _:
            writers = 0
    return readers + writers


def shares(plan: Plan, halls: tuple[int, ...], tokens: Sequence[str]) -> list[Share]:
    """The shares of the client processes. ``tokens`` are dealt out in turn if there are fewer than needed."""
    make = partial(
        Share,
        url=plan.url,
        halls=halls,
        survive=plan.survive,
        heartbeat_s=plan.heartbeat_s,
        sources=plan.sources,
        reader_token=tokens[0] if tokens else None,
    )
    readers = plan.clients if plan.sign_in or plan.scenario == "join" else 0
    readers_tokens, writers_tokens = _deal(tokens, readers), _deal(tokens, tokens_needed(plan) - readers, readers)
    crowd = Crowd(first=1, count=plan.clients, ramp_s=plan.ramp_s, same_eid=plan.same_eid, tokens=readers_tokens)
    crew = Crew(
        first=0,
        count=plan.writers,
        of=plan.writers,
        tokens=writers_tokens,
        rate=plan.rate / plan.writers if plan.writers else 0.0,
        pipeline=MOST_PIPELINED if plan.rate else plan.pipeline,
        bulk=plan.bulk,
    )
    match plan.scenario:
        case "watch":
            watching = [make(name=f"watchers {n}", crowd=part) for n, part in _split_crowd(crowd, plan.processes)]
            return [*watching, make(name="writers", crews=(crew,))] if writers_tokens else watching
        case "write":
            writing = [make(name=f"writers {n}", crews=(part,)) for n, part in _split_crew(crew, plan.processes)]
            return [*writing, make(name="witness", crowd=Crowd(first=1, count=len(halls)))]
        case "join":
            crowd = evolve(crowd, during=True)
        case "idle":
            crowd = evolve(crowd, subscribe=plan.subscribe)
        case "mixed":
            crowd = evolve(
                crowd,
                during=True,
                ramp_s=plan.duration_s * COMING,
                comes_and_goes_s=plan.duration_s * STAY,
            )
            coming = [make(name=f"visitors {n}", crowd=part) for n, part in _split_crowd(crowd, plan.processes)]
            return [*coming, make(name="staff", crews=_staff(plan, writers_tokens))]
    return [make(name=f"clients {n}", crowd=part) for n, part in _split_crowd(crowd, plan.processes)]


def _deal(tokens: Sequence[str], count: int, start: int = 0) -> tuple[str, ...]:
    return tuple(tokens[number % len(tokens)] for number in range(start, start + count)) if tokens else ()


def _counts(count: int, processes: int) -> list[tuple[int, int]]:
    """Start and size of each process's part; none is empty."""
    ends = [count * number // processes for number in range(processes + 1)]
    return [(start, end - start) for start, end in pairwise(ends) if end > start]


def _split_crowd(crowd: Crowd, processes: int) -> list[tuple[int, Crowd]]:
    return [
        (
            number,
            evolve(crowd, first=crowd.first + start, count=count, tokens=crowd.tokens[start : start + count]),
        )
        for number, (start, count) in enumerate(_counts(crowd.count, processes), 1)
    ]


def _split_crew(crew: Crew, processes: int) -> list[tuple[int, Crew]]:
    return [
        (number, evolve(crew, first=start, count=count, tokens=crew.tokens[start : start + count]))
        for number, (start, count) in enumerate(_counts(crew.count, processes), 1)
    ]


def _sellers(plan: Plan) -> int:
    return max(1, plan.clients // VISITORS_PER_SELLER)


def _attendants(plan: Plan) -> int:
    return max(1, plan.clients // VISITORS_PER_ATTENDANT)


def _staff(plan: Plan, tokens: tuple[str, ...]) -> tuple[Crew, ...]:
    """Sellers, with rushes, and attendants that take rows of seats out of service and back."""
    sellers, attendants = _sellers(plan), _attendants(plan)
    of = sellers + attendants
    selling = Crew(
        first=0,
        count=sellers,
        of=of,
        tokens=tokens[:sellers],
        rate=plan.rate / sellers,
        rushes=True,
        pipeline=MOST_PIPELINED,
    )
    attending = Crew(
        first=sellers,
        count=attendants,
        of=of,
        tokens=tokens[sellers:],
        rate=ATTENDANT_RATE,
        pipeline=MOST_PIPELINED,
        bulk=ROW,
        maintenance=True,
    )
    return (selling, attending)
