"""Results, kept beside the report: a measure taken again replaces its own figures alone."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from tests.bench.arithmetic import Rounds

FILE = Path(__file__).parent / "results.json"


@define
class Outcome:
    """One measure's rounds, and what a reader has to know of them."""

    date: str
    machine: Mapping[str, str]
    load: float
    """The machine's load average when it began: anything but its own traces is noise."""
    update_bytes: int
    """How long the frames' payloads were."""
    hall_bytes: int
    absent: Mapping[str, str]
    """Entrants that did not take part, and why."""
    rounds: Rounds = field(factory=Rounds)


@define
class Results:
    """The outcomes by the measure's name."""

    outcomes: dict[str, Outcome] = field(factory=dict)

    @classmethod
    def load(cls) -> "Results":
        """Load the saved results; empty if there are none."""
        if not FILE.is_file():
            return cls()
        saved: dict[str, Any] = json.loads(FILE.read_text())
        return cls({name: Outcome(**{**one, "rounds": Rounds(**one["rounds"])}) for name, one in saved.items()})

    def save(self) -> None:
        """Keep it for the next report."""
        FILE.write_text(json.dumps(asdict(self)["outcomes"], indent=1) + "\n")


def today() -> str:
    """The date and the time of day."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
