"""The JSON of snapshots and updates, cut and extended as bytes: PostgreSQL makes it, and broadcasts never parse it.

Of a document this relies on being one compact object that begins, in this order, with::

    {"id":<key>,"from":<first revision>,"rev":<last revision>

where ``from`` is there only if an update covers several revisions. Lists of objects with an ``id`` follow
(`Documents`); an object that has changed may carry ``updated_at``.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from seatsync import jsontext

_REV = b'"rev":'
_UPDATED_AT = b'"updated_at":"'


@frozen
class Snapshot:
    """The full state at one revision."""

    rev: int
    epoch: str
    data: bytes


@frozen
class Update:
    """One frame's worth of change: the revisions ``first`` to ``rev``."""

    first: int
    rev: int
    data: bytes


@frozen
class Documents:
    """The lists of a domain's updates, by name, and those among them that a merged update orders by ``id``."""

    lists: tuple[str, ...]
    ordered: frozenset[str] = frozenset()

    def empty(self, key: int, rev: int) -> Update:
        """The update that changes nothing."""
        return Update(rev + 1, rev, jsontext.dumps({"id": key, "rev": rev, **{name: [] for name in self.lists}}))

    def merge(self, updates: Sequence[Update]) -> Update:
        """One update for a run of consecutive ones, with the newest state of each object; parses JSON."""
        if len(updates) == 1:
            return updates[0]
        first, rev = updates[0].first, updates[-1].rev
        newest: dict[str, dict[int, Any]] = {name: {} for name in self.lists}
        document: dict[str, Any] = {}
        for update in updates:
            document = jsontext.loads(update.data)
            for name, objects in newest.items():
                objects |= {one["id"]: one for one in document[name]}
        merged = {"id": document["id"], "from": first, "rev": rev}
        for name, objects in newest.items():
            merged[name] = [objects[id_] for id_ in (sorted(objects) if name in self.ordered else objects)]
        return Update(first, rev, jsontext.dumps(merged))


def rev_of(document: bytes) -> int:
    """The revision in a document; raises `ValueError` if it has none."""
    start = document.index(_REV) + len(_REV)
    return int(document[start : document.index(b",", start)])


def mark_stale(document: bytes) -> bytes:
    """The document with ``stale: true`` added."""
    return document[:-1] + b',"stale":true}'


def stale_notice(key: int | None, *, stale: bool) -> bytes:
    """The update that changes ``stale`` alone; without ``id`` for a topic that has no key."""
    head = b"{" if key is None else b'{"id":%d,' % key
    return head + b'"stale":%b}' % (b"true" if stale else b"false")


def mark_resumed(update: Update) -> bytes:
    """The update with ``resumed: true`` added, and with ``from`` even where it covers one revision."""
    data = update.data
    if update.first == update.rev:
        data = data.replace(_REV, b'"from":%d,' % update.first + _REV, 1)
    return data[:-1] + b',"resumed":true}'


def age_s(update: bytes) -> float:
    """Seconds since the update's first object changed, by the database's clock and this one's; 0 if unknown."""
    start = update.find(_UPDATED_AT)
    if start < 0:
        return 0.0
    start += len(_UPDATED_AT)
    try:
        changed = datetime.fromisoformat(update[start : update.index(b'"', start)].decode())
    except ValueError:  # any role may NOTIFY any text
        return 0.0
    return max(0.0, time.time() - changed.timestamp())
