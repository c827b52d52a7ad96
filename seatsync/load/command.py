"""``seatsync load``: from arguments to an exit status."""

import argparse
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
from attrs import frozen
from rich.console import Console

from seatsync.load.drive import Backstage, drive
from seatsync.load.failure import LoadError
from seatsync.load.fleet import Recruit
from seatsync.load.page import page
from seatsync.load.plan import Plan
from seatsync.load.progress import shown
from seatsync.load.report import as_json, show
from seatsync.load.totals import Totals

FINE, FAULTY = 0, 1


def run(options: argparse.Namespace, backstage: Backstage, url: str) -> int:
    """Run the test and report on it; ``url`` is used where the arguments name none.

    Raises `LoadError`, and `OSError` for files that cannot be read or written.
    """
    if options.tokens is not None:
        backstage = TokenFile(backstage, read_tokens(options.tokens))
    with shown(Console(stderr=True), quiet=options.quiet) as show_progress:
        totals = drive(make_plan(options, url), backstage, show_progress)
    if options.html is not None:
        options.html.write_text(page(totals), encoding="utf-8")
    _report(totals, options.json)
    return FAULTY if totals.all.faults.total else FINE


def _report(totals: Totals, json: Path | None) -> None:
    if json is not None:
        text = orjson.dumps(as_json(totals), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n"
        if json == Path("-"):
            sys.stdout.buffer.write(text)
            return
        json.write_bytes(text)
    show(totals, Console())


def make_plan(options: argparse.Namespace, url: str) -> Plan:
    """The plan that the arguments make; what a scenario has no option for stays at its default."""
    given = vars(options)
    named = {
        "duration_s": "duration",
        "patience_s": "patience",
        "heartbeat_s": "heartbeat",
        "ramp_s": "ramp",
    }
    plain = ("clients", "sign_in", "same_eid", "subscribe", "writers", "rate", "pipeline", "bulk", "via")
    details: dict[str, Any] = {name: given[name] for name in plain if name in given}
    details |= {field: given[name] for field, name in named.items() if name in given}
    details.setdefault("duration_s", 0.0)
    return Plan(
        scenario=options.scenario,
        url=options.url or url,
        processes=options.processes,
        survive=options.survive,
        sources=options.sources,
        halls=tuple(options.hall),
        **details,
    )


def read_tokens(path: Path) -> list[str]:
    """Session tokens, one a line; raises `LoadError` when there are none."""
    tokens = path.read_text(encoding="utf-8").split()
    if not tokens:
        raise LoadError(f"{path} has no tokens; seatsync token NAME --count N makes some.")
    return tokens


@frozen
class TokenFile:
    """Backstage with tokens that were made before."""

    inner: Backstage
    given: list[str]

    def tokens(self, _: int) -> list[str]:
        """Those from the file, however many."""
        return self.given

    def sql_writer(self, stack: ExitStack, share: Mapping[str, Any]) -> Recruit:
        """As without the file."""
        return self.inner.sql_writer(stack, share)
