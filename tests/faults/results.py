"""The results of a run, in the terminal and in RESULTS.md."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from seatsync.core.embedded.programs import find_program
from tests.faults.drill import Drill, Outcome


@frozen
class Result:
    """The result of one drill."""

    drill: Drill
    outcome: Outcome
    skipped: str
    """Why it was not run; empty if it was."""
    seconds: float

    @property
    def fine(self) -> bool:
        """It passed, or could not be run."""
        return bool(self.skipped) or self.outcome.verdict == "passed"

    @property
    def verdict(self) -> str:
        """One word."""
        return "skipped" if self.skipped else self.outcome.verdict


def describe(result: Result) -> str:
    """The result for the terminal."""
    found = result.outcome
    if result.skipped:
        return f"  skipped: {result.skipped}\n"
    lines = [
        f"  {found.verdict} in {result.seconds:.0f} s: detection {_seconds(found.detection_s)},"
        f" recovery {_seconds(found.recovery_s)}, answered {found.answered}, lost {found.lost}, twice {found.twice},"
        f" missing {found.missing}, repeated {found.repeated}, reordered {found.reordered}",
        *(f"  {'' if measure.holds else 'LATE: '}{measure}" for measure in found.measures),
        *(f"  FAULT: {fault}" for fault in found.faults),
    ]
    return "\n".join(lines) + "\n"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


_HEAD = """# Fault drills

{when}, {machine}, Python {python}, {postgres}{quick}. Made by `make faults`; one alone: `python -m tests.faults NAME`.

*Detection* is from the fault to `/readyz` saying so, *recovery* from when it became possible to `/readyz` saying that
all is well. *Lost* are answered writes that the database does not have, *twice* changes in it that no write explains;
*missing*, *repeated* and *reordered* are revisions, counted over all clients of a drill.

| drill | verdict | detection | recovery | answered | lost | twice | missing | repeated | reordered |
|---|---|---|---|---|---|---|---|---|---|
"""


def write_results(path: Path, results: Sequence[Result], *, quick: bool) -> None:
    """Write the file anew."""
    head = _HEAD.format(
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
        postgres=_postgres_version(),
        quick=", quick (shorter waits, fewer clients)" if quick else "",
    )
    details = [_details(result) for result in results]
    path.write_text(head + "".join(map(_row, results)) + "\n" + "\n".join(details))


def _row(result: Result) -> str:
    found = result.outcome
    if result.skipped:
        return f"| {result.drill.name} | skipped {'| - ' * 8}|\n"
    cells = (
        result.drill.name,
        found.verdict,
        _seconds(found.detection_s),
        _seconds(found.recovery_s),
        *(found.answered, found.lost, found.twice, found.missing, found.repeated, found.reordered),
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _details(result: Result) -> str:
    lines = [f"- **{result.drill.name}**: {result.drill.meaning}."]
    if result.skipped:
        lines.append(f"  Skipped: {result.skipped}")
    lines += [f"  - {'' if measure.holds else 'late: '}{measure}" for measure in result.outcome.measures]
    lines += [f"  - FAULT: {fault}" for fault in result.outcome.faults]
    return "\n".join(lines) + "\n"


def _postgres_version() -> str:
    program = find_program("postgres")
    if program is None:
        return "PostgreSQL"
    printed = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout
    return f"PostgreSQL {printed.rpartition(' ')[2].strip()}"
