"""The command line: ``seatsync --help``.

Exit status 0 for success, 1 for failure, 2 for wrong usage. Whatever a user can cause ends in one sentence on standard
error; a traceback is a bug. Results, and nothing else, go to standard output.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TypeAlias, get_args

from seatsync.cli import admin as cli_commands
from seatsync.cli import load as cli_load
from seatsync.cli.watch import WatchError
from seatsync.config import Role
from seatsync.load.arguments import add_arguments as add_load_arguments
from seatsync.load.failure import LoadError
from seatsync.serve.failures import EXPECTED, sentences

Parser: TypeAlias = argparse.ArgumentParser
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 -- argparse gives it no public name

ROLES: tuple[str, ...] = get_args(Role)

FAILURE = 1
INTERRUPTED = 130
"""What a shell reports for a program that SIGINT ended."""

MAX_SEATS = 1_000_000
MAX_TOKENS = 1_000_000
MAX_WORKERS = 64
MAX_ID = 2**63 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; wrong usage raises SystemExit(2) with the usage printed."""
    options = _parser().parse_args(arguments)
    status = FAILURE
    try:
        status = options.run(options)
        sys.stdout.flush()
    except* BrokenPipeError:
        # Whoever read our output has had enough; what is left in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILURE
    except* (*EXPECTED, WatchError, LoadError) as group:
        for line in sentences(group):
            sys.stderr.write(f"seatsync: {line}\n")
    except* KeyboardInterrupt:
        status = INTERRUPTED
    return status


def _whole_number(most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}")
        return int(text)

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seatsync",
        description="Seats Sync: who sits where, live.",
        epilog="Settings come from the environment and .env; .env.example lists them.",
    )
    parser.add_argument("--version", action="version", version=f"seatsync {version('seatsync')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_migrate(commands)
    _add_seed(commands)
    _add_user(commands)
    _add_token(commands)
    _add_psql(commands)
    _add_watch(commands)
    _add_load(commands)
    return parser


def _add(commands: Commands, name: str, run: Callable[[argparse.Namespace], int], meaning: str) -> Parser:
    command = commands.add_parser(name, help=meaning, description=meaning)
    command.set_defaults(run=run)
    return command


def _add_group(commands: Commands, name: str, meaning: str) -> Commands:
    group = commands.add_parser(name, help=meaning, description=meaning)
    return group.add_subparsers(required=True, metavar="COMMAND")


def _add_serve(commands: Commands) -> None:
    serve = _add(commands, "serve", cli_commands.serve, "run the server until Ctrl-C or SIGTERM")
    serve.add_argument("--demo", action="store_true", help="fill an empty database with demo cinemas first")
    serve.add_argument(
        "--workers", metavar="N", type=_whole_number(MAX_WORKERS), help="server processes (default: WORKERS)"
    )


def _add_migrate(commands: Commands) -> None:
    _add(commands, "migrate", cli_commands.migrate, "bring the database up to this version")


def _add_seed(commands: Commands) -> None:
    group = _add_group(commands, "seed", "add data")
    _add(group, "demo", cli_commands.seed_demo, "fill an empty database with demo cinemas")
    hall = _add(group, "hall", cli_commands.seed_hall, "add a big rectangular hall and print its id")
    hall.add_argument("--seats", metavar="N", type=_whole_number(MAX_SEATS), required=True, help="how many seats")
    hall.add_argument("--name", metavar="X", required=True, help="what to call it")


def _add_user(commands: Commands) -> None:
    group = _add_group(commands, "user", "manage users")
    create = _add(
        group, "create", cli_commands.user_create, "add a user and print what an authenticator app and the user need"
    )
    create.add_argument("name", metavar="NAME")
    create.add_argument("--role", choices=ROLES, help="default: DEFAULT_ROLE")
    role = _add(group, "role", cli_commands.user_role, "change a user's role; ends the user's sessions")
    role.add_argument("name", metavar="NAME")
    role.add_argument("role", metavar="ROLE", choices=ROLES, help=", ".join(ROLES))


def _add_token(commands: Commands) -> None:
    token = _add(commands, "token", cli_commands.token, "sign a user in and print the session tokens, one a line")
    token.add_argument("name", metavar="NAME")
    token.add_argument("--create", action="store_true", help="add the user if there is none of that name")
    token.add_argument(
        "--count", metavar="N", type=_whole_number(MAX_TOKENS), default=1, help="how many sessions (default: 1)"
    )


def _add_psql(commands: Commands) -> None:
    meaning = "open psql on the database in use, or print its address"
    # No character begins an option here: all that follows, options too, is for psql.
    psql = commands.add_parser("psql", help=meaning, prefix_chars="\0", add_help=False)
    psql.add_argument("arguments", nargs=argparse.REMAINDER)
    psql.set_defaults(run=cli_commands.psql)


def _add_watch(commands: Commands) -> None:
    watch = _add(commands, "watch", cli_commands.watch, "print a hall's changes as a running server tells them")
    watch.add_argument("hall", metavar="HALL", type=_whole_number(MAX_ID), help="the hall's id")
    watch.add_argument("--url", metavar="URL", help="the server's WebSocket (default: on this machine, at WS_PORT)")


def _add_load(commands: Commands) -> None:
    add_load_arguments(
        _add(commands, "load", cli_load.load, "put a running server under load and check every frame it sends")
    )
