"""The channels of a node, and what the loss and the return of the feed do to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

import structlog
import trio
from attrs import Factory, define, field

from seatsync import errors
from seatsync.core.channels.broadcast import Broadcast
from seatsync.core.channels.channel import Channel, Source
from seatsync.core.channels.joining import Reads, Spawn
from seatsync.core.channels.revisions import State
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing

#: The channels are compared with the database in so many parts, one at a time.
PARTS = 4

logger = structlog.get_logger(__name__)


@define(eq=False)
class Channels:
    """Channels by key, opened at first use and dropped when idle. A `seatsync.core.postgres.listener.Follower`."""

    _method: str
    _source: Source
    _spawn: Spawn
    _metrics: Metrics
    _timing: Timing = field(default=Timing(), kw_only=True)
    _reads: Reads = field(init=False, default=Factory(lambda self: Reads(self._spawn, self._timing), takes_self=True))
    _channels: dict[int, Channel] = field(init=False, factory=dict)
    _live: bool = field(init=False, default=False)
    _stale: bool = field(init=False, default=False)

    def open(self, key: int) -> Channel:
        """The channel of that key."""
        channel = self._channels.get(key)
        if channel is None:
            broadcast = Broadcast(self._method, self._metrics)
            channel = Channel(
                key,
                broadcast,
                self._source,
                self._spawn,
                timing=self._timing,
                reads=self._reads,
                unused=self._drop,
            )
            channel.revisions.live, channel.stale = self._live, self._stale
            self._channels[key] = channel
        return channel

    @contextmanager
    def use(self, key: int) -> Iterator[Channel]:
        """The channel of that key, for one request; none is kept of which the request has learned nothing."""
        channel = self.open(key)
        try:
            yield channel
        finally:
            if channel.revisions.state is State.UNREAD and not channel.in_use:
                self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        if self._channels.get(channel.key) is channel:
            del self._channels[channel.key]

    def find(self, key: int) -> Channel | None:
        """The channel of that key, if it is open."""
        return self._channels.get(key)

    def notified(self, body: str) -> None:
        """``<key> <epoch> <rev> [<JSON> | layout]`` or ``<key> deleted``: hand it to the channel, if that is open."""
        key, epoch, rev, data = [*body.split(" ", 3), "", ""][:4]
        channel = self._channels.get(int(key))
        if channel is None:
            return
        if epoch == "deleted":
            channel.doubt()
        else:
            channel.notified(int(rev), epoch, data.encode() if data.startswith("{") else None, layout=data == "layout")

    def lost(self) -> None:
        """The feed is lost."""
        self._live = False
        for channel in self._channels.values():
            channel.revisions.lost()

    async def resync(self) -> None:
        """The feed is live again: publish what every channel missed. Raises what the source raises."""
        known = {key: one for key, one in self._channels.items() if one.revisions.state is not State.UNREAD}
        revs = await self._source.revs(list(known))
        for key, channel in known.items():
            if revs.get(key) != channel.revisions.position:
                try:
                    await channel.resync()
                except errors.Missing:
                    self._drop(channel)
        self._live = True
        for key, channel in self._channels.items():
            channel.found(resynced=known.get(key) is channel)

    async def compare_forever(self) -> None:
        """Find the changes that nothing announced, some channels at a time, until cancelled."""
        for part in cycle(range(PARTS)):
            await trio.sleep(self._timing.compare_s)
            try:
                await self.compare(part)
            except errors.SeatSyncError as error:
                logger.info("compare_failed", error=str(error))

    async def compare(self, part: int) -> None:
        """Compare the revision and epoch of the channels of a part with the database; doubt those that differ.

        Replication, disabled triggers and changes by hand send no notification. A notification may still be in flight,
        so a channel is doubted only if it stays where it was. Raises what the source raises.
        """
        known = {
            key: channel.revisions.position
            for key, channel in self._channels.items()
            if key % PARTS == part and channel.revisions.live and channel.revisions.state is State.CURRENT
        }
        revs = await self._source.revs(list(known)) if known else {}
        differing = [key for key, position in known.items() if revs.get(key) != position]
        if differing:
            await trio.sleep(self._timing.in_flight_s)
        for key in differing:
            channel = self._channels.get(key)
            if channel is not None and channel.revisions.position == known[key]:
                channel.doubt()

    def set_stale(self, *, stale: bool) -> None:
        """Notify every subscriber that what it sees may be old, or no longer is."""
        self._stale = stale
        for channel in list(self._channels.values()):
            channel.set_stale(stale=stale)

    async def evict_forever(self) -> None:
        """Drop idle channels now and then, until cancelled."""
        while True:
            await trio.sleep(self._timing.evict_s)
            self.evict_idle()

    def evict_idle(self) -> None:
        """Drop the channels that have had no subscriber for `Timing.idle_channel_s`."""
        now = trio.current_time()
        for key, channel in list(self._channels.items()):
            if not channel.in_use and now - channel.idle_since > self._timing.idle_channel_s:
                del self._channels[key]
