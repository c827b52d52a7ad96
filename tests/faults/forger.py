"""Notifications by a role that may connect and nothing else: forged ones of every kind, and copies of true ones."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from attrs import define, field

from seatsync import jsontext
from seatsync.core.connections.table import alias
from seatsync.core.postgres.feed_key import FeedKey
from tests.faults.clients import Link
from tests.support.database import open_session
from tests.support.sql import Session

_PAUSE_S = 0.05

#: Of the true notifications, the last ones and the first ones of each kind are copied, over and over.
_LAST, _FIRST = 20, 10

_NOTIFY = "select count(pg_notify('seatsync', payload)) from unnest($1::text[]) payload"


@define(eq=False)
class Page(Link):
    """A page that shows the login state and the list of cinemas."""

    messages: list[Any] = field(factory=list)

    def begin(self) -> None:
        """Subscribe to both."""
        self.send("user.subscribe", {}, "user")
        self.send("cinemas.subscribe", {}, "cinemas")

    def text(self, data: bytes, start: int, end: int, now: float) -> None:
        """Keep what comes."""
        message = jsontext.loads(data[start:end])
        if isinstance(message, dict):  # not a heartbeat
            self.messages.append(message)

    @property
    def answered(self) -> set[str]:
        """The subscriptions that had a frame."""
        return {message["eid"] for message in self.messages}

    def received(self, eid: str, status: str) -> int:
        """How many frames of one subscription had that status."""
        return sum(message["eid"] == eid and message["status"] == status for message in self.messages)


@define(eq=False)
class Forger:
    """It listens, so it knows what comes next, and it knows the ids of visitors and sessions, which it could not."""

    dsn: str
    hall: int
    visitor: str
    sessions: Sequence[bytes]
    forged: int = 0
    """Payloads that are not true, so far."""
    copied: int = 0
    """Payloads that were true when the database sent them."""
    _sent: set[str] = field(factory=set)
    _first: defaultdict[str, list[str]] = field(factory=lambda: defaultdict(list))
    _last: deque[str] = field(factory=lambda: deque(maxlen=_LAST))
    _stopping: threading.Event = field(factory=threading.Event)

    def _run(self) -> None:
        with open_session(self.dsn) as session:
            session.listen()
            while not self._stopping.wait(_PAUSE_S):
                self._listen(session)
                latest = next((one for one in reversed(self._last) if f" hall {self.hall} " in one[:60]), None)
                if latest is not None and latest.endswith("}"):
                    payloads = list(dict.fromkeys(self._payloads(latest)))
                    self._sent.update(payloads)
                    session.rows(_NOTIFY, payloads)
                    self.forged += len(payloads)
                copies = list(dict.fromkeys([*chain.from_iterable(self._first.values()), *self._last]))
                session.rows(_NOTIFY, copies)
                self.copied += len(copies)

    def _listen(self, session: Session) -> None:
        for notification in session.connection.notifies(timeout=0):
            payload = notification.payload
            if payload in self._sent:
                continue
            self._last.append(payload)
            _, kind, _ = payload.split(" ", 2)
            if len(self._first[kind]) < _FIRST:
                self._first[kind].append(payload)

    def _payloads(self, latest: str) -> Iterator[str]:
        """Each body, without a tag, with one that another key made, with a true one of another body, and with none."""
        tag = latest.partition(" ")[0]
        for body in self._bodies(latest):
            yield from (body, f" {body}", FeedKey((b"guess",)).sign(body), f"{tag} {body}", f"{'A' * 22}== {body}")

    def _bodies(self, latest: str) -> Iterator[str]:
        """One of each kind, made of a true notification of the hall."""
        _, _, _, epoch, text_of_rev, data = latest.split(" ", 5)
        rev = int(text_of_rev)
        for next_rev in (rev + 1, rev + 2):
            yield f"hall {self.hall} {epoch} {next_rev} {_lie(data, next_rev)}"
        yield f"hall {self.hall} {epoch} {rev + 1000}"
        yield f"hall {self.hall} {epoch} {rev + 1} layout"
        yield f"hall {self.hall} 0{epoch} {rev + 1} layout"
        yield f"hall {self.hall} deleted"
        yield "cinema 1"
        yield "cinemas"
        for session in self.sessions:
            yield f"session {alias(session)}"
        yield f'visitor {time.time():.3f} {alias(self.visitor.encode())} {{"status":"guest"}}'
        yield "probe 0123456789abcdef"


def _lie(data: str, rev: int) -> str:
    """The update with another revision, and with each seat in another status."""
    update = jsontext.loads(data)
    update["rev"] = rev
    for seat in update["seats"]:
        seat["status"] = "VACANT" if seat["status"] == "OCCUPIED" else "OCCUPIED"
    return jsontext.dumps(update).decode()


@contextmanager
def forging(forger: Forger) -> Iterator[None]:
    """Send forged and copied notifications for the length of the block."""
    thread = threading.Thread(target=forger._run)
    thread.start()
    try:
        yield
    finally:
        forger._stopping.set()
        thread.join()
