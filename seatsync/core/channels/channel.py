"""One hall's channel: its subscribers, its revision, the last updates, and the way back after a gap.

A subscriber joins first, then gets a snapshot, and then every update with a greater revision. A notification whose
revision is not the next one means that something was missed: the channel then reads what it missed from the database
and publishes it as one merged update; what is notified meanwhile waits and follows. Publishing never awaits; what does
runs in a nursery behind ``spawn``.

A subscriber is in one of three places: *live* (has everything the channel published), *ahead* (waits for its first
frame, or was given a snapshot newer than the channel) or *behind* (its connection is full; `Broadcast` keeps both).
"""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

import structlog
import trio

from seatsync import errors
from seatsync.core.channels.broadcast import Broadcast, Subscription
from seatsync.core.channels.history import MAX_UPDATES, History, Update
from seatsync.core.channels.singleflight import SingleFlight
from seatsync.core.channels.source import Changes, Snapshot, Source

Spawn = Callable[..., object]

#: How long to wait before asking the database again for what a channel missed.
RETRY_S = 0.25

_UPDATED_AT = b'"updated_at":"'

logger = structlog.get_logger(__name__)


class Channel:
    """The subscribers of one hall and what they have seen."""

    def __init__(self, key: int, audience: Broadcast, source: Source, spawn: Spawn) -> None:
        self.key = key
        self.audience = audience
        self.rev = -1
        """The last revision published; -1 until the channel has read its first."""
        self.epoch = ""
        self.live = True
        """Notifications come in: what is in memory is current."""
        self.stale = False
        """Subscribers were told that what they see may be old."""
        self.idle_since = trio.current_time()
        self._source = source
        self._spawn = spawn
        self._snapshots: SingleFlight[Snapshot] = SingleFlight(spawn)
        self._changes: SingleFlight[Changes] = SingleFlight(spawn)
        self._history = History()
        self._ahead: set[Subscription] = set()
        self._heard = -1
        self._notified = -1
        self._cached: Snapshot | None = None
        self._new_layout = False
        self._unsynced = False
        self._syncing = False
        self._sync_lock = trio.Lock()
        self._held: deque[tuple[int, bytes | None, bool]] = deque(maxlen=MAX_UPDATES)

    @property
    def in_use(self) -> bool:
        """Somebody is subscribed, or about to be."""
        return bool(self._ahead or self.audience)

    @property
    def _current(self) -> bool:
        """Whether what is in memory is all there is, as far as this node has heard."""
        return self.live and not self._unsynced and self._heard <= self.rev

    # Joining and leaving

    async def subscribe(self, subscriber: Subscription, since: int | None, epoch: str | None) -> None:
        """Send the first frame: what was missed after ``since``, or a snapshot. Every later revision follows it.

        Raises what the source raises, unless the subscriber has been told of it by `end`; then, and when cancelled,
        the subscriber is not in.
        """
        self._ahead.add(subscriber)
        try:
            if since is None or epoch is None or not await self._resume(subscriber, since, epoch):
                snapshot = await self.snapshot()
                self._first_frame(subscriber, b"snapshot", snapshot.data, snapshot.rev, snapshot.epoch)
        except BaseException as error:
            if subscriber not in self._ahead and isinstance(error, errors.Missing):
                return
            self._ahead.discard(subscriber)
            raise

    async def _resume(self, subscriber: Subscription, since: int, epoch: str) -> bool:
        """Send what came after ``since``; ``False`` if that cannot be had in full."""
        update = self._missed_in_memory(since) if epoch == self.epoch and self._current else None
        if update is None:
            changes, _ = await self._changes.fetch((since, epoch), self._source.changes, self.key, since, epoch)
            if changes.data is None:
                return False
            self._adopt(changes.rev, changes.epoch)
            update = Update(since + 1, changes.rev, changes.data)
        data = update.data
        if update.rev == since + 1:
            data = data.replace(b'"rev":', b'"from":%d,"rev":' % update.rev, 1)
        self._first_frame(subscriber, b"update", data[:-1] + b',"resumed":true}', update.rev, epoch)
        return True

    def _missed_in_memory(self, since: int) -> Update | None:
        if since == self.rev:
            return Update(since, since, b'{"id":%d,"rev":%d,"seats":[],"seat_types":[]}' % (self.key, since))
        return self._history.after(since)

    def _first_frame(self, subscriber: Subscription, status: bytes, data: bytes, rev: int, epoch: str) -> None:
        if subscriber not in self._ahead:  # it left, or the hall was deleted, while it waited
            return
        self._send_state(subscriber, status, data, rev, epoch)
        self._settle(subscriber)

    def _send_state(self, subscriber: Subscription, status: bytes, data: bytes, rev: int, epoch: str) -> None:
        subscriber.rev, subscriber.epoch = rev, epoch
        subscriber.told_stale = self.stale
        subscriber.send(status, mark_stale(data) if self.stale else data)

    def _adopt(self, rev: int, epoch: str) -> None:
        """The channel's first reading; a later one of another epoch means that the hall has to be read anew."""
        if self.rev < 0:
            self.rev, self.epoch = rev, epoch
            if self._unsynced or self._heard > rev:
                self._sync_soon()
        elif epoch != self.epoch:
            self._new_layout = True
            self._sync_soon()

    def leave(self, subscriber: Subscription) -> None:
        """Forget the subscriber."""
        self._ahead.discard(subscriber)
        self.audience.discard(subscriber)
        self.idle_since = trio.current_time()

    # Bringing one subscriber up to date

    def _settle(self, subscriber: Subscription) -> None:
        """Put a subscriber that has had its first frame where it belongs, sending what it misses; never waits."""
        if self._is_ahead(subscriber):
            self.audience.discard(subscriber)
            self._ahead.add(subscriber)
            return
        self._ahead.discard(subscriber)
        if subscriber.sink.has_room and self._bring_up(subscriber):
            self.audience.add(subscriber)
            self._tell_stale(subscriber)
        else:
            self.audience.fall_behind(subscriber)

    def _is_ahead(self, subscriber: Subscription) -> bool:
        """Whether the channel has yet to come to where the subscriber is; of two epochs, a resync finds the newer."""
        if subscriber.epoch == self.epoch:
            return subscriber.rev > self.rev
        return self._new_layout

    def _bring_up(self, subscriber: Subscription) -> bool:
        """Send what it misses; ``False`` while it has to wait, for room or for a snapshot."""
        if (subscriber.rev, subscriber.epoch) == (self.rev, self.epoch):
            return True
        missed = self._history.after(subscriber.rev) if subscriber.epoch == self.epoch else None
        snapshot = self._cached
        if missed is None or (snapshot and snapshot.rev == self.rev and len(snapshot.data) < len(missed.data)):
            self._spawn(self._catch_up, subscriber)
            return False
        subscriber.rev = missed.rev
        return subscriber.send(b"update", missed.data)

    def caught_up(self, subscriber: Subscription) -> None:
        """A subscriber's connection has drained: send it what it missed meanwhile, as one frame."""
        if subscriber in self.audience.behind:
            self._settle(subscriber)

    async def _catch_up(self, subscriber: Subscription) -> None:
        """A snapshot for who missed more than the history has, or more than a snapshot is long."""
        while self._can_catch_up(subscriber):
            try:
                snapshot = await self.snapshot()
            except Exception as error:  # noqa: BLE001 - whatever it is, the subscriber has to catch up
                await self._pause(error)
                continue
            if self._can_catch_up(subscriber):
                self._send_state(subscriber, b"snapshot", snapshot.data, snapshot.rev, snapshot.epoch)
                self._settle(subscriber)
            return

    def _can_catch_up(self, subscriber: Subscription) -> bool:
        """It has neither left nor filled up again, after which `caught_up` follows."""
        return subscriber in self.audience.behind and subscriber.sink.has_room

    async def _pause(self, error: Exception) -> None:
        """Wait before asking again; a fault that is not the database's absence is told to the log."""
        if not isinstance(error, errors.DatabaseFault | errors.Missing):
            logger.error("channel_fault", channel=self.key, exc_info=error)
        await trio.sleep(RETRY_S)

    # Revisions

    def heard(self, rev: int) -> None:
        """A revision is known to be committed (a notification, or this node's own write): nothing older is served."""
        self._heard = max(self._heard, rev)

    def notified(self, rev: int, data: bytes | None, *, layout: bool = False) -> None:
        """A notification: publish it if it is the next revision, else find out what was missed."""
        self.heard(rev)
        follows, self._notified = rev == self._notified + 1, rev
        if self.rev < 0 or rev <= self.rev:
            return
        if self._unsynced:
            # Anybody may NOTIFY a revision that comes to be the next one only later: its data are not PostgreSQL's.
            self._held.append((rev, data if follows else None, layout))
        elif data is None or rev != self.rev + 1:
            self._new_layout |= layout
            self._sync_soon()
        else:
            self._publish(Update(rev, rev, data))

    def _publish(self, update: Update) -> None:
        self.rev = update.rev
        self._history.append(update)
        self._broadcast(b"update", update.data)
        self.audience.metrics.commit_to_push_seconds.observe(age_s(update.data))
        for subscriber in self._waiting():
            if subscriber.rev <= self.rev:
                self._settle(subscriber)

    def _broadcast(self, status: bytes, data: bytes) -> None:
        for subscriber in self.audience.broadcast(status, data):
            subscriber.rev, subscriber.epoch = self.rev, self.epoch
            self.audience.fall_behind(subscriber)

    def _waiting(self) -> list[Subscription]:
        """Those ahead that have had their first frame."""
        return [subscriber for subscriber in self._ahead if subscriber.rev >= 0] if self._ahead else []

    def _sync_soon(self) -> None:
        """Have the channel catch up with the database, in the background; a lost feed's return does it otherwise."""
        self._unsynced = True
        if self.live and not self._syncing:
            self._syncing = True
            self._spawn(self._sync)

    async def _sync(self) -> None:
        try:
            while self._unsynced and self.live and self.rev >= 0:
                try:
                    await self.resync()
                except errors.Missing:
                    return
                except Exception as error:  # noqa: BLE001 - whatever it is, the channel has to catch up
                    await self._pause(error)
        finally:
            self._syncing = False

    async def resync(self) -> None:
        """Publish what the database has and this channel has not, as one merged update or a snapshot.

        Raises what the source raises, after `end` if that is the not-found error. A cancellation leaves the channel as
        it was, to be resynced.
        """
        async with self._sync_lock:
            if self.rev < 0:
                return
            self._unsynced = True
            heard = self._heard
            try:
                changes = None if self._new_layout else await self._source.changes(self.key, self.rev, self.epoch)
                if changes is None or changes.data is None:
                    await self._publish_snapshot()
                elif changes.rev > self.rev:
                    self._publish(Update(self.rev + 1, changes.rev, changes.data))
            except errors.Missing as error:
                self.end(error)
                raise
            if self._heard == heard:
                self._heard = self.rev  # also where a notification had named a revision that does not exist
            self._unsynced = self._new_layout
            self._replay()

    def _replay(self) -> None:
        """Take up the notifications that waited for the resync."""
        held = list(self._held)
        self._held.clear()
        for rev, data, layout in held:
            self.notified(rev, data, layout=layout)

    async def _publish_snapshot(self) -> None:
        """Read the hall anew, and send it to everybody if it is not what they have."""
        self._new_layout = False
        try:
            snapshot = await self._snapshots.fetch_anew("snapshot", self._source.snapshot, self.key)
        except BaseException:
            self._new_layout = True
            raise
        self._cached = snapshot
        if (snapshot.rev, snapshot.epoch) != (self.rev, self.epoch):
            self.rev, self.epoch = snapshot.rev, snapshot.epoch
            self._history.clear()
            self._broadcast(b"snapshot", mark_stale(snapshot.data) if self.stale else snapshot.data)
        for subscriber in self._waiting():
            if subscriber.epoch != self.epoch or subscriber.rev < self.rev:
                self._send_state(subscriber, b"snapshot", snapshot.data, snapshot.rev, snapshot.epoch)
            self._settle(subscriber)

    def end(self, error: errors.SeatSyncError) -> None:
        """The hall was deleted: tell every subscriber so, and forget them and all that was known of it."""
        self.rev, self.epoch = -1, ""
        self._heard = -1
        self._cached = None
        self._new_layout = self._unsynced = False
        self._history.clear()
        self._held.clear()
        for subscriber in [*self.audience, *self._ahead]:
            self.leave(subscriber)
            subscriber.ended(subscriber, error)

    # The feed behind it

    def lost(self) -> None:
        """Notifications have stopped: nothing in memory counts as current any more.

        Those that wait are forgotten: what comes back may be of another epoch.
        """
        self.live = False
        self._held.clear()

    def found(self, *, resynced: bool) -> None:
        """Notifications come in again, and the channel has been resynced since, or has yet to be."""
        self.live = True
        if self._unsynced or not resynced:
            self._sync_soon()

    def set_stale(self, *, stale: bool) -> None:
        """Tell every subscriber that what it sees may be old, or that it no longer is."""
        self.stale = stale
        for subscriber in [*self.audience, *self._waiting()]:
            self._tell_stale(subscriber)

    def _tell_stale(self, subscriber: Subscription) -> None:
        if subscriber.told_stale != self.stale and subscriber not in self.audience.behind:
            subscriber.told_stale = self.stale
            subscriber.send(b"update", b'{"id":%d,"stale":%b}' % (self.key, b"true" if self.stale else b"false"))

    # Snapshots

    async def snapshot(self) -> Snapshot:
        """The full state, at least as new as everything heard of before the call.

        From memory while that is current; else one query serves everybody who asks meanwhile, except that one begun
        before the call only counts if it turns out new enough. Raises what the source raises.
        """
        cached = self._cached
        if cached is not None and self._current and cached.rev == self.rev and cached.epoch == self.epoch:
            return cached
        heard = max(self._heard, self.rev)
        snapshot, joined = await self._snapshots.fetch("snapshot", self._source.snapshot, self.key)
        if joined and snapshot.rev < heard:
            snapshot, _ = await self._snapshots.fetch("snapshot", self._source.snapshot, self.key)
        self._adopt(snapshot.rev, snapshot.epoch)
        self._cached = snapshot
        return snapshot


def mark_stale(data: bytes) -> bytes:
    """A JSON object with ``stale: true`` added."""
    return data[:-1] + b',"stale":true}'


def age_s(update: bytes) -> float:
    """Seconds since the first seat of an update changed, by the database's clock and this one; 0 if it has none."""
    start = update.find(_UPDATED_AT)
    if start < 0:
        return 0.0
    start += len(_UPDATED_AT)
    try:
        changed = datetime.fromisoformat(update[start : update.index(b'"', start)].decode())
    except ValueError:  # whoever may NOTIFY may notify anything
        return 0.0
    return max(0.0, time.time() - changed.timestamp())
