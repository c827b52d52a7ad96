"""The list of cinemas, kept live: changes are coalesced, and published at most every 100 ms.

Totals have no revision in the database: an update carries those of now, and a later one replaces it. Here the round
takes the place of the revision, and the number of lists published that of the epoch. A round reads what has changed and
publishes it. A subscriber whose list is read meanwhile may have the newer of the two, so it is ahead of that round; or
the older, so the next round publishes the same once more, and a list is read once more for that subscriber alone. One
that was behind gets the cinemas that have changed since, and the list only where it has missed one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
        self._lists = SingleFlight(store.all, spawn)
        self._last: Json | None = None
        """The list as it was read last; while subscribers wait that have been sent an old one, that."""
        self._changes: set[tuple[str, int]] = set()
        """Since the last round: halls and cinemas by id, and the above."""
        self._due = trio.Event()
        self._round = 0
        self._reading = False
        self._lists_published = 0
        self._base: Json = Json(b"[]")
        """The oldest list that a subscriber may have, apart from what has changed since."""
        self._shape: dict[int, set[int]] | None = {}
        """The halls of each cinema as all who have a list know them; ``None`` where some may know others."""
        self._changed: dict[int, int] = {}
        """The round of the last update of each cinema, since the last list."""

    # Subscribers

    async def cinemas(self) -> Json:
        """All cinemas, no older than the call. Raises `ServiceUnavailable`."""
        cinemas = await self._lists.fetch()
        self._remember(cinemas)
        return cinemas

    def subscribe(self, subscriber: Subscription) -> None:
        """Send the list when the database has answered; changes follow. Never waits."""
        self._join(subscriber)

    async def _serve(self, group: Sequence[Subscription]) -> None:
        """Send the list; to who has one only what it lacks, for a list moves its user away."""
        published = -1
        while published != self._lists_published:
            published, cinemas = self._lists_published, await self.cinemas()
        listed = _by_id(cinemas)
        if not self._served:
            self._base, self._shape = cinemas, _shape_of(listed)
            self._changed.clear()
        elif self._shape != _shape_of(listed):
            self._shape = None
        lacking = _differing(_by_id(self._last), listed) if self._last and any(map(_has_old, group)) else None
        round_, epoch = self._round + self._reading, str(published)
        for number, subscriber in enumerate(group, 1):
            keys = lacking
            if subscriber.rev >= 0:
                keys = [key for key, changed in self._changed.items() if changed >= subscriber.rev]
            if subscriber.epoch != epoch or keys is None:
                frames = [(b"snapshot", cinemas)]
            elif not (frames := _updates(listed, keys)):
                subscriber.rev = round_  # it has this list
            self._deliver(subscriber, round_, epoch, *frames)
            if number % BURST == 0:
                await trio.lowlevel.checkpoint()
                if published != self._lists_published:
                    return  # the others wait for that list
        self._remember(cinemas)

    @property
    def _served(self) -> bool:
        """A subscriber has a list, apart from an old one."""
        return any(subscriber.rev >= 0 for subscriber in self.subscribers)

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
        return True if (subscriber.rev, subscriber.epoch) == (self._round, str(self._lists_published)) else None

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
        """The frames that publish the changes: a list where others are listed, else an update for each cinema."""
        if _LIST in changes or _ANYTHING in changes:
            everything = await self._store.all()
            listed = _by_id(everything)
            known, self._shape = self._shape, _shape_of(listed)
            base, self._base = self._base, everything
            self._remember(everything)
            if known != self._shape:
                return [(b"snapshot", everything)] if self._served else []
            old = _by_id(base)
            differing = [key for key, cinema in listed.items() if cinema != old.get(key)]
            return _updates(listed, {*differing, *self._changed})
        cinemas, halls = ([id_ for of, id_ in changes if of == kind] for kind in ("cinema", "hall"))
        frames = await self._store.cinemas(cinemas) if cinemas else []
        frames += await self._store.totals(halls) if halls else []
        return [(b"update", data) for data in frames]

    def _publish(self, changes: set[tuple[str, int]], frames: list[tuple[bytes, Json]]) -> None:
        again = bool(self._joining or self._ahead)
        for status, data in frames:
            if status == b"snapshot":
                self._begin_list()
                again = False
            else:
                self._learn(data)
            self._send_all(status, data, self._round, str(self._lists_published))
        self._round += 1
        self._settle_ahead()
        if _ANYTHING not in self._changes:
            super().set_stale(stale=self.stale)
        if again:
            self._note(*changes)

    def _learn(self, update: Json) -> None:
        """The update changes its cinema in this round; the subscribers know its halls, besides those that they knew."""
        cinema = jsontext.loads(update)
        self._changed[cinema["id"]] = self._round
        if self._shape is not None and cinema["id"] in self._shape:
            self._shape[cinema["id"]].update(hall["id"] for hall in cinema["halls"])
        else:
            self._shape = None

    def _begin_list(self) -> None:
        """A list is published: who is ahead may have read an older one, and waits for it."""
        self._lists_published += 1
        self._changed.clear()
        for subscriber in list(self._ahead):
            self._ahead.discard(subscriber)
            subscriber.epoch = ""
            self._join(subscriber)


def _has_old(subscriber: Subscription) -> bool:
    """It waits, and has been sent an old list."""
    return subscriber.rev < 0 and bool(subscriber.epoch)


def _by_id(cinemas: Json) -> dict[int, Any]:
    return {cinema["id"]: cinema for cinema in jsontext.loads(cinemas)}


def _differing(old: Mapping[int, Any], new: Mapping[int, Any]) -> list[int] | None:
    """The cinemas in which two lists differ; ``None`` if they have not the same cinemas and halls."""
    if _shape_of(old) != _shape_of(new):
        return None
    return [key for key, cinema in new.items() if cinema != old[key]]


def _shape_of(listed: Mapping[int, Any]) -> dict[int, set[int]]:
    return {key: {hall["id"] for hall in cinema["halls"]} for key, cinema in listed.items()}


def _updates(listed: Mapping[int, Any], keys: Iterable[int]) -> list[tuple[bytes, Json]]:
    """An update for each of these cinemas that is listed."""
    return [(b"update", Json(jsontext.dumps(listed[key]))) for key in keys if key in listed]
