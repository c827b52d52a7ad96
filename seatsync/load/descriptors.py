"""Room for many connections in one process."""

import resource

from seatsync.load.failure import LoadError

#: Descriptors that are not connections.
_OTHERS = 64


def raise_limit(connections: int) -> None:
    """Allow this process descriptors for that many connections; raises `LoadError` where it may not have them."""
    wanted = connections + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise LoadError(
            f"A process may open {hard} files here, which is too few for {connections} connections: spread them over"
            " more --processes, or raise the limit (ulimit -n)."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
