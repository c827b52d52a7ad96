"""The commands that work on the database."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from io import StringIO
from urllib.parse import unquote, urlsplit

import trio
from attrs import frozen

from seatsync import seed
from seatsync.config import Settings, load_settings
from seatsync.core.embedded.programs import find_program
from seatsync.core.embedded.server import resolve_database
from seatsync.core.postgres.migrate import grant
from seatsync.core.postgres.migrate import migrate as migrate_database
from seatsync.core.postgres.pool import Database
from seatsync.core.telemetry.logs import configure_logs
from seatsync.terminal import printable, write_lines
from seatsync.user import accounts, encryption
from seatsync.user.keyring import Keyring

#: For a terminal to take what is printed before it counts, in seconds.
PRINT_S = 600.0


@frozen
class Context:
    """A command's arguments and its migrated database."""

    options: argparse.Namespace
    settings: Settings
    db: Database
    applied: list[str]
    """The migrations that were missing until now."""


def on_database(
    work: Callable[[Context], Awaitable[None]], *, create: bool = False
) -> Callable[[argparse.Namespace], None]:
    """Make a command of a function that works on the database; ``create`` makes an embedded one where there is none."""

    async def run(options: argparse.Namespace, settings: Settings) -> None:
        configure_logs("warning", settings.log_format)
        async with Database.open(settings.database_url or "", size=1) as db:
            await work(Context(options, settings, db, await migrate_database(db)))

    def command(options: argparse.Namespace) -> None:
        with resolve_database(load_settings(), create=create) as (settings, _):
            trio.run(run, options, settings)

    return command


@partial(on_database, create=True)
async def migrate(context: Context) -> None:
    """Apply the missing migrations and print their names; grant the server's role its rights."""
    write_lines(*context.applied)
    if context.options.server_role is not None:
        await grant(context.db, context.options.server_role)


@partial(on_database, create=True)
async def seed_demo(context: Context) -> None:
    """Add the demo cinemas, unless there are cinemas already."""
    if not await seed.demo(context.db):
        write_lines("seatsync: There are cinemas already; nothing was added.", stream=sys.stderr)


@partial(on_database, create=True)
async def seed_hall(context: Context) -> None:
    """Add a hall and print its id."""
    write_lines(await seed.hall(context.db, context.options.name, context.options.seats))


@on_database
async def user_create(context: Context) -> None:
    """Add a user, and print the authenticator's secret and the recovery phrase, this once.

    What cannot be printed is not added: no one would have the secret.
    """
    name = context.options.name
    role = context.options.role or context.settings.default_role

    def show(uri: str, phrase: str) -> None:
        head = f"User {name} ({role}). Scan this with an authenticator app:"
        write_lines(head, "", *_qr_code(uri), "", uri, "", "Recovery phrase, shown only now:", phrase)

    async with context.db.transaction(timeout=PRINT_S) as session:
        await accounts.add_user(session, context.settings, name, role, show)


def _qr_code(uri: str) -> list[str]:
    """A QR code in half blocks, or in ``#`` where the terminal has none; light on dark, as most terminals are."""
    import qrcode  # noqa: PLC0415 - no other command draws

    code, drawn = qrcode.QRCode(border=2), StringIO()
    code.add_data(uri)
    code.print_ascii(drawn, invert=True)
    lines = drawn.getvalue().replace("\xa0", " ").splitlines()
    if all(line == printable(line, sys.stdout.encoding) for line in lines):
        return lines
    return ["".join("  " if is_dark else "##" for is_dark in row) for row in code.get_matrix()]


@on_database
async def token(context: Context) -> None:
    """Print the tokens of new sessions."""
    options, settings = context.options, context.settings
    issued = await accounts.session_tokens(
        context.db, settings, options.name, create=options.create, count=options.count
    )
    write_lines(*issued)


@on_database
async def code(context: Context) -> None:
    """Print a user's present code."""
    write_lines(await accounts.present_code(context.db, context.settings, context.options.name))


@on_database
async def secrets_rotate(context: Context) -> None:
    """Encrypt all authenticators' secrets with the first key."""
    keyring = Keyring(context.settings.secrets_keys)
    count = await encryption.rotate(context.db, keyring)
    write_lines(f"Secrets encrypted anew: {count}. All are under the key {keyring.ids[0]}.")


def psql(options: argparse.Namespace) -> int:
    """Run psql and return its status; without a psql print the address of the database."""
    if options.arguments[:1] in (["--help"], ["-?"]):
        write_lines(
            "usage: seatsync psql [ARGUMENT …]", "", "Open psql on the database in use. The arguments are psql's:", ""
        )
    with resolve_database(load_settings()) as (settings, _):
        dsn = settings.database_url or ""
        program = shutil.which("psql") or find_program("psql")
        if program is None:
            write_lines(dsn)
            return 0
        address, environment = _without_password(dsn)
        before = signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C ends a query of psql, not us
        try:
            return subprocess.call([program, address, *options.arguments], env=environment)  # noqa: S603 -- no shell
        finally:
            signal.signal(signal.SIGINT, before)


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The address without its password, as every user of the machine can read it, and the environment with it."""
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn, dict(os.environ)
    credentials, _, place = parts.netloc.rpartition("@")
    netloc = f"{credentials.partition(':')[0]}@{place}"
    return parts._replace(netloc=netloc).geturl(), os.environ | {"PGPASSWORD": unquote(parts.password)}
