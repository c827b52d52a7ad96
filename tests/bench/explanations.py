"""Why a target is not reached, in words, by the target's key: kept here so that measuring again keeps them.

Only those of targets whose goal is not reached are printed. Profiles: `py-spy record --pid` and `perf record -g -p` on
the server's process under the load of the measure.
"""

_LATENCY = (
    "The time goes by while a thousand sends follow one another, and while the one client process, on the core that it "
    "shares with PostgreSQL, reads what they brought: half of the subscribers cannot have a change before half of that "
    "is done. The row of the C loop, which has no database and no commit, shows how much of it that is on this machine."
)

EXPLANATIONS: dict[str, str] = {
    "latency-p50": _LATENCY,
    "latency-p99": _LATENCY,
    "join": (
        "A rate is as good as the machine: compare the handshakes above, where Node ws does nothing else. py-spy: a "
        "sixth of a joining client's CPU time is the verification of its token (PyJWT), another sixth the sending of "
        "the snapshot, which the kernel copies, and two fifths the handshake; its query is one of many in a statement."
    ),
    "workers": (
        "Both workers accept from the same sockets, and the first to wake takes what waits, so 64 connections do not "
        "always fall 32 and 32; a worker with fewer of them is idle part of its quota, which shows as less than twice "
        "the share of a core. What an answer costs stays the same."
    ),
}
