"""Memory of an idle connection in the server."""

import time

from tests.bench.account import rss_bytes
from tests.bench.arithmetic import Values
from tests.bench.entrants import FLOOR
from tests.bench.followers import Stream, subscribe
from tests.bench.herd import Herd, Member, herd
from tests.bench.measure import Bench, Figure, Measure
from tests.bench.processes import Server
from tests.bench.samples import LARGE
from tests.bench.site import SEATS_SYNC

#: Connections before the first reading: what is set up once, for the first, is no connection's own.
_FIRST = 100

_SETTLE_S = 1.0


def _run(bench: Bench, entrant: str) -> Values:
    count = bench.scaled(4000, 2000)
    with bench.server(entrant) as server, herd(server.url) as clients:
        hall = bench.site.hall(LARGE).id if entrant in bench.ours else None
        _connect(clients, hall, _FIRST)
        before = _resident(server)
        _connect(clients, hall, count)
        return {"kib": (_resident(server) - before) / count / 1024, "total_mib": _resident(server) / 2**20}


def _connect(clients: Herd, hall: int | None, count: int) -> None:
    if hall is None:
        clients.open([Member() for _ in range(count)])
    else:
        subscribe(clients, Stream(), hall, count)


def _resident(server: Server) -> int:
    """Resident bytes, after a while to settle."""
    time.sleep(_SETTLE_S)
    return sum(rss_bytes(pid) for pid in server.pids)


MEMORY = Measure(
    "memory",
    "Memory of an idle connection",
    f"The growth of resident memory over 4,000 connections after the first {_FIRST}, divided by their number. Ours "
    "have a subscription to a hall and have been sent its snapshot; the field's have done nothing. What the kernel "
    "keeps for a socket is not in it, for anybody.",
    (Figure("kib", "KiB per connection", 1), Figure("total_mib", "whole process MiB", 0)),
    lambda bench: [name for name in bench.all_entrants if name != FLOOR],
    _run,
    compared="kib",
    baseline=SEATS_SYNC,
)
