"""Pruning: remove expired rows in small batches, so that no statement holds locks for long."""

from collections.abc import Sequence

import structlog
import trio

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import Query
from seatsync.core.timing import Timing

logger = structlog.get_logger(__name__)


async def prune_forever(database: Database, prunes: Sequence[tuple[Query, tuple[int, ...]]], timing: Timing) -> None:
    """Run each query, with its arguments, until nothing is left to remove, every `Timing.prune_s` until cancelled.

    A query removes one batch and returns its number of rows, 0 also while another server prunes.
    """
    while True:
        await trio.sleep(timing.prune_s)
        for query, args in prunes:
            try:
                while await database.fetchval(query, *args, timeout=timing.prune_s):  # noqa: ASYNC110 - a pause, not a poll
                    await trio.sleep(timing.prune_batch_s)
            except (errors.ServiceUnavailable, DatabaseRejected) as error:
                logger.warning("prune_failed", query=query.name, error=str(error))
