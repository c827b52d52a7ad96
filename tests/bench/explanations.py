"""Why a target is not reached, in words, by the target's key: kept here so that measuring again keeps them.

Only those of targets whose goal is not reached are printed. Profiles: `py-spy record --pid` and `perf record -g -p` on
the server's process under the load of the measure.
"""

_FRAME = (
    "perf: 71 % of the server's time is the kernel's, in `send` (TCP, delivery on loopback, waking the client), the "
    "same for everyone. 27 % is the interpreter: the loop's three calls for each frame, and hearing of the change "
    "through asyncpg and trio-asyncio, 0.3 to 0.6 ms for each change whoever listens. Writing the calls out in one "
    "place, or keeping the bound `send`, made no difference that could be measured; `__slots__` did, and is in. "
)

_PICOWS = _FRAME + "picows runs that loop in C, and is handed the finished frame."

_LATENCY = (
    "A thousand sends one after the other take 8 ms, so half of the subscribers cannot have a change before half of "
    "that has passed, and on two cores the one client process that reads them all shares its core with PostgreSQL. The "
    "row of the C loop shows what of it is reading: it has no database and no commit."
)

EXPLANATIONS: dict[str, str] = {
    "fanout-1000-floor": _FRAME,
    "fanout-5000-floor": _FRAME,
    "fanout-1000-picows": _PICOWS,
    "fanout-5000-picows": _PICOWS,
    "latency-p50": _LATENCY,
    "latency-p99": _LATENCY,
    "handshakes-node": (
        "py-spy: a quarter of a handshake is the line of log that it leaves at level `info` (172 µs of CPU with it, "
        "131 without); the rest is spread over trio's task and its first waits, the sockets' system calls and the "
        "visitor's cookie."
    ),
    "writes": (
        "A write takes 22 µs of the server and 15 µs of PostgreSQL, which has triggers, history and notification to "
        "do, and the two partly wait for each other: a batch is answered before the next one is sent. pgbench's 16 "
        "clients keep PostgreSQL busy all the time. The share depends on the disk: the slower a flush, the more group "
        "commit gains, and on a busy machine the same server does 1.25 times what pgbench does."
    ),
    "workers": (
        "Both workers accept from the same sockets, and whoever wakes first takes what waits, so 64 connections do not "
        "always fall 32 and 32; a worker with fewer of them is idle part of its quota, which shows as less than twice "
        "the share of a core. What an answer costs stays the same."
    ),
}
