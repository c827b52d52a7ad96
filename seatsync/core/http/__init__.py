"""HTTP on both ports, on h11: the methods under ``/api``, a few pages, and the opening handshake."""
