"""What the server did wrong, counted by kind, with the first ten in words."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from time import monotonic
from typing import Any

from attrs import define, field, frozen

#: Faults told in words; of the others only the number is kept.
TOLD = 10


class Kind(StrEnum):
    """Kinds of fault, each with what it means."""

    MISSING = "missing revisions"
    """A subscriber was never sent a revision. Counted in revisions."""
    REPEATED = "repeated revisions"
    """A subscriber was sent a revision again. Counted in revisions."""
    REORDERED = "reordered revisions"
    """A subscriber was sent a revision, or a snapshot, after a newer one. Counted in frames."""
    STATE = "wrong states"
    """What a subscriber's frames add up to is not what the hall is."""
    LOST_WRITE = "lost writes"
    """A change that was answered with success is not in the hall."""
    UNANSWERED = "unanswered requests"
    """No answer came until the end of the test."""
    REFUSED = "refused requests"
    """An error was answered where none was due."""
    CONNECTION = "lost connections"
    """A connection ended that nobody had closed, and the test was not told to survive that."""
    PROTOCOL = "protocol faults"
    """A frame that the protocol does not allow at that point."""


@frozen
class Fault:
    """One fault."""

    at: float
    """When it was found, on `time.monotonic`."""
    kind: Kind
    words: str


@define
class Faults:
    """All faults of a process, or of the test."""

    counts: Counter[Kind] = field(factory=Counter)
    first: list[Fault] = field(factory=list)
    """At most `TOLD`, in the order they were found."""

    def add(self, kind: Kind, words: str, count: int = 1) -> None:
        """One more, which may stand for several of its kind."""
        self.counts[kind] += count
        if len(self.first) < TOLD:
            self.first.append(Fault(monotonic(), kind, words))

    @property
    def total(self) -> int:
        """How many there are."""
        return self.counts.total()

    def merge(self, other: "Faults") -> None:
        """Add what another process has found."""
        self.counts += other.counts
        self.first = sorted([*self.first, *other.first], key=lambda fault: fault.at)[:TOLD]

    def to_json(self) -> dict[str, Any]:
        """For another process."""
        return {"counts": dict(self.counts), "first": [[fault.at, fault.kind, fault.words] for fault in self.first]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Faults":
        """What `to_json` made."""
        counts = Counter({Kind(kind): count for kind, count in data["counts"].items()})
        return cls(counts, [Fault(at, Kind(kind), words) for at, kind, words in data["first"]])
