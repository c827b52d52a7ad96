"""Broadcasts at one pace for every entrant: what a delivered frame costs the server, and how long it takes."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from attrs import frozen

from tests.bench.account import Spent, cpu_s
from tests.bench.arithmetic import Values, percentile
from tests.bench.changes import changes
from tests.bench.entrants import FLOOR
from tests.bench.followers import Follower, Stream, latencies, subscribe
from tests.bench.herd import Herd, herd
from tests.bench.measure import FAULTS, Bench, Figure, Measure
from tests.bench.processes import Server
from tests.bench.samples import LARGE

#: After our name: with an eid of its own for each subscriber: a frame is then encoded for each, not once.
OWN_EIDS = ", own eids"

#: Frames a second that every pace comes to: what the slowest entrants can just do.
FRAMES_PER_S = 20_000

_SETTLE_S = 0.5


@frozen
class Load:
    """So many subscribers, and so many broadcasts."""

    subscribers: int
    broadcasts: int

    @property
    def pace(self) -> float:
        """Broadcasts a second."""
        return FRAMES_PER_S / self.subscribers


@frozen
class Watched:
    """The result of the broadcasts."""

    spent: Spent
    seconds: float
    stream: Stream
    from_commit: list[float]
    """From PostgreSQL's answer, or the line to the field's server, to each arrival, in milliseconds."""
    from_sending: list[float]
    """From the moment the statement was sent."""


def watch_ours(
    bench: Bench, server: Server, load: Load, *, own_eids: bool = False, pace: float = 0.0, seats: int = 1
) -> Watched:
    """Broadcasts that begin as changes made by SQL. Raises `BenchError`."""
    hall = bench.site.hall(LARGE)
    stream = Stream()
    with (
        herd(server.url) as followers,
        changes(bench.site, hall, pace or load.pace, load.broadcasts, seats) as made,
    ):
        subscribe(followers, stream, hall.id, load.subscribers, own_eids=own_eids)
        stream.last = stream.first + load.broadcasts
        with _settled(followers):
            before, began = bench.site.spent(server), monotonic()
            made.begin(followers)
            end = followers.run_until(
                lambda: stream.finished >= load.subscribers and bool(made.times),
                "not every subscriber had every change",
            )
            spent = bench.site.spent(server) - before
    sent, answered = zip(*made.times, strict=True)
    return Watched(spent, end - began, stream, latencies(stream, answered), latencies(stream, sent))


def watch_field(bench: Bench, server: Server, load: Load) -> Watched:
    """Broadcasts of the same frames by a server of the field. Raises `BenchError`."""
    stream = Stream(last=load.broadcasts)
    sent: list[float] = []
    with herd(server.url) as followers:
        followers.open(Follower(stream) for _ in range(load.subscribers))
        with _settled(followers):
            before, began = cpu_s(server.pids), monotonic()

            def send(rev: int) -> None:
                sent.append(monotonic())
                server.tell(bench.samples.update_at(rev))
                if rev < load.broadcasts:
                    followers.loop.at(began + rev / load.pace, lambda: send(rev + 1))

            followers.loop.at(began, lambda: send(1))
            end = followers.run_until(
                lambda: stream.finished >= load.subscribers, "not every connection had every broadcast"
            )
            spent = Spent(cpu_s(server.pids) - before, 0.0)
    passed = latencies(stream, sent)
    return Watched(spent, end - began, stream, passed, passed)


@contextmanager
def _settled(followers: Herd) -> Iterator[None]:
    """Let what the handshakes have left behind be over, on both sides; then keep the garbage collector off ours."""
    gc.collect()
    gc.freeze()
    try:
        followers.run_for(_SETTLE_S)
        yield
    finally:
        gc.unfreeze()


def _entrants(bench: Bench) -> list[str]:
    return [*bench.all_entrants, *(name + OWN_EIDS for name in bench.ours)]


def _run(bench: Bench, entrant: str, load: Load) -> Values:
    name = entrant.removesuffix(OWN_EIDS)
    with bench.server(name) as server:
        if name in bench.ours:
            watched = watch_ours(bench, server, load, own_eids=name != entrant)
        else:
            watched = watch_field(bench, server, load)
    frames = watched.stream.frames
    intended_s = load.broadcasts / load.pace
    return {
        "cpu_us": watched.spent.server / frames * 1e6,
        "postgres_us": watched.spent.postgres / frames * 1e6,
        "p50_ms": percentile(watched.from_commit, 50),
        "p99_ms": percentile(watched.from_commit, 99),
        "pace": min(1.0, intended_s / watched.seconds) * 100,
        "faults": watched.stream.faults,
    }


def _measure(subscribers: int) -> Measure:
    def load(bench: Bench) -> Load:
        return Load(subscribers, max(10, bench.scaled(60_000, 20_000) // subscribers))

    return Measure(
        f"fanout-{subscribers}",
        f"A frame to {subscribers:,} subscribers",
        f"{FRAMES_PER_S / subscribers:g} broadcasts a second, the same for every entrant, of the {{update}} bytes that "
        "Seats Sync sends for one changed seat. CPU is the server process's, for each frame that arrived. Ours "
        "includes receiving the notification from PostgreSQL and building the frame; the field gets it ready-made on "
        "standard input. The times run from the commit (ours) or the line on standard input to each client's reading "
        "of the frame; the reading of one client after the other is in them. `own eids`: every subscriber uses an eid "
        "of its own, so every frame is encoded separately; else all use the same. Pace held: below 100 % where the "
        "server did not keep up.",
        (
            Figure("cpu_us", "CPU µs/frame", 2),
            Figure("postgres_us", "PostgreSQL µs/frame", 2),
            Figure("p50_ms", "p50 ms"),
            Figure("p99_ms", "p99 ms"),
            Figure("pace", "pace held %", 0),
            FAULTS,
        ),
        _entrants,
        lambda bench, entrant: _run(bench, entrant, load(bench)),
        compared="cpu_us",
        baseline=FLOOR,
    )


FANOUT_1000 = _measure(1000)
FANOUT_5000 = _measure(5000)
