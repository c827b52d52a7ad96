"""Pruning: remove expired rows in small batches, so that no statement holds locks for long."""

from collections.abc import Sequence
from typing import Any

import structlog
import trio
from attrs import frozen

from seatsync import errors
from seatsync.core.postgres.pool import Database, DatabaseRejected
from seatsync.core.postgres.queries import Query
from seatsync.core.timing import Timing

logger = structlog.get_logger(__name__)


@frozen
class Prune:
    """A query that removes one batch and returns its number of rows, 0 also while another server prunes."""

    query: Query
    args: tuple[Any, ...]


async def prune_forever(database: Database, prunes: Sequence[Prune], timing: Timing = Timing()) -> None:
    """Run each query until it has nothing left to remove, every `Timing.prune_s`, until cancelled."""
    while True:
        await trio.sleep(timing.prune_s)
        for prune in prunes:
            try:
                while await database.fetchval(prune.query, *prune.args):  # noqa: ASYNC110 - a pause, not a poll
                    await trio.sleep(timing.prune_batch_s)
            except (errors.DatabaseFault, DatabaseRejected) as error:
                logger.warning("prune_failed", query=prune.query.name, error=str(error))
