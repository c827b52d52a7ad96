"""The group commit of seat changes: its metric, and the message for a change that a lock blocks."""

from seatsync.core.postgres.group_commit import GroupCommit
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Histogram, Metrics
from seatsync.core.timing import Timing
from seatsync.hall.feed import HallFeed
from seatsync.hall.store import HallStore, Write

BLOCKED = "Somebody else is changing that hall and has not finished; try again in a moment."

SEATS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Bounds of the histogram."""


def group_commit(feed: HallFeed, store: HallStore, metrics: Metrics, timing: Timing) -> GroupCommit[Write, Json]:
    """Build the queue of seat changes; its `run` has to be started."""
    seats = batch_seats(metrics)
    return GroupCommit(feed.commit, store.unlocked, seats.observe, BLOCKED, timing=timing)


def batch_seats(metrics: Metrics) -> Histogram:
    """Register the histogram of seats in a batch."""
    return metrics.add_histogram("write_batch_seats", "Seats that one group commit wrote.", SEATS)
