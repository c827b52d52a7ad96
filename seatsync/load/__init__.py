"""The load generator: many clients in a few processes, each of which verifies every frame it is sent.

::

    command  arguments in, exit status out        fleet ── starts, drives and hears ──┐
    arguments → plan ──────────────────────────────┘                                  │ JSON lines
    report, page ← totals ←───────────────────────────────────────────────────────────┤
                                                                                      ▼
    worker: loop (epoll, timers) ─ connection ─ client ─ subscriber → judge, hall     one process each
                                                       └ writer → promises

It knows the server by its protocol alone: nothing of the server's code is imported here. What needs the server's side
(session tokens, changes by SQL) is handed in by the command line as a `seatsync.load.command.Backstage`.
"""
