"""The arguments of ``seatsync load``, and argument types for all commands. Imports little: every command does this."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from seatsync.load.limits import Limit

Parser: TypeAlias = argparse.ArgumentParser

MAX_CLIENTS = 1_000_000
MAX_BULK = 1000

_DURATION = "length of the load in seconds"

EPILOG = """
Every frame of every subscriber is verified: no revision is missing, repeated or reordered, and at the end each
subscriber's view equals a fresh snapshot that has every acknowledged change. Exit status: 0 without a fault, 1 with
faults (the first ten are printed), 2 for wrong usage, 3 for a limit of --fail-if. The seats of the hall are changed and
not restored.
"""


def add_arguments(load: Parser) -> None:
    """Add the scenarios and their options to a parser; the destinations are the fields of `seatsync.load.plan.Plan`."""
    load.epilog = EPILOG
    scenarios = load.add_subparsers(required=True, metavar="SCENARIO", dest="scenario")
    watch = _add_scenario(scenarios, "watch", "subscribers watch a hall while seats change at a steady rate")
    _add_clients(watch, "--subscribers", 100)
    _add_number(watch, "--duration -d", "duration_s", 10, _DURATION, type_=seconds)
    _add_number(watch, "--rate -r", "rate", 20, "changes a second; 0: make none", type_=seconds)
    _add_number(watch, "--writers", "writers", 1, "connections that write")
    _add_number(watch, "--bulk", "bulk", 1, "seats in one change", type_=whole_number(1, MAX_BULK))

    write = _add_scenario(scenarios, "write", "connections change seats as fast as they are answered, or at a rate")
    _add_number(write, "--connections -n -c", "writers", 64, "how many")
    _add_number(write, "--pipeline", "pipeline", 1, "changes in flight on each, without a rate")
    _add_number(write, "--duration -d", "duration_s", 10, _DURATION, type_=seconds)
    rate = "changes a second by all together, answered or not; 0: as fast as replies come"
    _add_number(write, "--rate -r", "rate", 0, rate, type_=seconds)
    _add_number(write, "--bulk", "bulk", 1, "seats in one change", type_=whole_number(1, MAX_BULK))

    join = _add_scenario(scenarios, "join", "clients connect, sign in by token and take the snapshot")
    _add_clients(join, "--clients", 1000)
    idle = _add_scenario(scenarios, "idle", "connections watch a hall and send nothing")
    _add_clients(idle, "--connections", 1000)
    idle.add_argument("--no-subscription", dest="subscribe", action="store_false", help="do not subscribe to a hall")
    _add_number(idle, "--duration -d", "duration_s", 30, _DURATION, type_=seconds)

    meaning = "a Friday evening: visitors come and go, sales with rushes"
    mixed = _add_scenario(scenarios, "mixed", meaning, heartbeat_s=4)
    _add_clients(mixed, "--visitors", 200)
    _add_number(mixed, "--duration -d", "duration_s", 60, _DURATION, type_=seconds)
    _add_number(mixed, "--rate -r", "rate", 20, "sales a second, five times as many in rushes")


def _add_scenario(
    scenarios: "argparse._SubParsersAction[Parser]", name: str, meaning: str, *, heartbeat_s: int = 0
) -> Parser:
    parser = scenarios.add_parser(name, help=meaning, description=meaning, epilog=EPILOG)
    add = parser.add_argument
    add("--url", help="default: ws://localhost:WS_PORT/ws")
    hall = "default: the largest; may be repeated"
    add("--hall", dest="halls", metavar="ID", type=count, action="append", default=[], help=hall)
    _add_number(parser, "--processes -p", "processes", 1, "client processes")
    add("--tokens", metavar="FILE", type=Path, help="session tokens, one a line; default: new ones from the database")
    add("--database", metavar="URL", help="default: DATABASE_URL, or the embedded database of this directory")
    add("--survive", action="store_true", help="a lost connection is not a fault: reconnect as advised and go on")
    heartbeat = "send a heartbeat every N seconds; 0: none"
    _add_number(parser, "--heartbeat", "heartbeat_s", heartbeat_s, heartbeat, type_=seconds)
    _add_number(parser, "--patience", "patience_s", 30, "wait N seconds at most for outstanding replies", type_=seconds)
    condition = "exit with status 3 if it holds: p99>50ms, join.max>2s, answered/s<900; may be repeated"
    add("--fail-if", dest="limits", metavar="LIMIT", type=Limit.parse, action="append", default=[], help=condition)
    add("--json", metavar="FILE", type=output, help="write the results as JSON; - is standard output, in place of text")
    add("--html", metavar="FILE", type=output, help="write the results as an HTML page with plots")
    add("--quiet", "-q", action="store_true", help="do not show progress")
    return parser


def _add_clients(parser: Parser, option: str, default: int) -> None:
    _add_number(parser, f"{option} -n", "clients", default, "how many")
    if option != "--visitors":
        _add_number(parser, "--ramp", "ramp_s", 0, "spread connects over N seconds", type_=seconds)
        parser.add_argument("--same-eid", action="store_true", help="use the same eid in all subscriptions")
    if option != "--clients":
        parser.add_argument("--sign-in", action="store_true", help="sign them in by token, too")


def _add_number(
    parser: Parser, options: str, field: str, default: int, meaning: str, *, type_: Callable[[str], float] | None = None
) -> None:
    meaning = f"{meaning} (default: {default})"
    parser.add_argument(*options.split(), dest=field, metavar="N", type=type_ or count, default=default, help=meaning)


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An argument type: digits of a number in that range."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


count = whole_number(1, MAX_CLIENTS)


def output(text: str) -> Path:
    """An argument type: a file that can be written, or ``-`` for standard output."""
    path = Path(text)
    if text != "-" and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path


def seconds(text: str) -> float:
    """An argument type: a number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MAX_CLIENTS:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_CLIENTS}")
    return value
