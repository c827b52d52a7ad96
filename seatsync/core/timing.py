"""The waits, intervals and deadlines of a server that are not settings, in one frozen object, in seconds.

`seatsync.app` passes one `Timing` to all parts; tests pass one with shorter waits.
"""

from attrs import frozen


@frozen(kw_only=True)
class Timing:
    """The defaults are those of production."""

    # Sockets
    exhausted_s: float = 0.1
    """Pause of accepting while the process has no free descriptor."""

    # Server processes
    worker_ready_s: float = 30.0
    """From a worker's start until it accepts connections, at most."""
    worker_end_s: float = 5.0
    """For a worker to end, beyond its drain, before it is killed."""
    first_restart_s: float = 0.1
    last_restart_s: float = 5.0
    """Backoff before a dead worker is restarted: first and maximum delay."""
    settled_s: float = 30.0
    """A worker that has run for this long starts the backoff anew."""
    metrics_write_s: float = 1.0
    metrics_stale_s: float = 5.0
    """Between two writes of a worker's metrics, and the age at which they are left out of the others'."""
    postgres_check_s: float = 1.0
    """Between two checks that the embedded PostgreSQL runs."""
    seed_s: float = 300.0
    """To add initial data: the largest takes this long on a slow disk."""

    # HTTP
    head_s: float = 10.0
    """From a connection's start to its first request, and from a head's first byte to its last."""
    last_head_s: float = 1.0
    """The same while the server drains."""
    body_s: float = 30.0
    response_s: float = 30.0
    keep_alive_s: float = 75.0
    """Silence between two requests of a connection."""
    announce_delay_s: float = 0.05
    """From a login to its announcement: a page that is notified before it has the cookie reconnects as a guest."""

    # WebSocket connections
    close_s: float = 2.0
    """To flush, to receive the peer's close frame, and to read the rest, each."""
    last_writes_s: float = 2.0
    """From the start of a close until its connection's writes are answered, at most."""
    ping_after_s: float = 25.0
    drop_after_s: float = 60.0
    """Silence before a ping, and before the connection is dropped."""
    slow_for_s: float = 120.0
    """Backpressure before the connection is closed with 4008."""
    login_close_s: float = 1.0
    """From the end of a session, or a handshake that missed a login, to the close that makes the client reconnect."""
    announced_s: float = 30.0
    """For how long announcements are remembered for handshakes under way."""
    former_visitor_s: float = 60.0
    """For how long the id that a visitor had before a login still finds its sockets."""
    revoked_wait_s: float = 0.5
    """From the end of a session to its announcement as a logout: a login that replaces it is announced first."""
    handshake_s: float = 10.0
    """From the check of a handshake's session until its connection is indexed, at most."""
    tick_s: float = 0.5
    """Between two checks of the connections' deadlines."""
    seen_write_s: float = 2.0
    seen_open_s: float = 60.0
    """From the use of a session until the database has it, and between two rounds in which open sockets are uses."""

    # Channels
    retry_s: float = 0.25
    """Before a channel queries an unreachable database again."""
    first_frame_s: float = 0.25
    """For the read of a first frame. After that the subscriber waits: it gets what is in memory, marked as old."""
    waiting_after_s: float = 2.0
    """From a subscription until its subscriber, if it has got nothing, is notified that it waits."""
    idle_channel_s: float = 60.0
    evict_s: float = 10.0
    """For how long a channel without subscribers keeps its history and snapshot; between two searches for such."""
    compare_s: float = 0.75
    in_flight_s: float = 0.5
    """Between two comparisons of some channels with the database; for a notification to follow its commit."""
    gather_s: float = 0.1
    """Between two coalesced updates."""

    # PostgreSQL
    query_s: float = 2.0
    """To acquire a connection and to run a query, together."""
    cancel_s: float = 1.0
    """To cancel the statement of an abandoned session and to roll back; it is closed otherwise."""
    check_s: float = 0.5
    """Between two checks of the database."""
    probe_s: float = 2.0
    """For a LISTEN and the return of a probe."""
    beat_s: float = 1.0
    """Between two beats of the feed, and for the answer to one."""
    stale_after_s: float = 1.0
    """From a loss of the feed until subscribers are notified."""
    first_backoff_s: float = 0.05
    last_backoff_s: float = 0.5
    """Reconnect backoff of the feed: first and maximum delay."""
    feed_start_s: float = 10.0
    """From the start until the feed is live, at most, unless the database is slow."""
    migrate_s: float = 600.0
    """For one migration with its retries, and before it for those of another server."""
    migrate_lock_s: float = 2.0
    """For a migration to wait for a lock: whoever needs the same one later waits behind it."""
    first_migrate_pause_s: float = 0.25
    last_migrate_pause_s: float = 10.0
    """Before a migration that got no lock is run again: first and maximum delay."""
    auth_log_s: float = 1.0
    """Between two looks for events of accounts that no server has logged."""
    hold_check_s: float = 0.75
    """Between two looks for holds, at most; the shortest ends after 1 s."""
    hold_gather_s: float = 0.05
    """Before the next look while none is due, at least: ends that follow one another closely are one statement."""
    hold_batch_s: float = 0.002
    hold_locked_s: float = 0.1
    """While holds are due: after a batch, and where what is left is locked by others."""
    hold_count_s: float = 5.0
    """Between two counts of the holds, for the metrics."""
    prune_s: float = 60.0
    prune_batch_s: float = 0.2
    """Between two rounds of pruning, and between two batches of a round."""

    # Writes
    write_s: float = 2.0
    """From a change's arrival in the queue to its outcome."""
    commit_s: float = 1.5
    least_commit_s: float = 0.5
    """For one batch, at most, and at least, however close a deadline in it is."""
    blocked_poll_s: float = 0.05
    """Between two checks whether blocked groups are free again."""
