"""Removing what has expired, in small batches, so that no statement holds locks for long."""

from collections.abc import Sequence
from typing import Any

import structlog
import trio
from attrs import frozen

from seatsync import errors
from seatsync.core.postgres.pool import Database, DatabaseRejected
from seatsync.core.postgres.queries import Query

#: Seconds between two rounds, and between two batches of one.
ROUND_S, BATCH_S = 60.0, 0.2

logger = structlog.get_logger(__name__)


@frozen
class Prune:
    """A query that removes one batch and returns how many rows that were; 0 also while another server prunes."""

    query: Query
    args: tuple[Any, ...]


async def prune_forever(database: Database, prunes: Sequence[Prune]) -> None:
    """Run every query until it has nothing left to remove, once a minute, until cancelled."""
    while True:
        await trio.sleep(ROUND_S)
        for prune in prunes:
            try:
                while await database.fetchval(prune.query, *prune.args):  # noqa: ASYNC110 - it waits for nothing
                    await trio.sleep(BATCH_S)
            except (errors.DatabaseFault, DatabaseRejected) as error:
                logger.warning("prune_failed", query=prune.query.name, error=str(error))
