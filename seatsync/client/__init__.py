"""The Python client: halls that stay live over lost connections, and writes that are made once.

`connect` is where to begin. A request raises the errors of `seatsync.errors`, with ``code``, ``message`` and
``retry_after``, and those here.
"""

from seatsync.client.changes import Change, Changes
from seatsync.client.closing import ClosedForGood, NoConnection, OutcomeUnknown
from seatsync.client.history import Hall, Moment
from seatsync.client.session import Seats, connect
from seatsync.client.timing import Timing

__all__ = [
    "Change",
    "Changes",
    "ClosedForGood",
    "Hall",
    "Moment",
    "NoConnection",
    "OutcomeUnknown",
    "Seats",
    "Timing",
    "connect",
]
