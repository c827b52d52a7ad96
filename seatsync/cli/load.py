"""``seatsync load``: the load generator, with sessions from the server's database."""

import argparse
import os
from functools import partial

import trio

from seatsync.config import Settings, load_settings
from seatsync.core.embedded.server import resolve_database
from seatsync.core.postgres.pool import Database
from seatsync.core.telemetry.logs import configure_logs
from seatsync.load import command
from seatsync.user import accounts


def load(options: argparse.Namespace) -> int:
    """Run a load test and return whether the server was at fault."""
    url = options.url or f"ws://localhost:{load_settings().ws_port}/ws"
    return command.run(options, partial(issue_tokens, options.database), url)


def issue_tokens(database_url: str | None, count: int) -> list[str]:
    """Tokens of new sessions of the user ``load_test``, who is added if missing; ``None``: the settings' database."""

    async def issue(settings: Settings) -> list[str]:
        configure_logs("warning", settings.log_format)
        async with Database.open(settings.database_url or "", size=1) as db:
            return await accounts.session_tokens(db, settings, "load_test", create=True, count=count)

    override = {} if database_url is None else {"DATABASE_URL": database_url}
    with resolve_database(load_settings(os.environ | override)) as (settings, _):
        return trio.run(issue, settings)
