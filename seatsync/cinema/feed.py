"""The list of cinemas, kept live: what the database says is gathered, and told at most every 100 ms.

Totals have no revision: an update carries what is so now, and a later one replaces it. A subscriber whose list arrived
while an update was being read may have the newer of the two, so it is left out of that update, and what the update was
about is read once more.
"""

from collections.abc import Callable

import orjson
import structlog
import trio
from attrs import define, field

from seatsync import errors
from seatsync.cinema.store import CinemaStore
from seatsync.core.channels.broadcast import Broadcast, Subscription
from seatsync.core.channels.singleflight import SingleFlight
from seatsync.core.protocol.registry import Json
from seatsync.core.telemetry.metrics import Metrics

SUBSCRIBE = "cinemas.subscribe"

logger = structlog.get_logger(__name__)

#: Between two updates, and before an unreachable database is asked again, in seconds.
GATHER_S, RETRY_S = 0.1, 0.5


@define
class _News:
    """What has changed since it was last told."""

    halls: set[int] = field(factory=set)
    cinemas: set[int] = field(factory=set)
    the_list: bool = False
    """A cinema is new, or one or a hall is gone."""
    unknown: bool = False
    """The feed was lost: anything may have changed."""

    def add(self, other: "_News") -> None:
        self.halls |= other.halls
        self.cinemas |= other.cinemas
        self.the_list |= other.the_list
        self.unknown |= other.unknown

    def __bool__(self) -> bool:
        return bool(self.halls or self.cinemas or self.the_list or self.unknown)


class CinemaFeed:
    """The subscribers of the list of cinemas."""

    def __init__(self, store: CinemaStore, spawn: Callable[..., object], metrics: Metrics) -> None:
        self._store = store
        self._spawn = spawn
        self._audience = Broadcast(SUBSCRIBE, metrics)
        self._lists: SingleFlight[Json] = SingleFlight(spawn)
        self._news = _News()
        self._arrived = trio.Event()
        self._joining: set[Subscription] = set()
        self._just_joined: set[Subscription] = set()
        self._owed_the_list: set[Subscription] = set()
        self._lists_told = 0
        self._shape: dict[int, set[int]] = {}
        """The halls of each cinema as the audience was told; a joiner may know of newer ones."""
        self._stale = False

    # Subscribers

    async def cinemas(self) -> Json:
        """All cinemas, as of now or later; raises `ServiceUnavailable`."""
        return await self._lists.fetch_anew("list", self._store.all)

    async def subscribe(self, subscriber: Subscription) -> None:
        """Send the list, then what changes; raises `ServiceUnavailable`, and then the subscriber is not in."""
        self._joining.add(subscriber)
        try:
            cinemas = await self.cinemas()
        except BaseException:
            self._joining.discard(subscriber)
            raise
        if subscriber in self._joining:
            self._joining.discard(subscriber)
            self._just_joined.add(subscriber)
            subscriber.send(b"snapshot", cinemas)
            if not self._audience:
                self._shape = _shape_of(cinemas)
            self._audience.add(subscriber)
            self._tell_stale(subscriber)

    def leave(self, subscriber: Subscription) -> None:
        """Forget the subscriber."""
        self._joining.discard(subscriber)
        self._just_joined.discard(subscriber)
        self._owed_the_list.discard(subscriber)
        self._audience.discard(subscriber)

    def caught_up(self, subscriber: Subscription) -> None:
        """Its connection has drained: tell it everything anew."""
        if subscriber in self._audience.behind:
            self._spawn(self._refresh, subscriber)

    async def _refresh(self, subscriber: Subscription) -> None:
        """The whole list for one subscriber; as updates unless it missed a list, for a list moves its user away."""
        while self._can_catch_up(subscriber):
            self._just_joined.add(subscriber)
            lists_told = self._lists_told
            try:
                cinemas = await self.cinemas()
            except Exception as error:
                if not isinstance(error, errors.DatabaseFault):
                    logger.exception("cinemas_fault")
                await trio.sleep(RETRY_S)
                continue
            if self._can_catch_up(subscriber) and lists_told == self._lists_told:
                self._audience.add(subscriber)
                self._just_joined.add(subscriber)
                owed = subscriber in self._owed_the_list
                self._owed_the_list.discard(subscriber)
                for data in [cinemas] if owed else _as_updates(cinemas):
                    subscriber.send(b"snapshot" if owed else b"update", data)
                self._tell_stale(subscriber)

    def _can_catch_up(self, subscriber: Subscription) -> bool:
        """It has neither left nor filled up again, after which `caught_up` follows."""
        return subscriber in self._audience.behind and subscriber.sink.has_room

    # What the database says

    def hall_changed(self, payload: str) -> None:
        """``hall …``: its totals may have changed."""
        hall_id, _, what = payload.partition(" ")
        if what != "deleted":
            self._note(_News(halls={int(hall_id)}))

    def cinema_changed(self, payload: str) -> None:
        """``cinema <id>``: its name or colour changed, or it has a new or renamed hall."""
        self._note(_News(cinemas={int(payload)}))

    def list_changed(self, _: str) -> None:
        """``cinemas``: one is new, or one or a hall is gone."""
        self._note(_News(the_list=True))

    def lost(self) -> None:
        """The feed is down: nothing to do until it is back."""

    async def resync(self) -> None:
        """The feed is back: anything may have changed."""
        self._note(_News(unknown=True))

    def set_stale(self, *, stale: bool) -> None:
        """Tell every subscriber that what it sees may be old; that it no longer is, once all else has been told."""
        self._stale = stale
        if stale:
            self._tell_all_stale()
        else:
            self._arrived.set()

    def _tell_all_stale(self) -> None:
        for subscriber in self._audience:
            if subscriber not in self._audience.behind:
                self._tell_stale(subscriber)

    def _tell_stale(self, subscriber: Subscription) -> None:
        if subscriber.told_stale != self._stale:
            subscriber.told_stale = self._stale
            subscriber.send(b"update", b'{"stale":%b}' % (b"true" if self._stale else b"false"))

    def _note(self, news: _News) -> None:
        if self._joining or self._audience:
            self._news.add(news)
            self._arrived.set()

    # Telling it

    async def run(self) -> None:
        """Tell the subscribers what has changed, gathered, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            news, self._news = self._news, _News()
            self._just_joined.clear()
            try:
                await self._tell(news)
            except errors.DatabaseFault:
                self._note(news)
                await trio.sleep(RETRY_S)
            except Exception:
                logger.exception("cinemas_fault")
                self._note(_News(unknown=True))
                await trio.sleep(RETRY_S)
            if not self._news:
                self._tell_all_stale()
            if self._joining or self._just_joined:
                self._note(news)
            await trio.sleep(GATHER_S)

    async def _tell(self, news: _News) -> None:
        if news.the_list or news.unknown:
            await self._tell_list(news)
            return
        if news.cinemas:
            self._broadcast(b"update", await self._store.cinemas(news.cinemas))
        if news.halls:
            self._broadcast(b"update", await self._store.totals(news.halls))

    async def _tell_list(self, news: _News) -> None:
        """A snapshot where the list itself changed, else an update for each cinema."""
        cinemas = await self._store.all()
        shape = _shape_of(cinemas)
        if news.the_list or shape != self._shape:
            self._broadcast(b"snapshot", [cinemas])
        else:
            self._broadcast(b"update", _as_updates(cinemas))
        self._shape = shape

    def _broadcast(self, status: bytes, frames: list[Json]) -> None:
        late = [subscriber for subscriber in self._just_joined if subscriber not in self._audience.behind]
        if status == b"snapshot":
            self._lists_told += 1
            self._owed_the_list |= self._audience.behind
        for subscriber in late:
            self._audience.discard(subscriber)
        for data in frames:
            for subscriber in self._audience.broadcast(status, data):
                self._audience.fall_behind(subscriber)
        for subscriber in late:
            self._audience.add(subscriber)


def _shape_of(cinemas: Json) -> dict[int, set[int]]:
    """The halls of each cinema, by id."""
    return {cinema["id"]: {hall["id"] for hall in cinema["halls"]} for cinema in orjson.loads(cinemas)}


def _as_updates(cinemas: Json) -> list[Json]:
    """The list as one update for each cinema."""
    return [Json(orjson.dumps(cinema)) for cinema in orjson.loads(cinemas)]
