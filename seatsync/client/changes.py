"""Subscriptions as asynchronous iterations: what arrives is merged, and a slow loop gets what is newest.

A state is brought up to date as frames arrive; all that is kept for the loop are the ids of what has changed since its
last turn. So nothing grows with the time that a turn takes.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio
from attrs import define, field, frozen

from seatsync.errors import SeatSyncError

#: Errors after which a request is sent again: it had no outcome, or an unknown one.
RETRYABLE = frozenset(
    {"ServiceUnavailable", "InternalServerError", "RateLimitExceeded", "TooManyRequests", "TooManyConnections"}
)


@frozen(kw_only=True)
class Change:
    """All that has happened since the last turn of an iteration; however many updates that were, it is one change."""

    state: Any
    """The hall, or the list of cinemas, as the protocol has it: live, so it has what arrives during the turn, too.

    A hall is ``id`` and empty lists as long as the server waits for its database and has sent no snapshot.
    """
    rev: int
    """The hall's revision at this change; 0 for the list of cinemas, and before the first snapshot."""
    changed: list[dict[str, Any]]
    """The seats, or cinemas, that have changed, whole; with a snapshot all of them."""
    is_snapshot: bool
    """The state is a new one: at first, for a new layout, and where resuming was not possible."""
    stale: bool
    """The server has lost its database: the state may be old, until a change says that it is not."""
    lost: str | None
    """Why there is no connection just now, so that the state may be old; ``None`` with one."""


@define(eq=False)
class Changes:
    """An asynchronous iteration over the changes of one subscription, for one task.

    It subscribes at its first turn and unsubscribes when it is closed, or nothing refers to it any more, as after
    ``break``. It outlasts connections, and the server's database. A turn that is cancelled takes nothing: the next one
    gets it. It ends with the server's error, such as `HallNotFound` for a hall that has been deleted, with
    `ClosedForGood`, or with `trio.ClosedResourceError` when the block of `connect` is left.
    """

    method: str
    _id: int | None
    """The hall's."""
    _subscribe: Callable[["Changes", float], None]
    """Subscribes, or subscribes anew, after so many seconds."""
    _unsubscribe: Callable[[str, str], None]
    eid: str = field(default="", init=False)
    """Of the subscription; empty before the first turn."""
    _state: dict[str, Any] = field(factory=dict, init=False)
    """The hall; for the list of cinemas an object with that list."""
    _by_id: dict[str, dict[int, dict[str, Any]]] = field(factory=dict, init=False)
    """The members of the state's lists."""
    _is_opening: bool = field(default=True, init=False)
    """The subscription has had no frame yet."""
    _is_snapshot: bool = field(default=False, init=False)
    _changed: set[int] = field(factory=set, init=False)
    _doubts: tuple[bool, str | None] = field(default=(False, None), init=False)
    """The present `Change.stale` and `Change.lost`."""
    _shown: tuple[bool, str | None] = field(default=(False, None), init=False)
    """Those of the last change."""
    _end: Exception | None = field(default=None, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    _trio: trio.lowlevel.TrioToken = field(factory=trio.lowlevel.current_trio_token, init=False)

    def __attrs_post_init__(self) -> None:
        self._replace([] if self._id is None else {"id": self._id, "seats": [], "seat_types": []})

    def __aiter__(self) -> "Changes":
        return self

    async def __anext__(self) -> Change:
        await trio.lowlevel.checkpoint()
        if not self.eid and self._end is None:
            self._subscribe(self, 0)
        while not (self._is_snapshot or self._changed or self._shown != self._doubts):
            if self._end is not None:
                end, self._end = self._end, StopAsyncIteration()
                raise end
            self._news = trio.Event()
            await self._news.wait()
        items = next(iter(self._by_id.values()))
        change = Change(
            state=self._state if self._id is not None else self._state["cinemas"],
            rev=self._state.get("rev", 0),
            changed=[items[id_] for id_ in (items if self._is_snapshot else sorted(self._changed))],
            is_snapshot=self._is_snapshot,
            stale=self._doubts[0],
            lost=self._doubts[1],
        )
        self._is_snapshot, self._changed, self._shown = False, set(), self._doubts
        return change

    async def aclose(self) -> None:
        """Unsubscribe; the iteration is over."""
        await trio.lowlevel.checkpoint()
        self._unsubscribe(self.method, self.eid)
        self.end(StopAsyncIteration())

    def __del__(self) -> None:
        if self.eid and self._end is None:
            with suppress(trio.RunFinishedError):  # not called here: the collector may run in any thread
                self._trio.run_sync_soon(self._unsubscribe, self.method, self.eid)

    # Called by the session

    def request(self) -> dict[str, Any]:
        """The data of a request to subscribe, or to resume."""
        self._is_opening = True
        hall = {} if self._id is None else {"id": self._id}
        return hall | ({"since": self._state["rev"], "epoch": self._state["epoch"]} if "epoch" in self._state else {})

    def lose(self, reason: str) -> None:
        """The connection is lost."""
        self._doubts = (self._doubts[0], reason)
        self._news.set()

    def end(self, error: Exception) -> None:
        """Raise this at the turn after what has arrived."""
        self._end = error
        self._news.set()

    def fail(self, error: SeatSyncError, retry_s: float) -> None:
        """The server has ended it: for good, or because it cannot serve it just now."""
        if error.code in RETRYABLE:
            self._subscribe(self, error.retry_after or retry_s)
        else:
            self.end(error)

    def take(self, status: str, data: Any) -> None:
        """A snapshot or an update."""
        was_stale, self._is_opening = self._doubts[0] and not self._is_opening, False
        self._doubts = (data.pop("stale", was_stale) if isinstance(data, dict) else was_stale, None)
        if status == "snapshot":
            self._replace(data)
            self._is_snapshot = True
        elif self._id is None:
            self._merge({"cinemas": [data] if "id" in data else []})
        elif data.get("rev", -1) > (rev := self._state.get("rev", -1)):  # else it says that nothing was missed
            if data.get("from", data["rev"]) > rev + 1:
                self._subscribe(self, 0)  # a revision is missing: resume
            else:
                self._merge(data)
                self._state["rev"] = data["rev"]
        self._news.set()

    def _replace(self, data: Any) -> None:
        self._state = {"cinemas": data} if self._id is None else data
        lists = ("cinemas",) if self._id is None else ("seats", "seat_types")
        self._by_id = {name: {one["id"]: one for one in self._state[name]} for name in lists}

    def _merge(self, data: dict[str, Any]) -> None:
        """Merge the lists of an update by id; a cinema's list of halls, too, which may have new ones."""
        for name, known in self._by_id.items():
            for one in data[name]:
                old = known[one["id"]]
                if "halls" in one:
                    halls = {hall["id"]: hall for hall in old["halls"]}
                    halls |= {hall["id"]: halls.get(hall["id"], {}) | hall for hall in one["halls"]}
                    one["halls"] = [halls[id_] for id_ in sorted(halls)]
                old.update(one)
        self._changed.update(one["id"] for one in data[next(iter(self._by_id))])
