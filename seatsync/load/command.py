"""``seatsync load``: from arguments to an exit status."""

import argparse
import json
from pathlib import Path

from attrs import fields_dict
from rich.console import Console

from seatsync.load import LoadError
from seatsync.load.page import page
from seatsync.load.plan import Plan
from seatsync.load.processes import ServerAccess, Start, run_test, start_process
from seatsync.load.report import as_json, live_progress, show

NO_FAULT, FAULTY = 0, 1


def run(
    options: argparse.Namespace,
    access: ServerAccess,
    url: str,
    *,
    start: Start = start_process,
    console: Console | None = None,
) -> int:
    """Run the test and report on it; ``url`` is the server's where the arguments name none.

    Raises `LoadError`, and `OSError` for files that cannot be read or written.
    """
    tokens = None if options.tokens is None else _read_tokens(options.tokens)
    with live_progress(Console(stderr=True), quiet=options.quiet) as show_progress:
        totals = run_test(make_plan(options, url), access, show_progress, tokens=tokens, start=start)
    if options.html is not None:
        options.html.write_text(page(totals), encoding="utf-8")
    console = console or Console()
    is_printed = options.json == Path("-")  # then for any terminal
    text = json.dumps(as_json(totals), indent=2, ensure_ascii=is_printed) + "\n"
    if is_printed:
        console.file.write(text)
    else:
        if options.json is not None:
            options.json.write_text(text, encoding="utf-8")
        show(totals, console)
    return FAULTY if totals.all.faults else NO_FAULT


def make_plan(options: argparse.Namespace, url: str) -> Plan:
    """The arguments as a plan; fields that are no option of the scenario keep their defaults."""
    given = {**vars(options), "url": options.url or url}
    return Plan(**{name: given[name] for name in fields_dict(Plan) if name in given})


def _read_tokens(path: Path) -> list[str]:
    tokens = path.read_text(encoding="utf-8").split()
    if not tokens:
        raise LoadError(f"{path} has no tokens; seatsync token NAME --count N makes some.")
    return tokens
