"""The HTTP side of both ports, on h11: the front door, the methods under ``/api``, a few pages, the handshake's half.

`front` is what becomes of a connection; `exchange` reads and writes one request after the other, into `request` and
out of `response`; `origin` and `address` say who may ask and who asks; `api`, `pages` and `handshake` answer.
"""
