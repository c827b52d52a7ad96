"""The load generator: many clients in a few processes, each of which verifies every frame it receives.

::

    command  arguments in, exit status out        processes ── starts and directs the client processes ──┐
    arguments → plan ─────────────────────────────────┘                                                  │ pipes
    report, page ← totals ←──────────────────────────────────────────────────────────────────────────────┤
                                                                                                         ▼
    worker: loop (epoll, timers) ─ connection ─ client ─ subscriber → verifier, view             one process each
                                        (pools of them) └ writer → check

It depends on the protocol alone, and imports none of the server's code. Addresses, close frames and the backoff are
`seatsync.client`'s, connections its own: a frame through one of that client's takes ten times the CPU time. Session
tokens come from the command line.
"""


class LoadError(Exception):
    """The test cannot be run, or not to its end; the message is one sentence for a person."""
