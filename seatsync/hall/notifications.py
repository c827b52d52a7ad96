"""PostgreSQL's notifications of halls, handed to their channels."""

from seatsync import errors
from seatsync.core.channels.channels import Channels
from seatsync.core.channels.documents import is_update


def hall_notified(channels: Channels, payload: str) -> None:
    """``hall <id> <rev> [<JSON> | layout]`` or ``hall <id> deleted``.

    Any role may NOTIFY: data that are not the trigger's are a hint to look, and never sent to clients.
    """
    key, _, rest = payload.partition(" ")
    rev, _, data = rest.partition(" ")
    if rev == "deleted":
        channels.end(int(key), errors.HallNotFound())
        return
    channel = channels.find(int(key))
    if channel is not None:
        trusted = data.encode() if is_update(data, key, rev) else None
        channel.notified(int(rev), trusted, layout=data == "layout")
