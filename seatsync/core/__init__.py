"""The parts that the domains share; no module here knows a domain.

::

    net          listening sockets, admission, limits, streams     websocket    frames and sockets (RFC 6455)
    http         requests, responses, the API's routes             protocol     envelope, calls, parameters, registry
    connections  open WebSockets of a node, and their deadlines    channels     revisions, broadcasts, resume
    postgres     pool, listener, group commit, migrations          embedded     the embedded PostgreSQL
    telemetry    logs and metrics                                  timing       every wait and deadline
"""
