"""What the database says of halls, and what this node has written, handed to the channels."""

from collections.abc import Sequence

from seatsync import errors
from seatsync.core.channels.channels import Channels
from seatsync.core.postgres.write_queue import Outcome
from seatsync.core.protocol.registry import Json
from seatsync.hall.store import HallStore, Write

_REV = b'"rev":'


class HallFeed:
    """Feeds the halls' channels."""

    def __init__(self, channels: Channels, store: HallStore) -> None:
        self._channels = channels
        self._store = store

    def notified(self, payload: str) -> None:
        """One notification: ``<id> <rev> [<JSON> | layout]`` or ``<id> deleted``."""
        key, _, rest = payload.partition(" ")
        rev, _, data = rest.partition(" ")
        if rev == "deleted":
            self._channels.end(int(key), errors.HallNotFound())
            return
        channel = self._channels.find(int(key))
        if channel is None:
            return
        # Anybody may NOTIFY; whatever the trigger did not make is a hint to look, and is not shown to clients.
        is_whole = data.startswith(f'{{"id":{key},"rev":{rev},')
        channel.notified(int(rev), data.encode() if is_whole else None, layout=data == "layout")

    async def commit(self, writes: Sequence[Write], timeout: float) -> list[Outcome[Json]]:  # noqa: ASYNC109 - the database's own
        """Apply a batch; from then on nothing older than its revisions is served here. Raises as the store does."""
        outcomes = await self._store.write(writes, timeout)
        for write, outcome in zip(writes, outcomes, strict=True):
            channel = self._channels.find(write.hall_id)
            if channel is not None and isinstance(outcome, bytes):
                channel.heard(_rev_of(outcome))
        return outcomes


def _rev_of(data: bytes) -> int:
    """The revision in the JSON that ``write_seats`` made."""
    start = data.index(_REV) + len(_REV)
    return int(data[start : data.index(b",", start)])
