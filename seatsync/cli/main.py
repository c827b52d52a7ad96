"""The command line: ``seatsync --help``.

Exit status 0 for success, 1 for failure, 2 for wrong usage. An error that a user can cause is one sentence on standard
error; a traceback is a bug. Results, and nothing else, go to standard output.

The parser has the name of each command's function, which returns an exit status or ``None`` for 0. Its module is
imported when the command runs.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pkgutil import resolve_name
from typing import Any, NoReturn, TypeAlias, get_args

from seatsync.config import Role
from seatsync.load import LoadError
from seatsync.load.arguments import add_arguments as add_load_arguments
from seatsync.load.arguments import whole_number
from seatsync.serve.failures import EXPECTED, sentences
from seatsync.serve.garbage import collect_seldom
from seatsync.terminal import write_lines

Parser: TypeAlias = argparse.ArgumentParser
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 -- argparse gives it no public name

FORMATS = ("asyncapi", "openapi", "jsonschema", "typescript")

_MAX_ID = 2**63 - 1  # of PostgreSQL's bigint

BUCKETS = ("hour", "day")

ROLES: tuple[str, ...] = get_args(Role)


def main(arguments: Sequence[str] | None = None, *, imported: Callable[[], object] = lambda: None) -> int:
    """Run one command and return its exit status; wrong usage raises SystemExit(2) with the usage printed.

    ``imported`` is called once the command is imported, before it runs.
    """
    options = _parser().parse_args(arguments)
    status: int = 1
    try:
        command = resolve_name(options.command)
        collect_seldom()
        imported()
        status = command(options) or 0
        sys.stdout.flush()
    except* BrokenPipeError:  # the reader of our output has closed it
        status = 1
    except* (*EXPECTED, LoadError) as group:
        for line in sentences(group):
            write_lines(f"seatsync: {line}", stream=sys.stderr)
    except* KeyboardInterrupt:
        status = 130  # as a shell reports a program that SIGINT ended
    try:
        sys.stdout.flush()
    except OSError:  # what is left in the buffer must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


class _Version(argparse.Action):
    """Print the installed version; it is looked up only now, as that takes as long as building the parser."""

    def __call__(self, parser: Parser, *_: Any) -> NoReturn:
        from importlib.metadata import version  # noqa: PLC0415 - see above

        sys.stdout.write(f"seatsync {version('seatsync')}\n")
        parser.exit()


def _parser() -> Parser:
    parser = argparse.ArgumentParser(
        prog="seatsync",
        description="Seats Sync: live seat occupancy of cinema halls.",
        epilog="Settings come from the environment and .env; .env.example lists them.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_serve(commands)

    migrate = _add(commands, "migrate", "cli.admin:migrate", "migrate the database to this version")
    migrate.add_argument("--server-role", metavar="ROLE", help="grant this role what a server needs")

    seed = _add_group(commands, "seed", "add data")
    _add(seed, "demo", "cli.admin:seed_demo", "add demo cinemas to an empty database")
    hall = _add(
        seed, "hall", "cli.admin:seed_hall", "add a rectangular hall to the cinema 'Load test' and print its id"
    )
    _add_number(hall, "--seats", 50_000, "number of seats", required=True)
    hall.add_argument("--name", metavar="X", required=True, help="the hall's name")

    _add_users(commands)
    _add_keys(commands)

    _add(commands, "cinemas", "cli.halls:cinemas", "list the cinemas")
    _add(commands, "halls", "cli.halls:halls", "list the halls, with their seats counted")

    _add_plans(commands)
    _add_report(commands)

    _add(commands, "code", "cli.accounts:code", "print a user's present code, for development", "name")

    meaning = "create sessions of a user and print their tokens, one a line"
    token = _add(commands, "token", "cli.accounts:token", meaning, "name")
    token.add_argument(
        "--create", action="store_true", help="add a missing user, as an operator without an authenticator"
    )
    _add_number(token, "--count", 1_000_000, "number of sessions (default: 1)", default=1)

    secrets = _add_group(commands, "secrets", "manage the keys of authenticators' secrets")
    meaning = "encrypt all authenticators' secrets with the first SECRETS_KEY"
    _add(secrets, "rotate", "cli.accounts:secrets_rotate", meaning)

    # No character begins an option here: all that follows, options too, is for psql.
    meaning = "open psql on the database in use, or print its address"
    psql = _add(commands, "psql", "cli.psql:psql", meaning, prefix_chars="\0", add_help=False)
    psql.add_argument("arguments", nargs=argparse.REMAINDER)

    watch = _add(commands, "watch", "cli.watch:watch", "print a hall's changes as a guest receives them")
    watch.add_argument("hall", metavar="HALL", type=whole_number(1, 2**63 - 1), help="the hall's id")
    watch.add_argument("--url", metavar="URL", help="the server's address (default: http://localhost:WS_PORT)")

    meaning = "print the protocol as data: asyncapi, openapi, jsonschema or typescript"
    protocol = _add(commands, "protocol", "cli.protocol:protocol", meaning)
    protocol.add_argument("document", metavar="FORMAT", choices=FORMATS, help=", ".join(FORMATS))

    add_load_arguments(_add(commands, "load", "cli.load:load", "put a running server under load and check every frame"))
    return parser


def _add_serve(commands: Commands) -> None:
    serve = _add(commands, "serve", "serve.process:run", "run the server until Ctrl-C or SIGTERM")
    serve.add_argument("--demo", action="store_true", help="add demo cinemas to an empty database first")
    serve.add_argument("--open", action="store_true", help="open the page in a browser once it is ready")
    serve.add_argument("--host", metavar="IP", help="addresses to listen on, separated by commas (default: HOST)")
    for option in ("--port", "--ws-port"):
        name = option.strip("-").replace("-", "_").upper()
        serve.add_argument(option, metavar="N", type=whole_number(0, 65_535), help=f"default: {name}")
    _add_number(serve, "--workers", 64, "server processes (default: WORKERS)")


def _add_users(commands: Commands) -> None:
    user = _add_group(commands, "user", "manage users")
    users = _add(user, "list", "cli.users:show_all", "list the users")
    users.add_argument("--json", action="store_true", help="print JSON")
    show = _add(user, "show", "cli.users:show", "print what is known of a user, with the sessions counted", "name")
    show.add_argument("--json", action="store_true", help="print JSON")

    meaning = "add a user and print the QR code for an authenticator app and the recovery phrase"
    create = _add(user, "create", "cli.accounts:user_create", meaning, "name")
    create.add_argument("--role", choices=ROLES, help="default: DEFAULT_ROLE")
    role = _add(user, "role", "cli.users:role", "change a user's role; ends the user's sessions", "name")
    role.add_argument("role", metavar="ROLE", choices=ROLES, help=", ".join(ROLES))
    disable = _add(user, "disable", "cli.users:disable", "end a user's sessions and let none begin", "name")
    for one in (role, disable):
        one.add_argument("--yes", action="store_true", help="even if no admin is left")
    _add(user, "enable", "cli.users:enable", "let a disabled user sign in again", "name")
    delete = _add(user, "delete", "cli.users:delete", "delete a user for good; the history keeps the name", "name")
    delete.add_argument("--yes", action="store_true", help="do not ask, even if no admin is left")
    meaning = "print a one-time phrase for a new authenticator; ends the old one and the user's sessions"
    _add(user, "reset", "cli.users:reset", meaning, "name")
    sessions = _add(user, "sessions", "cli.users:sessions", "list a user's sessions, or end them", "name")
    sessions.add_argument("--end", action="store_true", help="end them all")


def _add_keys(commands: Commands) -> None:
    key = _add_group(commands, "key", "manage the service keys of programs")
    create = _add(key, "create", "cli.keys:create", "add a service key for a program and print it, this once")
    create.add_argument("name", metavar="NAME", help="the program's, in histories and logs")
    create.add_argument("--role", choices=ROLES, required=True, help="what the key allows")
    _add_number(create, "--days", 3650, "days until it expires (default: never)")
    _add(key, "list", "cli.keys:show", "list the service keys that are valid, and when they were used last")
    _add(key, "revoke", "cli.keys:revoke", "revoke a service key and close its connections", "name")


def _add_plans(commands: Commands) -> None:
    hall = _add_group(commands, "hall", "export and import the plans of halls")
    export = _add(hall, "export", "cli.halls:export_plan", "print the plan of a hall")
    export.add_argument("hall", metavar="HALL", type=whole_number(1, _MAX_ID), help="its id")
    export.add_argument(
        "--format", metavar="FORMAT", choices=("json", "csv"), default="json", help="json (default) or csv"
    )
    meaning = "add a hall with the plan in a file and print its id, or replace the plan of a hall"
    take = _add(hall, "import", "cli.halls:import_plan", meaning)
    take.add_argument("file", metavar="FILE", help="JSON of Seats Sync or of pretix, or CSV")
    where = take.add_mutually_exclusive_group(required=True)
    where.add_argument("--cinema", metavar="ID", type=whole_number(1, _MAX_ID), help="add a hall to this cinema")
    meaning = "replace the plan of this hall: seats with the same labels stay, and become vacant"
    where.add_argument("--replace", metavar="ID", type=whole_number(1, _MAX_ID), help=meaning)
    take.add_argument(
        "--name", metavar="NAME", help="the hall's name (default: the plan's, or with --replace the hall's)"
    )
    take.add_argument("--keep-status", action="store_true", help="with --replace: seats that stay keep their status")
    take.add_argument(
        "--yes", action="store_true", help="with --replace: even if seats lose a status other than VACANT"
    )


def _add(commands: Commands, name: str, command: str, meaning: str, *arguments: str, **options: Any) -> Parser:
    """Add a command that takes these arguments, whatever they are."""
    parser = commands.add_parser(name, help=meaning, description=meaning, **options)
    parser.set_defaults(command=f"seatsync.{command}")
    for argument in arguments:
        parser.add_argument(argument, metavar=argument.upper())
    return parser


def _add_report(commands: Commands) -> None:
    report = _add(commands, "report", "cli.halls:report", "print how full a hall or a cinema was, by hours or days")
    which = report.add_mutually_exclusive_group(required=True)
    which.add_argument("hall", metavar="HALL", nargs="?", type=whole_number(1, _MAX_ID), help="the hall's id")
    which.add_argument("--cinema", metavar="ID", type=whole_number(1, _MAX_ID), help="all halls of a cinema together")
    begins = "the day or time that it begins with, such as 2026-11-01 or 2026-11-01T18:00"
    report.add_argument("--from", dest="from_", metavar="TIME", type=_time, required=True, help=begins)
    ends = "the day or time before which it ends (default: now)"
    report.add_argument("--to", dest="to_", metavar="TIME", type=_time, help=ends)
    report.add_argument("--bucket", choices=BUCKETS, default="hour", help="default: hour")
    zone = "time zone of all times, such as Europe/Berlin (default: UTC)"
    report.add_argument("--tz", metavar="ZONE", default="UTC", help=zone)
    report.add_argument("--csv", action="store_true", help="print CSV")


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a day or a time in ISO 8601, such as 2026-11-01") from None


def _add_group(commands: Commands, name: str, meaning: str) -> Commands:
    group = commands.add_parser(name, help=meaning, description=meaning)
    return group.add_subparsers(required=True, metavar="COMMAND")


def _add_number(parser: Parser, option: str, most: int, meaning: str, **options: Any) -> None:
    parser.add_argument(option, metavar="N", type=whole_number(1, most), help=meaning, **options)
