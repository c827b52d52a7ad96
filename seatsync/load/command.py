"""``seatsync load``: from arguments to an exit status."""

import argparse
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from attrs import fields_dict
from rich.console import Console

from seatsync.load import LoadError
from seatsync.load.page import page
from seatsync.load.plan import Plan
from seatsync.load.processes import Start, run_test, start_process
from seatsync.load.report import as_json, live_progress, show

NO_FAULT, FAULTY, BEYOND_LIMIT = 0, 1, 3

#: As a shell reports a program that SIGINT ended.
INTERRUPTED = 130


def run(
    options: argparse.Namespace,
    issue: Callable[[int], list[str]],
    url: str,
    *,
    start: Start = start_process,
    console: Console | None = None,
) -> int:
    """Run the test and report on it; ``url`` and ``issue``, which makes tokens, are for arguments that name none.

    Raises `LoadError`, and `OSError` for files that cannot be read or written.
    """
    if options.tokens is not None:
        issue = partial(_read_tokens, options.tokens)
    plan = make_plan(options, url)
    about = provenance(plan)
    with live_progress(Console(stderr=True), quiet=options.quiet) as show_progress:
        totals = run_test(plan, issue, show_progress, start=start)
    totals.about = about
    if not totals.interrupted or totals.is_checked:
        totals.failures = [sentence for limit in options.limits if (sentence := limit.failure(totals)) is not None]
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
    if totals.all.faults:
        return FAULTY
    if totals.interrupted and not totals.is_checked:
        return INTERRUPTED
    return BEYOND_LIMIT if totals.failures else NO_FAULT


def provenance(plan: Plan) -> dict[str, str]:
    """The provenance of a report; passwords in addresses are left out."""
    command = shlex.join(["seatsync", *sys.argv[1:]])
    return {
        "address": plan.url,
        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "version": version("seatsync"),
        "host": f"{platform.node()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "command": re.sub(r"://[^/@\s]*@", "://...@", command),
    }


def make_plan(options: argparse.Namespace, url: str) -> Plan:
    """The arguments as a plan; fields that are no option of the scenario keep their defaults."""
    given = {**vars(options), "url": options.url or url}
    plan = Plan(**{name: given[name] for name in fields_dict(Plan) if name in given})
    return plan.evening() if plan.scenario == "mixed" else plan


def _read_tokens(path: Path, _count: int) -> list[str]:
    tokens = path.read_text(encoding="utf-8").split()
    if not tokens:
        raise LoadError(f"{path} has no tokens; seatsync token NAME --count N makes some.")
    return tokens
