"""The server beside the field: the same load for each, in one run, on one machine.

    python -m tests.bench                    every measure, then RESULTS.md
    python -m tests.bench join --rounds 1    one measure
    python -m tests.bench --quick            short rounds: to see that it works, not for figures

How it is done, so that anyone can judge the figures:

- Each entrant is a process of its own, pinned to one core. The load comes from this process on another core, through
  `seatsync.load`'s connections, so every entrant meets the same client. PostgreSQL runs off the server's core unless a
  measure says otherwise, and its CPU time is listed apart.
- Rounds are interleaved: every entrant runs once, in an order that rotates, before any runs again. A figure is the
  median over the rounds, a ratio the median of the ratios within each round.
- CPU time is the kernel's account of the process (`/proc/PID/task/*/schedstat`, in nanoseconds), from just before the
  load to the moment the last client has the last frame. What the kernel does to deliver a frame on loopback happens
  inside the sender's `send` and is in it, for every entrant.
- The payloads are Seats Sync's own, byte for byte. Revisions are in them, and every client checks that none is
  missing, repeated or out of order.
"""
