"""All clients join at once: connect, sign in by token, take the snapshot."""

from time import monotonic

from attrs import define

from tests.bench.arithmetic import Values
from tests.bench.herd import AT_ONCE, Member, herd
from tests.bench.measure import Bench, Figure, Measure, ours_alone
from tests.bench.samples import LARGE, request

_TS = b',"ts":'


@define(eq=False)
class Arrivals:
    """The snapshots that came."""

    wanted: int
    subscribe: bytes
    snapshot: bytes = b""
    """The first one, up to the server's clock: nothing changes, so all have to be like it."""
    joined: int = 0
    faults: int = 0


class Joiner(Member):
    """One client that signs in and subscribes."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def opened(self, now: float) -> None:
        """Subscribe."""
        self.connection.send(self._arrivals.subscribe)
        super().opened(now)

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """The snapshot."""
        arrivals = self._arrivals
        if not arrivals.snapshot:
            arrivals.snapshot = data[start : data.rindex(_TS, start, end)]
            arrivals.faults += arrivals.snapshot.count(b'"place":') != LARGE
        elif not data.startswith(arrivals.snapshot, start):
            arrivals.faults += 1
        arrivals.joined += 1
        if arrivals.joined == arrivals.wanted:
            self.herd.loop.stop()


def _run(bench: Bench, entrant: str) -> Values:
    count = bench.scaled(4000, 1000)
    tokens = bench.site.tokens(count)
    hall = bench.site.hall(LARGE)
    arrivals = Arrivals(count, request("hall.subscribe", {"id": hall.id}))
    with bench.server(entrant) as server, herd(server.url) as clients:
        before, began = bench.site.spent(server), monotonic()
        clients.open([Joiner(arrivals) for _ in range(count)], tokens)
        end = clients.run_until(lambda: arrivals.joined >= count, "not every client had its snapshot")
        spent = bench.site.spent(server) - before
    passed_s = end - began
    return {
        "rate": count / passed_s,
        "cpu_us": spent.server / count * 1e6,
        "busy": spent.server / passed_s * 100,
        "postgres_us": spent.postgres / count * 1e6,
        "kilobytes": len(arrivals.snapshot) / 1000,
        "faults": arrivals.faults,
    }


JOINS = Measure(
    "join",
    "Joining",
    f"Connect, sign in with a token (its session is looked up in PostgreSQL), subscribe to a hall of {LARGE} seats and "
    f"take the snapshot; {AT_ONCE} handshakes under way, from the first connect to the last snapshot. Every snapshot "
    "is compared with the first, byte for byte. PostgreSQL shares the client's core.",
    (
        Figure("rate", "clients/s", 0),
        Figure("cpu_us", "CPU µs/client", 0),
        Figure("busy", "server's core %", 0),
        Figure("postgres_us", "PostgreSQL µs/client", 0),
        Figure("kilobytes", "snapshot kB", 0),
        Figure("faults", "wrong snapshots", 0),
    ),
    ours_alone,
    _run,
)
