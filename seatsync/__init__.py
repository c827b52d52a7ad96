"""Seats Sync: real-time hall occupancy.

::

    frames in   socket → stream → connection → envelope → registry → <domain>.methods → group commit → PostgreSQL
    frames out  socket ← stream ← broadcast ← channel (one per hall) ← listener ← NOTIFY ← trigger, on commit ┘

A seat change reaches clients only through PostgreSQL's NOTIFY, also on the server that wrote it. So there is one order,
every server sees the same, and an ``UPDATE`` typed into psql is as live as a click.

`seatsync.app` is the composition root; `seatsync.core` holds what the domains `hall`, `cinema` and `user` share.
"""
