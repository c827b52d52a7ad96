"""The order of a channel's revisions: a state machine without I/O, time or subscribers.

Events return the update or the snapshot to publish, if any; after each, `Revisions.resync_due` is whether to read the
database.

========  ==========================  ==================================================================================
State     Meaning                     Events
========  ==========================  ==================================================================================
UNREAD    No revision is known.       read: CURRENT; BEHIND if later ones are committed, or it was doubted or found
CURRENT   All that are committed are  notified of the next: publish it; of a later one, or without data: BEHIND;
          published, or will be       of a new layout: OUTDATED
          notified.                   begin_resync, doubted, or found without having been resynced: BEHIND
BEHIND    Revisions are missing.      notified: hold it
                                      resynced with the changes: publish them, CURRENT, then replay what was held
OUTDATED  Only a snapshot leads on.   notified: hold it
                                      resynced with a snapshot: publish it if it is new, CURRENT, then replay
any but   UNREAD                      read, or notified, of another epoch that may be new: OUTDATED
any                                   end: UNREAD
========  ==========================  ==================================================================================

A resync is due in BEHIND and OUTDATED while the feed is live. While it is lost nothing in memory counts as current, and
nothing is held: the database that comes back may be of another epoch.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum, auto

from attrs import frozen

from seatsync.core.channels.documents import Snapshot, Update


class State(Enum):
    """The states of the table."""

    UNREAD = auto()
    CURRENT = auto()
    BEHIND = auto()
    OUTDATED = auto()


#: As names of this module: in Python 3.11 each look-up in an `Enum` takes 0.2 µs.
UNREAD, CURRENT, BEHIND, OUTDATED = State


@frozen
class Resync:
    """One reading of a resync: the changes after a revision of an epoch, or a snapshot."""

    since: int
    epoch: str
    needs_snapshot: bool
    committed: int
    foreign: frozenset[str] = frozenset()
    """Other epochs that were notified before."""


class Revisions:
    """The revisions of one channel, published each once and in order."""

    def __init__(self, max_held: int) -> None:
        self.live = True
        """Notifications arrive."""
        self._held: deque[tuple[int, str, bytes | None, bool]] = deque(maxlen=max_held)
        self.end()

    def end(self) -> None:
        """The channel's subject is gone, and all that was known of it."""
        self.state = UNREAD
        self.rev = -1
        """The last revision published."""
        self.epoch = ""
        self._committed = -1
        self._doubted = False
        self._other_epoch = ""
        self._foreign: set[str] = set()
        """Epochs that were notified and may be new."""
        self._past: set[str] = set()
        """Epochs that were notified, and were over when the database was read: of these there are only copies."""
        self._drop_held()

    def _drop_held(self) -> None:
        self._held.clear()
        self._overflowed = False

    @property
    def position(self) -> tuple[int, str]:
        """The last revision published, and its epoch."""
        return self.rev, self.epoch

    @property
    def newest(self) -> int:
        """The newest revision known to be committed."""
        return max(self._committed, self.rev)

    @property
    def is_current(self) -> bool:
        """All revisions known to be committed are published, and a later one would be notified."""
        return self.live and self.state is CURRENT and self._committed <= self.rev

    @property
    def resync_due(self) -> bool:
        """Revisions are missing, and those that follow would be notified."""
        return self.live and (self.state is BEHIND or self.state is OUTDATED)

    def note_committed(self, rev: int) -> None:
        """A revision is committed, as this node's own write knows first: nothing older counts as current."""
        self._committed = max(self._committed, rev)

    def notified(self, rev: int, epoch: str, data: bytes | None, *, layout: bool = False) -> Update | None:
        """A notification of a revision; without data it is a hint that there is one."""
        if epoch in self._past:
            return None
        if epoch != self.epoch:
            self._foreign.add(epoch)
        if epoch == self.epoch or self.state is UNREAD:
            self._committed = max(self._committed, rev)
        if self.state is CURRENT:
            return self._next(rev, epoch, data, layout)
        if self.state is not UNREAD:
            self._overflowed |= len(self._held) == self._held.maxlen
            self._held.append((rev, epoch, data, layout))
        return None

    def replay(self) -> Iterator[Update]:
        """The held notifications to publish, in order, for as long as the channel is in sync."""
        while self._held and self.state is CURRENT:
            update = self._next(*self._held.popleft())
            if update is not None:
                yield update
        if self._overflowed and self.state is CURRENT:
            self.state = BEHIND

    def _next(self, rev: int, epoch: str, data: bytes | None, layout: bool) -> Update | None:
        if epoch in self._past:
            return None
        if epoch != self.epoch:
            self.state = OUTDATED
            return None
        if rev <= self.rev:
            return None
        if data is None or rev != self.rev + 1:
            self.state = OUTDATED if layout else BEHIND
            return None
        self.rev = rev
        return Update(rev, rev, data)

    def read(self, rev: int, epoch: str) -> None:
        """The database was read for a subscriber."""
        if self.state is UNREAD:
            self.rev, self.epoch = rev, epoch
            self.state = BEHIND if self._doubted or self._committed > rev else CURRENT
        elif epoch != self.epoch:
            self._other_epoch = epoch
            self.state = OUTDATED

    def begin_resync(self) -> Resync | None:
        """The reading that is due, if any revision is known. A resync that fails is still due, and needs no event."""
        if self.state is UNREAD:
            return None
        if self.state is CURRENT:
            self.state = BEHIND
        self._other_epoch = ""
        self._drop_held()  # the database is read later than they were notified
        return Resync(self.rev, self.epoch, self.state is OUTDATED, self._committed, frozenset(self._foreign))

    def resynced(self, resync: Resync, found: Update | Snapshot) -> Update | Snapshot | None:
        """The resync has read all changes, or a snapshot; returns that if it is to be published."""
        if self.position != (resync.since, resync.epoch):  # the subject was gone meanwhile
            return None
        self.rev = found.rev
        self.epoch = found.epoch if isinstance(found, Snapshot) else self.epoch
        self._foreign -= resync.foreign
        self._past = self._past.union(resync.foreign, [resync.epoch]) - {self.epoch}
        self.state = CURRENT if self._other_epoch in {"", self.epoch} else OUTDATED
        if self._committed == resync.committed:  # one of another epoch is forgotten
            self._committed = self.rev
        return None if self.position == (resync.since, resync.epoch) else found

    def lost(self) -> None:
        """The feed is lost."""
        self.live = False
        self._foreign.clear()
        self._past.clear()
        self._drop_held()

    def doubt(self) -> None:
        """Note that changes may have been committed of which no notification came."""
        self._doubted |= self.state is UNREAD
        if self.state is CURRENT:
            self.state = BEHIND

    def found(self, *, resynced: bool) -> None:
        """The feed is live again, and the channel has been resynced since, or has yet to be."""
        self.live = True
        if self.state is UNREAD or not resynced:
            self.doubt()
