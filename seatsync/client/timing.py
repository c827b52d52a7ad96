"""The waits of a client, in seconds, as `seatsync.core.timing` has those of a server."""

from attrs import frozen


@frozen(kw_only=True)
class Timing:
    """The defaults are for programs; tests pass shorter ones."""

    handshake_s: float = 10.0
    """To connect, with TLS and the WebSocket's handshake."""
    heartbeat_s: float = 4.0
    """Between two heartbeats."""
    dead_s: float = 12.0
    """Without an answer to heartbeats until the connection counts as lost."""
    close_s: float = 1.0
    """For the server to answer the close frame."""
    first_backoff_s: float = 0.25
    last_backoff_s: float = 8.0
    """Reconnect backoff without the server's advice: first and maximum delay."""
    settled_s: float = 5.0
    """A connection that has lasted for this long starts the backoff anew."""
    retry_s: float = 0.5
    """Before a request that the server could not serve just now is sent again, where it does not say how long."""
    call_s: float = 10.0
    """For the answer to a call, unless the call says otherwise."""
    write_s: float = 60.0
    """For the outcome of a write with a key, however often it is sent."""
