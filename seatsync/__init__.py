"""Seats Sync: who sits where, live.

::

    frames in   socket → transport → connection → protocol.decode → registry → <domain>.methods → store → PostgreSQL
    frames out  socket ← transport ← channels (one per hall) ← listener ← NOTIFY ← statement trigger, on commit ┘

A change of a seat reaches clients only through PostgreSQL's NOTIFY, also on the server that wrote it. So there is one
order, every server sees the same, and an ``UPDATE`` typed into psql is as live as a click.

`seatsync.app` puts the parts together; `seatsync.core` is what halls, cinemas and users have in common.
"""
