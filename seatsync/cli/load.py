"""``seatsync load``: the load generator, and what it needs of the server's side."""

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import trio
from attrs import frozen

from seatsync.cli.admin import resolve_database
from seatsync.config import Settings, load_settings
from seatsync.core.postgres.pool import Database, open_loop
from seatsync.core.telemetry.logs import configure_logs
from seatsync.load.fleet import Recruit
from seatsync.user import accounts
from seatsync.user.tokens import Tokens

#: Who changes seats in load tests.
USER = "load_test"


def load(options: argparse.Namespace) -> int:
    """Run a load test and return whether the server was at fault."""
    from seatsync.load import command  # noqa: PLC0415 - rich and the rest are of no use to any other command

    url = options.url or f"ws://localhost:{load_settings().ws_port}/ws"
    return command.run(options, ServerSide(options.database), url)


@frozen
class ServerSide:
    """A `seatsync.load.drive.Backstage` on the database of a server."""

    database_url: str | None
    """Instead of the one in the settings."""

    def tokens(self, count: int) -> list[str]:
        """Tokens of new sessions of `USER`, who is made if need be."""

        async def issue(settings: Settings) -> list[str]:
            configure_logs("warning", settings.log_format)
            tokens = Tokens(settings.jwt_secret or "")
            async with open_loop(), Database.open(settings.database_url or "", size=1) as db:
                return await accounts.session_tokens(db, tokens, USER, create=True, count=count)

        with resolve_database(self._settings()) as (settings, _):
            return trio.run(issue, settings)

    def sql_writer(self, stack: ExitStack, share: Mapping[str, Any]) -> Recruit:
        """A process that changes seats by SQL."""
        settings, _ = stack.enter_context(resolve_database(self._settings()))
        command = (sys.executable, "-m", "seatsync.cli.load_sql")
        return Recruit("SQL", share, command, {"DATABASE_URL": settings.database_url or ""})

    def _settings(self) -> Settings:
        override = {} if self.database_url is None else {"DATABASE_URL": self.database_url}
        return load_settings(os.environ | override)
