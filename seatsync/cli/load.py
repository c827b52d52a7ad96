"""``seatsync load``: the load generator, with access to the server's side."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import trio
from attrs import frozen

from seatsync.cli import load_sql
from seatsync.config import Settings, load_settings
from seatsync.core.embedded.server import resolve_database
from seatsync.core.postgres.pool import Database
from seatsync.core.telemetry.logs import configure_logs
from seatsync.load import command
from seatsync.load.processes import Work
from seatsync.user import accounts


def load(options: argparse.Namespace) -> int:
    """Run a load test and return whether the server was at fault."""
    url = options.url or f"ws://localhost:{load_settings().ws_port}/ws"
    return command.run(options, DatabaseAccess(options.database), url)


@frozen
class DatabaseAccess:
    """A `seatsync.load.processes.ServerAccess` through the server's database."""

    database_url: str | None
    """Instead of the one in the settings."""

    def tokens(self, count: int) -> list[str]:
        """Tokens of new sessions of the user ``load_test``, who is added if missing."""

        async def issue(settings: Settings) -> list[str]:
            configure_logs("warning", settings.log_format)
            async with Database.open(settings.database_url or "", size=1) as db:
                return await accounts.session_tokens(db, settings, "load_test", create=True, count=count)

        with resolve_database(self._settings()) as (settings, _):
            return trio.run(issue, settings)

    @contextmanager
    def sql_writers(self) -> Iterator[Work]:
        """With the address of the database, which is started if it is embedded."""
        with resolve_database(self._settings()) as (settings, _):
            yield partial(load_sql.work, settings.database_url or "")

    def _settings(self) -> Settings:
        override = {} if self.database_url is None else {"DATABASE_URL": self.database_url}
        return load_settings(os.environ | override)
