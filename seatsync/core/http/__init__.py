"""HTTP on both ports, on h11: the methods under ``/api``, a few pages, and the client's half of the handshake.

`server` serves a connection; `exchange` reads and writes one request after the other, as `request` and `response`;
`admission` and `origin` decide which are served; `api`, `pages` and `upgrade` answer.
"""
