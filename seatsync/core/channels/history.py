"""The last revisions of a channel, kept in memory for subscribers that missed some."""

from collections import deque

from attrs import define, field

from seatsync.core.channels.documents import Documents, Update


@define
class History:
    """The newest updates without a gap, at most ``max_updates`` of them and ``max_bytes``."""

    documents: Documents
    max_updates: int = 256
    max_bytes: int = 512 * 1024
    max_merged: int = 8
    """Merged updates kept for subscribers that missed the same."""
    _updates: deque[Update] = field(factory=deque)
    _bytes: int = 0
    _merged: dict[int, Update] = field(factory=dict)

    def append(self, update: Update) -> None:
        """Add an update; one that does not follow the last begins a new history."""
        self._merged.clear()
        if self._updates and update.first != self._updates[-1].rev + 1:
            self.clear()
        self._updates.append(update)
        self._bytes += len(update.data)
        while len(self._updates) > self.max_updates or self._bytes > self.max_bytes:
            self._bytes -= len(self._updates.popleft().data)

    def clear(self) -> None:
        """Drop everything: no update leads from one layout or epoch to the next."""
        self._updates.clear()
        self._merged.clear()
        self._bytes = 0

    def after(self, rev: int) -> Update | None:
        """Everything after ``rev`` as one update, the same bytes for each call; ``None`` if some of it is gone."""
        if rev not in self._merged:
            missed = [update for update in self._updates if update.rev > rev]
            if not missed or missed[0].first != rev + 1:
                return None
            if len(self._merged) >= self.max_merged:
                self._merged.clear()
            self._merged[rev] = self.documents.merge(missed)
        return self._merged[rev]
