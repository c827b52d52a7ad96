"""``seatsync psql``: psql on the database in use."""

import argparse
import os
import shutil
import signal
import subprocess
from urllib.parse import unquote, urlsplit

from seatsync.config import load_settings
from seatsync.core.embedded.programs import find_program
from seatsync.core.embedded.server import resolve_database
from seatsync.terminal import write_lines


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
