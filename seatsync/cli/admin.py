"""The commands that work on the database."""

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import trio
from attrs import frozen

from seatsync.cinema import seed
from seatsync.config import Settings, load_settings
from seatsync.core.embedded.programs import find_program
from seatsync.core.embedded.secret_file import read_or_make_secret
from seatsync.core.embedded.server import EmbeddedPostgres
from seatsync.core.postgres.migrate import migrate as migrate_database
from seatsync.core.postgres.pool import Database, open_loop
from seatsync.core.telemetry.logs import configure_logs
from seatsync.core.tokens import Tokens
from seatsync.user import accounts


@frozen
class Context:
    """A command's migrated database, and the settings that name it."""

    db: Database
    settings: Settings
    applied: list[str]
    """The migrations that were missing until now."""


Work: TypeAlias = Callable[[Context], Awaitable[None]]


@contextmanager
def resolve_database(settings: Settings) -> Iterator[tuple[Settings, EmbeddedPostgres | None]]:
    """The settings completed by a running database, and the embedded PostgreSQL if that is it.

    Started here, it is stopped at the end; if another process has started it, it is left running.
    """
    if settings.database_url is not None:
        yield settings, None
        return
    with EmbeddedPostgres(settings.data_dir) as postgres:
        secret = settings.jwt_secret or read_or_make_secret(settings.data_dir / "jwt_secret")
        yield settings.with_database(postgres.dsn, secret), postgres


def migrate(_: argparse.Namespace) -> int:
    """Apply the migrations that are missing and print their names."""

    async def work(context: Context) -> None:
        for name in context.applied:
            _print(name)

    return _on_database(work)


def seed_demo(_: argparse.Namespace) -> int:
    """Add the demo cinemas, unless there are cinemas already."""

    async def work(context: Context) -> None:
        if not await seed.demo(context.db):
            sys.stderr.write("seatsync: there are cinemas already; nothing was added.\n")

    return _on_database(work)


def seed_hall(options: argparse.Namespace) -> int:
    """Add a hall and print its id."""

    async def work(context: Context) -> None:
        _print(await seed.hall(context.db, options.name, options.seats))

    return _on_database(work)


def user_create(options: argparse.Namespace) -> int:
    """Add a user, and print the authenticator's secret and the recovery phrase, this once."""

    async def work(context: Context) -> None:
        role = options.role or context.settings.default_role
        user = await accounts.create_user(context.db, options.name, role)
        _print(f"User {options.name} ({role}). Scan this with an authenticator app:\n\n{_drawing(user.uri)}")
        _print(f"{user.uri}\n\nRecovery phrase, shown only now:\n{user.phrase}")

    return _on_database(work)


def user_role(options: argparse.Namespace) -> int:
    """Change a role."""

    async def work(context: Context) -> None:
        await accounts.set_role(context.db, options.name, options.role)

    return _on_database(work)


def token(options: argparse.Namespace) -> int:
    """Print new session tokens."""

    async def work(context: Context) -> None:
        tokens = Tokens(context.settings.jwt_secret or "", context.settings.cookie_secure)
        issued = await accounts.session_tokens(
            context.db, tokens, options.name, create=options.create, count=options.count
        )
        _print("\n".join(issued))

    return _on_database(work)


def psql(options: argparse.Namespace) -> int:
    """Run psql and return its status; without a psql print the address of the database."""
    with resolve_database(load_settings()) as (settings, _):
        dsn = settings.database_url or ""
        program = shutil.which("psql") or find_program("psql")
        if program is None:
            _print(dsn)
            return 0
        address, environment = _without_password(dsn)
        before = signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C ends a query of psql, not us
        try:
            return subprocess.call([program, address, *options.arguments], env=environment)  # noqa: S603 -- no shell
        finally:
            signal.signal(signal.SIGINT, before)


def _on_database(work: Work) -> int:
    async def run(settings: Settings) -> None:
        configure_logs("warning", settings.log_format)
        dsn = settings.database_url or ""
        async with open_loop(), Database.open(dsn, size=1) as db:
            await work(Context(db, settings, await migrate_database(db)))

    with resolve_database(load_settings()) as (settings, _):
        trio.run(run, settings)
    return 0


def _drawing(text: str) -> str:
    """A QR code of half blocks, light on dark as most terminals are."""
    import qrcode  # noqa: PLC0415 - no other command draws

    code = qrcode.QRCode(border=2)
    code.add_data(text)
    drawing = io.StringIO()
    code.print_ascii(out=drawing, invert=True)
    return drawing.getvalue()


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The address without its password, as every user of the machine can read it, and the environment with it."""
    parts = urlsplit(dsn)
    if parts.password is None:
        return dsn, dict(os.environ)
    credentials, _, place = parts.netloc.rpartition("@")
    netloc = f"{credentials.partition(':')[0]}@{place}"
    return parts._replace(netloc=netloc).geturl(), os.environ | {"PGPASSWORD": unquote(parts.password)}


def _print(line: object) -> None:
    sys.stdout.write(f"{line}\n")
