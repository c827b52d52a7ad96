"""The write path: group commit of seat changes, whose revisions are reported to the channels."""

from collections.abc import Sequence
from functools import partial

from seatsync.core.channels.channels import Channels
from seatsync.core.channels.documents import rev_of
from seatsync.core.postgres.group_commit import GroupCommit
from seatsync.core.postgres.write_queue import Outcome
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.hall.store import HallStore, Write

BLOCKED = "Somebody else is changing that hall and has not finished; try again in a moment."

SEATS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Bounds of the histogram."""


def group_commit(store: HallStore, channels: Channels, metrics: Metrics, timing: Timing) -> GroupCommit[Write, Json]:
    """Build the queue of seat changes; its `run` has to be started."""
    seats = metrics.add_histogram("write_batch_seats", "Seats that one group commit wrote.", SEATS)
    return GroupCommit(partial(commit, store, channels), store.unlocked, seats.observe, BLOCKED, timing=timing)


async def commit(store: HallStore, channels: Channels, writes: Sequence[Write], timeout: float) -> list[Outcome[Json]]:  # noqa: ASYNC109 - the database's own
    """Apply a batch; from then on nothing older than its revisions is served here. Raises as the store does."""
    outcomes = await store.write(writes, timeout)
    for write, outcome in zip(writes, outcomes, strict=True):
        channel = channels.find(write.hall_id)
        if channel is not None and isinstance(outcome, bytes):
            channel.revisions.note_committed(rev_of(outcome))
    return outcomes
