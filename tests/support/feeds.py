"""A hall in memory in place of PostgreSQL, and clients of its channel that verify each frame."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import trio
from attrs import define, field, frozen

from seatsync import errors
from seatsync.core.channels.broadcast import Subscribed, Subscription
from seatsync.core.channels.channel import Channel
from seatsync.core.channels.documents import Documents, Snapshot, Update
from tests.support.outlets import FakeClient, message_in

HALL = 7
METHOD = "hall.subscribe"


@frozen
class Notice:
    """The notification of one revision."""

    rev: int
    epoch: str
    data: bytes | None
    layout: bool = False

    def notify(self, channel: Channel) -> None:
        """Deliver it."""
        channel.notified(self.rev, self.epoch, self.data, layout=self.layout)


@define(eq=False)
class FakeHall:
    """A `seatsync.core.channels.channels.Source` with one hall, under any key, that keeps every revision.

    A query reads the hall at once and answers when `gate` is open: the answer may be old by then.
    """

    documents = Documents(("seats", "seat_types"), ordered=frozenset({"seat_types"}))

    rev: int = 1
    epoch: str = "a"
    seats: dict[int, str] = field(factory=lambda: dict.fromkeys(range(1, 5), "VACANT"))
    fault: Exception | None = None
    """The error that every query raises instead of answering."""
    gate: trio.Event | None = None
    queries: list[str] = field(factory=list)
    """The queries so far, by name."""
    pruned: int = 0
    """The history begins after this revision."""
    gone: bool = False
    """The hall is deleted."""
    _log: dict[int, frozenset[int] | None] = field(factory=dict)

    def change(self, seat: int, status: str, *more: tuple[int, str]) -> Notice:
        """Commit a change of one or more seats."""
        changed = {seat: status, **dict(more)}
        self.rev += 1
        self.seats |= changed
        self._log[self.rev] = frozenset(changed)
        return Notice(self.rev, self.epoch, self._update(frozenset(changed), None))

    def relay(self) -> Notice:
        """Commit a change of the layout: one more seat."""
        self.rev += 1
        self.seats[len(self.seats) + 1] = "VACANT"
        self._log[self.rev] = None
        return Notice(self.rev, self.epoch, None, layout=True)

    def renew_epoch(self, rev: int | None = None) -> Notice:
        """Begin another epoch, as a restored dump or a failover does, at that revision or the next."""
        self.epoch += "'"
        self.rev = self.rev + 1 if rev is None else rev
        self._log[self.rev] = None
        return Notice(self.rev, self.epoch, None, layout=True)

    def _update(self, seats: frozenset[int], since: int | None) -> bytes:
        head: dict[str, Any] = {"id": HALL}
        if since is not None and self.rev > since + 1:
            head["from"] = since + 1
        states = [
            {
                "id": seat,
                "status": self.seats[seat],
                "updated_at": "2026-01-01T00:00:00.000Z",
                "note": None,
                "hold_until": None,
            }
            for seat in sorted(seats)
        ]
        types = sorted({seat % 2 for seat in seats})
        return _compact(
            {**head, "rev": self.rev, "seats": states, "seat_types": [self._counts(type_) for type_ in types]}
        )

    def _counts(self, type_: int) -> dict[str, Any]:
        states = [status for seat, status in self.seats.items() if seat % 2 == type_]
        return {
            "id": type_,
            "seats_count": len(states),
            "seats": {status: states.count(status) for status in set(states)},
        }

    async def _answer(self, name: str) -> None:
        self.queries.append(name)
        if self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        if self.fault is not None:
            raise self.fault
        if self.gone and name != "revs":
            raise errors.HallNotFound

    async def snapshot(self, _: int) -> Snapshot:
        """The whole hall."""
        state = {"id": HALL, "rev": self.rev, "epoch": self.epoch}
        seats = [{"id": seat, "status": status} for seat, status in self.seats.items()]
        types = [self._counts(type_) for type_ in (0, 1)]
        snapshot = Snapshot(self.rev, self.epoch, _compact({**state, "seats": seats, "seat_types": types}))
        await self._answer("snapshot")
        return snapshot

    async def changes(self, _: int, since: int, epoch: str) -> Update | None:
        """The changes after a revision, by the rules of the SQL function."""
        missed = [self._log.get(rev) for rev in range(since + 1, self.rev + 1)]
        whole = epoch == self.epoch and self.pruned <= since <= self.rev and None not in missed
        seats = frozenset[int]().union(*(seats for seats in missed if seats))
        found = Update(since + 1, self.rev, self._update(seats, since)) if whole else None
        await self._answer("changes")
        return found

    async def revs(self, keys: Sequence[int]) -> Mapping[int, tuple[int, str]]:
        """The revision of the hall, under any key."""
        found = {key: (self.rev, self.epoch) for key in keys if not self.gone}
        await self._answer("revs")
        return found


@define(eq=False)
class Watcher(FakeClient):
    """A client with one subscription. It merges every frame; one that does not follow the last fails the test."""

    eid: str = "e1"
    chokes: bool = False
    """The next frame fills the send buffer."""
    frames: list[tuple[str, dict[str, Any]]] = field(factory=list)
    """Status and data of the received frames."""
    rev: int | None = None
    epoch: str | None = None
    seats: dict[int, str] = field(factory=dict)
    counts: dict[int, dict[str, Any]] = field(factory=dict)
    stale: bool = False
    wrong: list[str] = field(factory=list)
    """Frames out of order: kept, since a channel may survive the error that a sink raises."""
    ended: list[str] = field(factory=list)
    """The error codes that its subscription ended with."""

    def push(self, frame: bytes) -> bool:
        """Receive one whole frame."""
        message = message_in(frame)
        assert message["type"] == METHOD
        assert message["eid"] == self.eid
        assert message["error"] is None
        self.frames.append((message["status"], message["data"]))
        self._merge(message["status"], message["data"])
        self.full |= self.chokes
        return not self.full

    def _merge(self, status: str, data: dict[str, Any]) -> None:
        self.stale = data.get("stale", self.stale and status == "update")
        if "rev" not in data:
            return
        self.answered.set()
        self._check(status, data)
        if status == "snapshot":
            self.epoch = data["epoch"]
            self.seats.clear()
            self.counts.clear()
        self.rev = data["rev"]
        self.seats |= {seat["id"]: seat["status"] for seat in data["seats"]}
        self.counts |= {type_["id"]: type_ for type_ in data["seat_types"]}

    def _check(self, status: str, data: dict[str, Any]) -> None:
        if status == "snapshot":
            follows = self.rev is None or self.epoch != data["epoch"] or data["rev"] >= self.rev
        elif data.get("resumed") and data["rev"] == self.rev:
            follows = not data["seats"]
        else:
            follows = self.rev is not None and data.get("from", data["rev"]) == self.rev + 1
        if not follows:
            self.wrong.append(f"{_shape(status, data)} after {self.rev} of {self.epoch}")
            raise AssertionError(self.wrong)

    def assert_sees(self, hall: FakeHall) -> None:
        """The client's view equals the hall, and every frame followed the one before."""
        assert not self.wrong
        assert (self.rev, self.epoch, self.seats) == (hall.rev, hall.epoch, hall.seats)
        assert self.counts == {type_: hall._counts(type_) for type_ in (0, 1)}

    def subscribe(self, channel: Channel, *, resume: bool = False) -> None:
        """Subscribe; with ``resume`` from the last revision and epoch seen."""
        self.answered = trio.Event()
        self.subscriber = self.belongs_to(channel)
        channel.subscribe(self.subscriber, *((self.rev, self.epoch) if resume else (None, None)))

    async def join(self, channel: Channel, *, resume: bool = False) -> None:
        """Subscribe, and wait for the first state or the end."""
        self.subscribe(channel, resume=resume)
        await self.answered.wait()

    def belongs_to(self, topic: Subscribed) -> Subscription:
        """A subscription of this client."""
        return Subscription(self, METHOD, self.eid, topic, self._ended, asked_at=0.0)

    def _ended(self, _: Subscription, error: Exception) -> None:
        self.ended.append(error.code if isinstance(error, errors.SeatSyncError) else "a bug")
        self.answered.set()

    @property
    def revs(self) -> list[Any]:
        """Of each frame: the revision, or (from, rev), or ``snapshot`` and the revision, or whether it is stale."""
        return [_shape(status, data) for status, data in self.frames]


def _shape(status: str, data: dict[str, Any]) -> Any:
    if "rev" not in data:
        return {"stale": data["stale"]}
    if status == "snapshot":
        return f"snapshot {data['rev']}"
    return (data["from"], data["rev"]) if "from" in data else data["rev"]


def _compact(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


async def joined(channel: Channel, eid: str = "e1") -> Watcher:
    """A client that has had its snapshot."""
    watcher = Watcher(eid)
    await watcher.join(channel)
    return watcher
