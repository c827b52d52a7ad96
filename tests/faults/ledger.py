"""The replies to the writers of a drill, compared with the database."""

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen

from tests.faults.drill import Outcome

EVENTS = """
select seat_id, rev, new_status::text as status
from seat_event
where hall_id = $1 and kind <> 'layout' and by is not null
order by rev
"""
"""Every change of a seat that a request has made; plain SQL leaves ``by`` empty."""


@frozen
class Answered:
    """A request that was answered with success: its seats have that status at that revision."""

    rev: int
    seats: Sequence[int]
    status: str


@define
class Ledger:
    """The answers, in the order each writer had them. Writers share no seats."""

    answers: list[Answered] = field(factory=list)
    refused: list[str] = field(factory=list)
    """Answers that no request of a writer's should get."""
    unavailable: int = 0
    """Replies with the error ``ServiceUnavailable``."""
    reasons: Counter[str] = field(factory=Counter)
    """The messages of those."""
    resent: int = 0
    slowest_s: float = 0.0
    """The longest that an open connection waited for an answer, of whatever kind."""
    lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def judge(self, events: Sequence[Any], outcome: Outcome) -> None:
        """Count what the events of the hall do not bear out, seat by seat: each change once, and at its revision."""
        promised: defaultdict[int, set[tuple[int, str]]] = defaultdict(set)
        for answer in self.answers:
            for seat in answer.seats:
                promised[seat].add((answer.rev, answer.status))
        kept: defaultdict[int, set[tuple[int, str]]] = defaultdict(set)
        for event in events:
            kept[event["seat_id"]].add((event["rev"], event["status"]))
        outcome.answered += len(self.answers)
        for seat in {*promised, *kept}:
            missing, extra = sorted(promised[seat] - kept[seat]), sorted(kept[seat] - promised[seat])
            outcome.lost += len(missing)
            outcome.twice += len(extra)
            if missing or extra:
                outcome.faults.append(f"seat {seat}: answered but not done {missing[:3]}, done unasked {extra[:3]}")
        for sentence in self.refused[:3]:
            outcome.faults.append(sentence)
