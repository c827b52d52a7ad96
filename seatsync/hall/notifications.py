"""PostgreSQL's notifications of halls, handed to their channels."""

from seatsync.core.channels.channels import Channels


def hall_notified(channels: Channels, body: str) -> None:
    """``hall <id> <epoch> <rev> [<JSON> | layout]`` or ``hall <id> deleted``."""
    key, epoch, rev, data = [*body.split(" ", 3), "", ""][:4]
    channel = channels.find(int(key))
    if channel is None:
        return
    if epoch == "deleted":
        channel.doubt()
    else:
        channel.notified(int(rev), epoch, data.encode() if data.startswith("{") else None, layout=data == "layout")
