"""The arguments of ``seatsync load``. Light: the command line imports this for every command."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Parser: TypeAlias = argparse.ArgumentParser

MAX_CLIENTS = 1_000_000

EPILOG = """
Every frame of every subscriber is checked: missing, repeated and reordered revisions, and at the end whether what it
sees is what a fresh snapshot shows and whether every answered change is there. Exit status: 0 without a fault, 1 with
(the first ten are told), 2 for wrong usage. The seats of the hall are changed and left as they then are.
"""


def add_arguments(load: Parser) -> None:
    """Add the scenarios and their options to a parser."""
    load.epilog = EPILOG
    scenarios = load.add_subparsers(required=True, metavar="SCENARIO", dest="scenario")
    watch = _scenario(scenarios, "watch", "subscribers watch a hall while seats change at a steady rate")
    _clients(watch, "--subscribers", 100)
    _duration(watch, 10)
    _rate(watch, 20, "changes a second; 0: make none, others do")
    watch.add_argument("--via", choices=("protocol", "sql"), default="protocol", help="how seats are changed")
    watch.add_argument("--writers", metavar="N", type=count, default=1, help="connections that change (default: 1)")
    _bulk(watch)

    write = _scenario(scenarios, "write", "connections change seats as fast as they are answered, or at a rate")
    write.add_argument(
        "--connections", "-c", dest="writers", metavar="N", type=count, default=64, help="how many (default: 64)"
    )
    write.add_argument(
        "--pipeline", metavar="N", type=count, default=1, help="changes under way on each, without a rate (default: 1)"
    )
    _duration(write, 10)
    _rate(write, 0, "changes a second by all together, whether or not they are answered; 0: as fast as answers come")
    _bulk(write)

    join = _scenario(scenarios, "join", "clients connect, sign in by token and take the snapshot")
    _clients(join, "--clients", 1000)
    idle = _scenario(scenarios, "idle", "connections do nothing")
    _clients(idle, "--connections", 1000)
    idle.add_argument("--no-subscription", dest="subscribe", action="store_false", help="do not even watch a hall")
    _duration(idle, 30)

    mixed = _scenario(scenarios, "mixed", "a Friday evening: visitors come and go, sales with rushes, maintenance")
    _clients(mixed, "--visitors", 200)
    _duration(mixed, 60)
    mixed.add_argument(
        "--rate",
        "-r",
        metavar="R",
        type=above_zero,
        default=20.0,
        help="sales a second between rushes, in which it is five times that (default: 20)",
    )
    mixed.set_defaults(heartbeat=4.0)


def _scenario(scenarios: "argparse._SubParsersAction[Parser]", name: str, meaning: str) -> Parser:
    parser = scenarios.add_parser(name, help=meaning, description=meaning, epilog=EPILOG)
    add = parser.add_argument
    add("--url", help="default: ws://localhost, at WS_PORT")
    add("--hall", metavar="ID", type=count, action="append", default=[], help="may be repeated; default: the largest")
    add("--processes", "-p", metavar="N", type=count, default=1, help="client processes (default: 1)")
    add("--tokens", metavar="FILE", type=Path, help="session tokens, one a line; default: made in the database")
    add("--database", metavar="URL", help="default: DATABASE_URL, or the embedded database of this directory")
    add("--survive", action="store_true", help="lost connections are no fault: come back as advised and go on")
    add("--heartbeat", metavar="S", type=seconds, default=0.0, help="send a heartbeat so often; 0: none")
    add("--patience", metavar="S", type=seconds, default=30.0, help="wait this long for all answers (default: 30)")
    add("--sources", metavar="N", type=count, default=0, help="connect from 127.0.0.1 to 127.0.0.N; default: by need")
    add("--json", metavar="FILE", type=Path, help="write the results as JSON; - is standard output, in place of text")
    add("--html", metavar="FILE", type=Path, help="write the results as a page with plots")
    add("--quiet", "-q", action="store_true", help="do not show how it goes")
    return parser


def _clients(parser: Parser, option: str, default: int) -> None:
    parser.add_argument(
        option, "-n", dest="clients", metavar="N", type=count, default=default, help=f"how many (default: {default})"
    )
    if option != "--visitors":
        parser.add_argument("--ramp", metavar="S", type=seconds, default=0.0, help="let them come over so many seconds")
        parser.add_argument("--same-eid", action="store_true", help="let all use the same eid in their subscription")
    if option != "--clients":
        parser.add_argument("--sign-in", action="store_true", help="let them sign in by token too")


def _duration(parser: Parser, default: int) -> None:
    parser.add_argument(
        "--duration", "-d", metavar="S", type=seconds, default=float(default), help=f"default: {default} s"
    )


def _rate(parser: Parser, default: int, meaning: str) -> None:
    parser.add_argument(
        "--rate", "-r", metavar="R", type=seconds, default=float(default), help=f"{meaning} (default: {default})"
    )


def _bulk(parser: Parser) -> None:
    parser.add_argument(
        "--bulk", metavar="N", type=whole_number(1, 1000), default=1, help="seats in one change (default: 1)"
    )


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """An argument's type: a whole number within these bounds."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


count = whole_number(1, MAX_CLIENTS)


def seconds(text: str) -> float:
    """A number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MAX_CLIENTS:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_CLIENTS}")
    return value


def above_zero(text: str) -> float:
    """A positive number."""
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value
