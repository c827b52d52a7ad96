"""``--fail-if``: limits of the figures of a test, such as ``p99>50ms``, ``join.max>2s`` or ``answered/s<900``."""

import operator
import re
from argparse import ArgumentTypeError

from attrs import frozen

from seatsync.load.stats import Count, Timing
from seatsync.load.totals import Totals, duration, number

_LIMIT = re.compile(
    r"(?:(?:(\w+)\.)?(p\d{1,2}(?:\.\d+)?|mean|max)(?=.*[a-z]$)|([a-z_]+)(/s)?(?=.*\d$))"
    r"([<>]=?)(\d+(?:\.\d+)?)(us|ms|s)?"
)
_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, None: 1.0}


@frozen
class Limit:
    """A condition under which a test has failed."""

    text: str
    name: str | None
    """Of a time or a count; ``None`` for the main time of the scenario."""
    part: str
    """Of a time, such as ``p99`` or ``max``; of a count ``/s``, or nothing."""
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """An argument type: raises `ArgumentTypeError` with a sentence."""
        found = _LIMIT.fullmatch(text.replace(" ", ""))
        if found is None:
            raise ArgumentTypeError(
                f"{text}: must be like p99>50ms, join.max>2s (us, ms or s), lost>0 or answered/s<900"
            )
        time, part, count, rate, sign, value, unit = found.groups()
        known = [*(Timing if part else Count)]
        if (name := time or count) not in {*known, None}:
            raise ArgumentTypeError(f"{text}: {name} is none of {', '.join(known)}")
        return cls(text, name, part or rate or "", sign, float(value) * _UNITS[unit])

    def failure(self, totals: Totals) -> str | None:
        """A sentence where the condition holds, or the time was never measured."""
        if self.part in {"", "/s"}:
            count = Count(self.name or "")
            value = totals.rate(totals.load.counts[count]) if self.part else totals.all.counts[count]
            shown = f"{count}{self.part} is {number(value)}"
        else:
            main = {"write": Timing.ANSWER, "join": Timing.JOINED, "idle": Timing.JOINED}
            timing = self.name or main.get(totals.plan.scenario, Timing.RECEIVED)
            histogram = dict(totals.timings()).get(Timing(timing))
            if histogram is None:
                return f"{timing} was never measured: {self.text}."
            exact = {"mean": histogram.mean_s, "max": histogram.max_s}
            value = exact[self.part] if self.part in exact else histogram.percentile(float(self.part[1:]))
            shown = f"{timing}.{self.part} is {duration(value)}"
        return f"{shown}: {self.text}." if _SIGNS[self.sign](value, self.value) else None
