"""Drives a test from its preparation to the comparison at its end."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from time import monotonic
from typing import Any, Protocol

import cattrs

from seatsync.load.address import Address
from seatsync.load.discover import check_reachable, largest_hall
from seatsync.load.fleet import Fleet, Recruit
from seatsync.load.plan import Plan, Share
from seatsync.load.scenarios import shares, tokens_needed
from seatsync.load.timetable import Timetable
from seatsync.load.totals import Process, Totals

#: Between the order and the beginning of the load, so that all processes have it in time, in seconds.
_HEAD_START_S = 0.2


class Backstage(Protocol):
    """What takes the server's side: handed in by who knows it."""

    def tokens(self, count: int) -> list[str]:
        """Session tokens of a user that may change seats."""

    def sql_writer(self, stack: ExitStack, share: Mapping[str, Any]) -> Recruit:
        """A process that changes seats by SQL and speaks as `seatsync.load.worker` does; ``stack`` ends what it needs.

        The share has ``halls``, ``rate``, ``bulk`` and ``survive``, as the plan has them.
        """


def drive(plan: Plan, backstage: Backstage, on_change: Callable[[Totals], None]) -> Totals:
    """Run the test. ``on_change`` is called whenever there is something new to show.

    Raises `LoadError`. A KeyboardInterrupt while the load is on ends that, and the test goes on to its comparison; at
    any other time it is the caller's.
    """
    address = Address.parse(plan.url)
    check_reachable(address)
    wanted = tokens_needed(plan)
    tokens = backstage.tokens(wanted) if wanted else []
    halls = plan.halls or (largest_hall(address, tokens[0] if tokens else None),)
    with ExitStack() as stack:
        recruits = [_recruit(share) for share in shares(plan, halls, tokens)]
        if plan.via == "sql" and plan.rate:
            share = {"halls": halls, "rate": plan.rate, "bulk": plan.bulk, "survive": plan.survive}
            recruits.append(backstage.sql_writer(stack, share))
        totals = Totals(plan, halls, [Process(recruit.name) for recruit in recruits])

        def on_stats(process: int, message: Mapping[str, Any]) -> None:
            totals.add(process, message)
            on_change(totals)

        timetable = Timetable.create()
        stack.callback(os.close, timetable)
        fleet = stack.enter_context(Fleet.start(recruits, timetable, on_stats))
        _conduct(fleet, plan, totals)
    return totals


def _recruit(share: Share) -> Recruit:
    return Recruit(share.name, cattrs.unstructure(share))


def _conduct(fleet: Fleet, plan: Plan, totals: Totals) -> None:
    def tell(order: str, answer: str, patience_s: float, **details: Any) -> list[Mapping[str, Any]]:
        totals.phase = order
        fleet.tell({"do": order, "patience_s": patience_s, **details})
        return fleet.wait(answer, patience_s)

    tell("prepare", "ready", plan.ramp_s + plan.patience_s)
    totals.went_at = at = monotonic() + _HEAD_START_S
    if plan.scenario == "join":
        done = tell("go", "done", plan.ramp_s + plan.patience_s, at=at)
        totals.load_s = max(message["at"] for message in done) - at
    else:
        totals.phase = "go"
        fleet.tell({"do": "go", "patience_s": plan.patience_s, "at": at})
        try:
            fleet.listen(at + plan.duration_s)
        except KeyboardInterrupt:
            totals.interrupted = True
        totals.load_s = max(0.001, monotonic() - at)
    tell("stop", "quiet", plan.patience_s)
    tell("check", "result", plan.patience_s)
