"""All channels of a node, and what becomes of them when the feed is lost and found."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from seatsync import errors
from seatsync.core.channels.broadcast import Broadcast
from seatsync.core.channels.channel import Channel, Spawn
from seatsync.core.channels.source import Source
from seatsync.core.telemetry.metrics import Metrics

#: How long a channel without subscribers keeps its history and its snapshot.
IDLE_S = 60.0


class Channels:
    """The channels by key, opened when somebody first asks and dropped when nobody has for a while."""

    def __init__(self, method: str, source: Source, spawn: Spawn, metrics: Metrics) -> None:
        self._method = method
        self._source = source
        self._spawn = spawn
        self._metrics = metrics
        self._channels: dict[int, Channel] = {}
        self._live = False
        self._stale = False

    def open(self, key: int) -> Channel:
        """The channel of that key."""
        channel = self._channels.get(key)
        if channel is None:
            channel = Channel(key, Broadcast(self._method, self._metrics), self._source, self._spawn)
            channel.live, channel.stale = self._live, self._stale
            self._channels[key] = channel
        return channel

    @contextmanager
    def use(self, key: int) -> Iterator[Channel]:
        """The channel of that key, for one request: none is left for a key that turns out to stand for nothing."""
        channel = self.open(key)
        try:
            yield channel
        except errors.Missing:
            if channel.rev < 0 and not channel.in_use:
                self._drop(channel)
            raise

    def _drop(self, channel: Channel) -> None:
        if self._channels.get(channel.key) is channel:
            del self._channels[channel.key]

    def find(self, key: int) -> Channel | None:
        """The channel of that key, if it is open."""
        return self._channels.get(key)

    def end(self, key: int, error: errors.SeatSyncError) -> None:
        """What the channel stands for was deleted."""
        channel = self._channels.pop(key, None)
        if channel is not None:
            channel.end(error)

    def lost(self) -> None:
        """The feed is down."""
        self._live = False
        for channel in self._channels.values():
            channel.lost()

    async def resync(self) -> None:
        """The feed is up again: publish what every channel missed. Raises what the source raises."""
        known = {key: channel for key, channel in self._channels.items() if channel.rev >= 0}
        revs = await self._source.revs(list(known))
        for key, channel in known.items():
            if revs.get(key) != (channel.rev, channel.epoch):
                try:
                    await channel.resync()
                except errors.Missing:
                    self._drop(channel)
        self._live = True
        for key, channel in self._channels.items():
            channel.found(resynced=known.get(key) is channel)

    def set_stale(self, *, stale: bool) -> None:
        """Tell every subscriber that the feed has been down for a while, or that it is back."""
        self._stale = stale
        for channel in list(self._channels.values()):
            channel.set_stale(stale=stale)

    def evict_idle(self) -> None:
        """Drop the channels that nobody has used for `IDLE_S`."""
        now = trio.current_time()
        for key, channel in list(self._channels.items()):
            if not channel.in_use and now - channel.idle_since > IDLE_S:
                del self._channels[key]
