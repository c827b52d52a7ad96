"""The list of cinemas, kept live: changes are coalesced, and published at most every 100 ms.

Totals have no revision in the database: an update carries those of now, and a later one replaces it. Here the round
takes the place of the revision, and the number of lists published that of the epoch. A round reads what has changed and
publishes it. A subscriber whose list is read meanwhile may have the newer of the two, so it is ahead of that round; or
the older, so the next round publishes the same once more.
"""

from collections.abc import Sequence

import trio

from seatsync import errors, jsontext
from seatsync.cinema.store import CinemaStore
from seatsync.core.channels.broadcast import Broadcast, Subscription
from seatsync.core.channels.coalesce import SingleFlight
from seatsync.core.channels.joining import BURST, Spawn
from seatsync.core.channels.topic import Topic
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing

SUBSCRIBE = "cinemas.subscribe"

#: Changes of the list itself (a cinema was added, or one or a hall removed), and after a loss of the feed of anything.
_LIST, _ANYTHING = ("list", 0), ("anything", 0)


class LiveList(Topic):
    """The subscribers of the list of cinemas. A `seatsync.core.postgres.listener.Follower`."""

    def __init__(self, store: CinemaStore, spawn: Spawn, metrics: Metrics, *, timing: Timing = Timing()) -> None:
        super().__init__(None, Broadcast(SUBSCRIBE, metrics), spawn, timing)
        self._store = store
        self._lists: SingleFlight[Json] = SingleFlight(spawn)
        self._last: Json | None = None
        """The list as it was read last; while subscribers wait that have been sent an old one, that."""
        self._changes: set[tuple[str, int]] = set()
        """Since the last round: halls and cinemas by id, and the above."""
        self._due = trio.Event()
        self._round = 0
        self._reading = False
        self._lists_published = 0
        self._shape: dict[int, set[int]] = {}
        """The halls of each cinema as published; a joining subscriber may have a newer list."""

    # Subscribers

    async def cinemas(self) -> Json:
        """All cinemas, no older than the call. Raises `ServiceUnavailable`."""
        cinemas = await self._lists.fetch("list", self._store.all, lambda _: False)
        self._remember(cinemas)
        return cinemas

    def subscribe(self, subscriber: Subscription) -> None:
        """Send the list when the database has answered; changes follow. Never waits."""
        self._join(subscriber)

    async def _serve(self, group: Sequence[Subscription]) -> None:
        """Send everything; as updates unless the subscriber missed a list, for a list moves its user away."""
        cinemas = await self.cinemas()
        if all(other.rev < 0 for other in self.subscribers):
            self._shape = _shape_of(cinemas)
        old = [subscriber for subscriber in group if _has_old(subscriber)]
        if old and self._last is not None and _shape_of(self._last) != _shape_of(cinemas):
            for subscriber in old:
                subscriber.epoch = ""
        round_, epoch = self._round + self._reading, str(self._lists_published)
        for number, subscriber in enumerate(group, 1):
            frames = _as_updates(cinemas) if subscriber.epoch == epoch else [(b"snapshot", cinemas)]
            self._deliver(subscriber, round_, epoch, *frames)
            if number % BURST == 0:
                await trio.lowlevel.checkpoint()
        self._remember(cinemas)

    def _remember(self, cinemas: Json) -> None:
        if not any(map(_has_old, self._joining)):
            self._last = cinemas

    def _send_old(self, subscriber: Subscription) -> None:
        """Send the last list, and that it is old."""
        if self._last is not None:
            subscriber.epoch = str(self._lists_published)
            subscriber.send(b"snapshot", self._last)
            self._notify_waiting(subscriber)

    def _is_ahead(self, subscriber: Subscription) -> bool:
        return subscriber.rev > self._round

    def _bring_up(self, subscriber: Subscription) -> bool | None:
        return True if subscriber.rev == self._round else None

    # Notifications

    def hall_changed(self, payload: str) -> None:
        """``hall <id> …``: its totals may have changed."""
        hall_id, _, rest = payload.partition(" ")
        if rest != "deleted":
            self._note(("hall", int(hall_id)))

    def cinema_changed(self, payload: str) -> None:
        """``cinema <id>``: its name or colour changed, or it has a new or renamed hall."""
        self._note(("cinema", int(payload)))

    def list_changed(self, _: str) -> None:
        """``cinemas``: one was added, or one or a hall removed."""
        self._note(_LIST)

    def lost(self) -> None:
        """The feed is lost: the list is read again after its return."""

    async def resync(self) -> None:
        """The feed is live again: anything may have changed."""
        self._note(_ANYTHING)

    def set_stale(self, *, stale: bool) -> None:
        """Notify every subscriber that what it sees may be old; that it no longer is, after the next round."""
        if stale:
            super().set_stale(stale=True)
        else:
            self.stale = False
            self._due.set()

    def _note(self, *changes: tuple[str, int]) -> None:
        if self.in_use:
            self._changes.update(changes)
            self._due.set()

    # Publishing

    async def run(self) -> None:
        """Publish what has changed, round by round, until cancelled."""
        while True:
            await self._due.wait()
            self._due = trio.Event()
            changes, self._changes = self._changes, set()
            self._reading = True
            try:
                frames = await self._read(changes)
            except Exception as error:  # noqa: BLE001 - whatever it is, the list has to catch up
                self._note(*(changes if isinstance(error, errors.ServiceUnavailable) else [_ANYTHING]))
                await self._pause(error)
            else:
                self._publish(changes, frames)
            finally:
                self._reading = False
            await trio.sleep(self._timing.gather_s)

    async def _read(self, changes: set[tuple[str, int]]) -> list[tuple[bytes, Json]]:
        """The frames that publish the changes: a list where it has changed itself, else an update for each cinema."""
        if _LIST in changes or _ANYTHING in changes:
            everything = await self._store.all()
            shape, published = _shape_of(everything), self._shape
            if self._last is not None and all(other.rev < 0 for other in self.subscribers):
                published = _shape_of(self._last)
            self._shape = shape
            self._remember(everything)
            return [(b"snapshot", everything)] if _LIST in changes or shape != published else _as_updates(everything)
        cinemas, halls = ([id_ for of, id_ in changes if of == kind] for kind in ("cinema", "hall"))
        frames = await self._store.cinemas(cinemas) if cinemas else []
        frames += await self._store.totals(halls) if halls else []
        return [(b"update", data) for data in frames]

    def _publish(self, changes: set[tuple[str, int]], frames: list[tuple[bytes, Json]]) -> None:
        again = bool(self._joining or self._ahead)
        for status, data in frames:
            self._lists_published += status == b"snapshot"
            self._send_all(status, data, self._round, str(self._lists_published))
        self._round += 1
        self._settle_ahead()
        if _ANYTHING not in self._changes:
            super().set_stale(stale=self.stale)
        if again:
            self._note(*changes)


def _has_old(subscriber: Subscription) -> bool:
    """It waits, and has been sent an old list."""
    return subscriber.rev < 0 and bool(subscriber.epoch)


def _shape_of(cinemas: Json) -> dict[int, set[int]]:
    """The halls of each cinema, by id."""
    return {cinema["id"]: {hall["id"] for hall in cinema["halls"]} for cinema in jsontext.loads(cinemas)}


def _as_updates(cinemas: Json) -> list[tuple[bytes, Json]]:
    """The list as an update for each cinema."""
    return [(b"update", Json(jsontext.dumps(cinema))) for cinema in jsontext.loads(cinemas)]
