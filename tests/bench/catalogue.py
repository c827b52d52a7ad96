"""Every measure there is, in the order of the report."""

from tests.bench.fanout import FANOUT_1000, FANOUT_5000
from tests.bench.handshakes import HANDSHAKES
from tests.bench.history import HISTORY
from tests.bench.holds import HOLDS
from tests.bench.joins import JOINS
from tests.bench.latency import BULK, IDLE
from tests.bench.measure import Measure
from tests.bench.memory import MEMORY
from tests.bench.requests import REQUESTS
from tests.bench.scale import SCALE
from tests.bench.workers import WORKERS
from tests.bench.writes import WRITES

MEASURES: tuple[Measure, ...] = (
    FANOUT_1000,
    FANOUT_5000,
    IDLE,
    BULK,
    REQUESTS,
    HANDSHAKES,
    JOINS,
    MEMORY,
    WRITES,
    WORKERS,
    HOLDS,
    SCALE,
    HISTORY,
)
