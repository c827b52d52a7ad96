"""A channel: one subject's revisions, broadcast in order to its subscribers, with the way back after a gap.

A subscriber joins, is sent a snapshot, and then every update with a greater revision. `Revisions` decides what is
published; this reads the database for it, keeps a history in memory, and sends. Publishing never awaits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

import trio

from seatsync import errors
from seatsync.core.channels.broadcast import Broadcast, Subscription
from seatsync.core.channels.coalesce import SingleFlight
from seatsync.core.channels.documents import Documents, Snapshot, Update, age_s, mark_resumed, mark_stale
from seatsync.core.channels.history import History
from seatsync.core.channels.joining import BURST, Reads, Spawn
from seatsync.core.channels.revisions import Resync, Revisions, State
from seatsync.core.channels.topic import Topic
from seatsync.core.timing import Timing

#: Updates that a channel remembers, and notifications that it holds, at most.
MAX_UPDATES = 256

#: Revisions that a resume may have missed; beyond, a snapshot is cheaper than finding them.
MAX_MISSED = 1000


class Source(Protocol):
    """The database behind channels. Each method raises the domain's not-found error, or `ServiceUnavailable`."""

    documents: Documents

    async def snapshot(self, key: int) -> Snapshot:
        """The full state now."""

    async def changes(self, key: int, since: int, epoch: str) -> Update | None:
        """All changes after a revision of an epoch, as one update; ``None`` if only a snapshot leads on."""

    async def revs(self, keys: Sequence[int]) -> Mapping[int, tuple[int, str]]:
        """The revision and epoch of each of these subjects that exists."""


class Channel(Topic):
    """The subscribers of one subject, and what is published to them."""

    key: int

    def __init__(
        self,
        key: int,
        broadcast: Broadcast,
        source: Source,
        spawn: Spawn,
        *,
        timing: Timing = Timing(),
        reads: Reads | None = None,
        unused: Callable[["Channel"], None] = lambda _: None,
    ) -> None:
        super().__init__(key, broadcast, spawn, timing, reads)
        self.revisions = Revisions(MAX_UPDATES)
        self.idle_since = trio.current_time()
        self._unused = unused  # called when the channel has no subscriber and no state left
        self._source = source
        self._history = History(source.documents, MAX_UPDATES)
        self._snapshots = SingleFlight(partial(source.snapshot, key), spawn)
        self._cached: Snapshot | None = None
        self._resyncing = False
        self._resync_lock = trio.Lock()

    # Subscribers

    def subscribe(self, subscriber: Subscription, since: int | None, epoch: str | None) -> None:
        """Send the first frame: the changes after ``since``, or a snapshot. Every later revision follows it.

        It is sent at once if memory has it, else when the database has answered. Never waits.
        """
        if since is not None and epoch is not None and self._may_lead_on(since, epoch):
            subscriber.since = since, epoch
        if subscriber.admission is not None or not self._serve_from_memory(subscriber):
            self._join(subscriber)

    def _may_lead_on(self, since: int, epoch: str) -> bool:
        """Not, for all that is known, from another epoch or from too long ago."""
        known = self.revisions
        return not known.is_current or (epoch == known.epoch and 0 <= known.rev - since <= MAX_MISSED)

    def _serve_from_memory(self, subscriber: Subscription) -> bool:
        """Send the first frame if memory has it, and has all that is committed."""
        if subscriber.since is not None:
            update = self._remembered(*subscriber.since)
            frame = None if update is None else (b"update", mark_resumed(update))
        else:
            snapshot = self._published_snapshot() if self.revisions.is_current else None
            frame = None if snapshot is None else (b"snapshot", snapshot.data)
        if frame is not None:
            self._joining[subscriber] = None
            self._deliver(subscriber, *self.revisions.position, frame)
        return frame is not None

    def _groups(self, subscribers: list[Subscription]) -> Iterator[list[Subscription]]:
        """Those who need a snapshot, and those who resume as the first of them does."""
        resuming = [subscriber.since for subscriber in subscribers if subscriber.since is not None]
        for since in (None, *resuming[:1]):
            if group := [subscriber for subscriber in subscribers if subscriber.since == since]:
                yield group

    async def _serve(self, group: Sequence[Subscription]) -> None:
        """Read a snapshot or the changes since, and send that; where changes are not enough a snapshot is next."""
        since = group[0].since
        try:
            found = await (self.snapshot() if since is None else self._read_missed(*since))
        except errors.Missing as error:
            self.end(error)
            return
        epoch = found.epoch if isinstance(found, Snapshot) else since[1] if since is not None else ""
        for number, subscriber in enumerate(group, 1):
            if found is None:
                subscriber.since = None
            elif subscriber.since == since:  # or it has had an old snapshot meanwhile
                self._deliver(subscriber, found.rev, epoch, *_first_frames(found, subscriber))
            if number % BURST == 0:
                await trio.lowlevel.checkpoint()

    async def _read_missed(self, since: int, epoch: str) -> Update | None:
        """The changes after a revision, from memory or the database; ``None`` if only a snapshot leads on."""
        update = self._remembered(since, epoch)
        if update is None:
            update = await self._source.changes(self.key, since, epoch)
            if update is not None:
                self._read(update.rev, epoch)
        return update

    def _remembered(self, since: int, epoch: str) -> Update | None:
        """The changes after a revision, if memory has all of them."""
        if not self.revisions.is_current or self.revisions.epoch != epoch:
            return None
        if self.revisions.rev == since:
            return self._source.documents.empty(self.key, since)
        return self._history.after(since)

    def _send(self, subscriber: Subscription, status: bytes, data: bytes, rev: int, epoch: str) -> bool:
        subscriber.stale |= self.stale
        return super()._send(subscriber, status, self.marked(data), rev, epoch)

    def _send_old(self, subscriber: Subscription) -> None:
        """Send the last snapshot with the changes since, unless the client has seen more."""
        cached, since = self._cached, subscriber.since
        if cached is None:
            return
        news = self._history.after(cached.rev) if cached.epoch == self.revisions.epoch else None
        rev = cached.rev if news is None else news.rev
        if since is not None and since[1] == cached.epoch and since[0] > rev:
            return
        subscriber.since, subscriber.stale = (rev, cached.epoch), True
        super()._send(subscriber, b"snapshot", mark_stale(cached.data), rev, cached.epoch)
        if news is not None:
            subscriber.send(b"update", news.data)

    def marked(self, data: bytes) -> bytes:
        """A state as a client receives it now: with ``stale`` while what is sent may be old."""
        return mark_stale(data) if self.stale else data

    def _is_ahead(self, subscriber: Subscription) -> bool:
        if subscriber.epoch == self.revisions.epoch:
            return subscriber.rev > self.revisions.rev
        return self.revisions.state is State.OUTDATED  # of two epochs, the resync that is due finds the newer

    def _bring_up(self, subscriber: Subscription) -> bool | None:
        """Send the missed updates merged, or the snapshot in memory where that is shorter."""
        rev, epoch = self.revisions.position
        if (subscriber.rev, subscriber.epoch) == (rev, epoch):
            return True
        missed = self._history.after(subscriber.rev) if subscriber.epoch == epoch else None
        snapshot = self._published_snapshot()
        if snapshot is not None and (missed is None or len(snapshot.data) < len(missed.data)):
            return self._send(subscriber, b"snapshot", snapshot.data, rev, epoch)
        if missed is None:
            return None
        subscriber.rev = missed.rev
        return subscriber.send(b"update", missed.data)

    def leave(self, subscriber: Subscription) -> None:
        """Remove the subscriber, if it is there."""
        super().leave(subscriber)
        self.idle_since = trio.current_time()
        if self.revisions.state is State.UNREAD and not self.in_use:
            self._unused(self)

    def end(self, error: errors.SeatSyncError) -> None:
        """The subject was deleted: end every subscription with that error, and drop all that was known."""
        self.revisions.end()
        self._cached = None
        self._history.clear()
        for subscriber in list(self.subscribers):
            self.leave(subscriber)
            subscriber.ended(subscriber, error)

    # Publishing

    def notified(self, rev: int, epoch: str, data: bytes | None, *, layout: bool = False) -> None:
        """A notification of a revision: its data, or ``None`` where there are none."""
        update = self.revisions.notified(rev, epoch, data, layout=layout)
        if update is None:
            self._resync_if_due()
        else:
            self._publish(update)

    def doubt(self) -> None:
        """The database may have what was not notified, or the subject no more: look."""
        self.revisions.doubt()
        self._resync_if_due()

    def found(self, *, resynced: bool) -> None:
        """The feed is live again, and the channel has been resynced since, or has yet to be."""
        self.revisions.found(resynced=resynced)
        self._resync_if_due()

    def _read(self, rev: int, epoch: str) -> None:
        self.revisions.read(rev, epoch)
        self._resync_if_due()

    def _publish(self, found: Update | Snapshot | None) -> None:
        if isinstance(found, Update):
            self._history.append(found)
            self._send_all(b"update", found.data, found.rev, self.revisions.epoch)
            self.broadcast.metrics.commit_to_push_seconds.observe(age_s(found.data))
        elif found is not None:
            self._history.clear()
            self._send_all(b"snapshot", self.marked(found.data), found.rev, found.epoch)
        if self._ahead:
            self._settle_ahead()

    def _resync_if_due(self) -> None:
        if self.revisions.resync_due and not self._resyncing:
            self._resyncing = True
            self._spawn(self._resync_until_current)

    async def _resync_until_current(self) -> None:
        try:
            while self.revisions.resync_due:
                try:
                    await self.resync()
                except errors.Missing:
                    return
                except Exception as error:  # noqa: BLE001 - whatever it is, the channel has to catch up
                    await self._pause(error)
        finally:
            self._resyncing = False

    async def resync(self) -> None:
        """Publish what the database has and this channel has not, as one merged update or a snapshot.

        Raises what the source raises, after `end` if that is the not-found error. After a cancellation the resync is
        still due.
        """
        async with self._resync_lock:
            resync = self.revisions.begin_resync()
            if resync is None:
                return
            try:
                found = await self._read_for(resync)
            except errors.Missing as error:
                self.end(error)
                raise
            self._publish(self.revisions.resynced(resync, found))
            for update in self.revisions.replay():
                self._publish(update)
            self._resync_if_due()

    async def _read_for(self, resync: Resync) -> Update | Snapshot:
        """The changes since, or a snapshot where they are not enough."""
        if not resync.needs_snapshot:
            changes = await self._source.changes(self.key, resync.since, resync.epoch)
            if changes is not None:
                return changes
        self._cached = await self._snapshots.fetch()
        return self._cached

    # Snapshots

    async def snapshot(self) -> Snapshot:
        """The full state, at least as new as every revision known to be committed before the call.

        From memory while that is current, else by one query for all callers. Raises what the source raises.
        """
        cached = self._published_snapshot()
        if cached is not None and self.revisions.is_current:
            return cached
        newest = self.revisions.newest
        snapshot = await self._snapshots.fetch(lambda found: found.rev >= newest)
        self._read(snapshot.rev, snapshot.epoch)
        self._cached = snapshot
        return snapshot

    def _published_snapshot(self) -> Snapshot | None:
        """The snapshot in memory, if it is of the revision published last."""
        cached = self._cached
        if cached is None or (cached.rev, cached.epoch) != self.revisions.position:
            return None
        return cached


def _first_frames(found: Snapshot | Update, subscriber: Subscription) -> list[tuple[bytes, bytes]]:
    """The first frame, of what was read; or the next, if anything is new, for one that has had an old snapshot."""
    if isinstance(found, Snapshot):
        return [(b"snapshot", found.data)]
    if subscriber.rev < 0:
        return [(b"update", mark_resumed(found))]
    return [(b"update", found.data)] if found.rev > subscriber.rev else []
