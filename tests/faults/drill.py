"""A drill, and its outcome."""

from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen


class Skipped(Exception):
    """The drill cannot be run on this machine; the message is one sentence that names what is missing."""


@frozen
class Stage:
    """Where a drill is run."""

    directory: Path
    """Its own, gone afterwards; short enough for sockets."""
    quick: bool
    """Shorter waits and fewer clients: for trying a drill out."""

    def choose(self, full: float, quick: float) -> float:
        """How long or how many, according to `quick`."""
        return quick if self.quick else full


@frozen
class Measure:
    """One figure, and what it is meant to be at most."""

    name: str
    value: float
    limit: float | None = None
    unit: str = "s"

    @property
    def holds(self) -> bool:
        """Whether it is within its limit."""
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        shown = f"{self.value:.2f}" if isinstance(self.value, float) else f"{self.value}"
        limit = "" if self.limit is None else f" (at most {self.limit:g})"
        return f"{self.name} {shown} {self.unit}{limit}".replace("  ", " ")


@define
class Outcome:
    """The findings of a drill."""

    detection_s: float | None = None
    """From the fault to the server's saying that it is not ready."""
    recovery_s: float | None = None
    """From when recovery was possible to all being well again."""
    answered: int = 0
    lost: int = 0
    """Answered writes that the database does not have."""
    twice: int = 0
    """Changes in the database that no write explains, as when one is done twice."""
    missing: int = 0
    repeated: int = 0
    reordered: int = 0
    measures: list[Measure] = field(factory=list)
    faults: list[str] = field(factory=list)
    """Faults, in words."""

    def measure(self, name: str, value: float, limit: float | None = None, unit: str = "s") -> None:
        """Note a figure."""
        self.measures.append(Measure(name, value, limit, unit))

    def require(self, holds: bool, words: str) -> None:
        """Note a fault unless something holds."""
        if not holds:
            self.faults.append(words)

    @property
    def correct(self) -> bool:
        """Nothing was lost, repeated or wrong."""
        return not (self.lost or self.twice or self.missing or self.repeated or self.reordered or self.faults)

    @property
    def verdict(self) -> str:
        """``passed``, ``late`` (correct, but a figure is over its limit) or ``FAILED``."""
        if not self.correct:
            return "FAILED"
        return "passed" if all(measure.holds for measure in self.measures) else "late"


@frozen
class Drill:
    """One drill."""

    name: str
    meaning: str
    run: Callable[[Stage], Outcome]


DRILLS: dict[str, Drill] = {}
"""All drills, by name, in the order they are run."""


def drill(run: Callable[[Stage], Outcome]) -> Callable[[Stage], Outcome]:
    """Make a function a drill of the same name; its docstring's first line is the drill's meaning."""
    meaning = (run.__doc__ or "").strip().splitlines()[0].rstrip(".")
    DRILLS[run.__name__] = Drill(run.__name__, meaning, run)
    return run
