"""The channels of a node, and what the loss and the return of the feed do to them."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio
from attrs import define, field

from seatsync import errors
from seatsync.core.channels.broadcast import Broadcast
from seatsync.core.channels.channel import MAX_UPDATES, Channel, Source
from seatsync.core.channels.revisions import State
from seatsync.core.channels.topic import Spawn
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing


@define(eq=False)
class Channels:
    """Channels by key, opened at first use and dropped when idle. A `seatsync.core.postgres.listener.Follower`."""

    _method: str
    _source: Source
    _spawn: Spawn
    _metrics: Metrics
    _timing: Timing = field(default=Timing(), kw_only=True)
    _max_updates: int = field(default=MAX_UPDATES, kw_only=True)
    _channels: dict[int, Channel] = field(init=False, factory=dict)
    _live: bool = field(init=False, default=False)
    _stale: bool = field(init=False, default=False)

    def open(self, key: int) -> Channel:
        """The channel of that key."""
        channel = self._channels.get(key)
        if channel is None:
            broadcast = Broadcast(self._method, self._metrics)
            channel = Channel(
                key, broadcast, self._source, self._spawn, timing=self._timing, max_updates=self._max_updates
            )
            channel.revisions.live, channel.stale = self._live, self._stale
            self._channels[key] = channel
        return channel

    @contextmanager
    def use(self, key: int) -> Iterator[Channel]:
        """The channel of that key, for one request; none is kept for a key without a subject."""
        channel = self.open(key)
        try:
            yield channel
        except errors.Missing:
            if channel.revisions.state is State.UNREAD and not channel.in_use:
                self._drop(channel)
            raise

    def _drop(self, channel: Channel) -> None:
        if self._channels.get(channel.key) is channel:
            del self._channels[channel.key]

    def find(self, key: int) -> Channel | None:
        """The channel of that key, if it is open."""
        return self._channels.get(key)

    def end(self, key: int, error: errors.SeatSyncError) -> None:
        """The subject of that channel was deleted."""
        channel = self._channels.pop(key, None)
        if channel is not None:
            channel.end(error)

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
            if revs.get(key) != (channel.revisions.rev, channel.revisions.epoch):
                try:
                    await channel.resync()
                except errors.Missing:
                    self._drop(channel)
        self._live = True
        for key, channel in self._channels.items():
            channel.found(resynced=known.get(key) is channel)

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
