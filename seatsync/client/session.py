"""A server as a program sees it: one connection at a time, made anew whenever it is lost."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import trio
from attrs import define, field

from seatsync import errors
from seatsync.client.address import parse
from seatsync.client.changes import RETRYABLE, Changes
from seatsync.client.closing import FATAL, Backoff, ClosedForGood, Closing, NoConnection, OutcomeUnknown
from seatsync.client.history import Hall
from seatsync.client.link import Connector, Link
from seatsync.client.timing import Timing

_SIGNED_IN = Closing(1000, "signed in")

#: For how long a key is used: well within the ten minutes for which the server knows it.
_KEY_S = 540.0


@asynccontextmanager
async def connect(
    url: str, token: str | None = None, *, tls: ssl.SSLContext | None = None, timing: Timing = Timing()
) -> AsyncIterator["Seats"]:
    """Connect to a server for the length of the block.

    ``url`` is ``http://``, ``https://``, ``ws://``, ``wss://`` or ``host:port``, with a path where the server is below
    one. ``token`` is a session's or a service key; without one, or with one that is not valid, one is a guest. Raises
    `NoConnection` if the first connection cannot be made; later ones are tried for as long as it takes. Errors of the
    block come out as they are, not in a group. Leaving it, also by a cancellation, ends every call and iteration.
    """
    seats = Seats(Connector(parse(url), tls, timing), _checked(token))
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(seats._run, nursery)  # noqa: SLF001 - its own
            yield seats
        except Exception as error:  # noqa: BLE001 - raised below, outside the nursery, which would wrap it
            failure = error
        finally:
            link = seats._finish(trio.ClosedResourceError("The block of connect has been left."))  # noqa: SLF001
        if link is not None:
            await link.aclose()
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _checked(token: str | None) -> str | None:
    if token is not None and not (token.isascii() and token.isprintable() and token == token.strip()):
        raise NoConnection("The token has characters that no token has; nothing was sent.")
    return token


@define(eq=False)
class _Call:
    """A request, and its answer or what became of it."""

    done: trio.Event = field(factory=trio.Event)
    data: Any = None
    error: errors.SeatSyncError | None = None


@define(eq=False)
class Seats:
    """A server to which `connect` stays connected, for any number of tasks of the same trio run."""

    _connector: Connector
    _token: str | None
    _link: Link | None = field(default=None, init=False)
    _lost: str | None = field(default=None, init=False)
    """Why there is no connection."""
    _end: Exception | None = field(default=None, init=False)
    """Why there will be none."""
    _news: trio.Event = field(factory=trio.Event, init=False)
    """`_link` or `_end` has changed."""
    _calls: dict[str, _Call] = field(factory=dict, init=False)
    _changes: "WeakValueDictionary[str, Changes]" = field(factory=WeakValueDictionary, init=False)
    """The subscriptions by eid, as long as they are iterated."""
    _last_eid: int = field(default=0, init=False)
    _nursery: trio.Nursery = field(init=False)

    def hall(self, hall_id: int) -> Hall:
        """Iterate over a hall: a snapshot, then `Change` by change; see `Changes` for what ends it. Or look back."""
        return Hall("hall.subscribe", hall_id, self._subscribe, self._unsubscribe, call=self.call)

    def cinemas(self) -> Changes:
        """Iterate over the list of cinemas, with the counts of their halls, in the same way."""
        return Changes("cinemas.subscribe", None, self._subscribe, self._unsubscribe)

    async def call(
        self,
        type_: str,
        data: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - what is raised then depends on whether it was sent
    ) -> Any:
        """Call a method, and return the data of its answer. ``timeout`` is in seconds.

        Raises the error that the server answers, `NoConnection` if there was none within the time, `OutcomeUnknown` if
        the connection was lost or the time is over, and `ClosedForGood`. After a cancellation, too, the request may
        have been carried out.
        """
        call, eid = _Call(), self._new_eid()
        with trio.move_on_after(self._connector.timing.call_s if timeout is None else timeout):
            while self._link is None:
                self._raise_end()
                await self._news.wait()
            self._link.send({"type": type_, "data": data, "eid": eid})
            self._calls[eid] = call
            try:
                await call.done.wait()
            finally:
                del self._calls[eid]
            if call.error is not None:
                raise call.error
            return call.data
        raise NoConnection if self._link is None else OutcomeUnknown

    async def update_seats(
        self,
        hall_id: int,
        items: Sequence[Mapping[str, Any]],
        *,
        key: UUID | str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the error at the end of it names the key
    ) -> Any:
        """Change seats, all of ``items`` or none, by ``hall.update_seats``, and return ``{id, rev, seats}``.

        It is sent with a key, a new one unless given, and again with the same key after every unknown outcome, so that
        it is made once. ``timeout`` is for all of that, nine minutes at most: the server knows a key for ten. Raises as
        `call` does. After `OutcomeUnknown` and after a cancellation it is safe to call this again with the same key.
        """
        data = {"hall_id": hall_id, "seats": list(items), "key": str(uuid4() if key is None else key)}
        most_s = self._connector.timing.write_s if timeout is None else min(timeout, _KEY_S)
        with trio.move_on_after(most_s):
            while True:  # until it has an outcome
                try:
                    return await self.call("hall.update_seats", data)
                except (NoConnection, OutcomeUnknown):
                    await trio.lowlevel.checkpoint()
                except errors.SeatSyncError as error:
                    if error.code not in RETRYABLE:
                        raise
                    await trio.sleep(error.retry_after or self._connector.timing.retry_s)
        raise OutcomeUnknown(f"The change has no outcome so far; its key is {data['key']}.")

    async def login(self, username: str, code: str) -> str:
        """Sign in, connect again as that user, and return the session's token, for a later `connect`.

        Raises as `call` does. After a cancellation the session may have begun, and the connection be the former one.
        """
        token: str = (await self.call("user.login", {"username": username, "code": code}))["token"]
        await self.use_token(token)
        return token

    async def use_token(self, token: str) -> None:
        """Connect again with a token, and wait until that is done.

        Calls under way meanwhile raise `OutcomeUnknown`; iterations go on. Raises `ClosedForGood`. A cancellation ends
        the wait alone.
        """
        self._token = _checked(token)
        if self._link is not None:
            self._link.end(_SIGNED_IN)
            self._lose(_SIGNED_IN)
        while self._link is None:
            self._raise_end()
            await self._news.wait()

    # Subscriptions

    def _subscribe(self, changes: Changes, after_s: float) -> None:
        self._raise_end()
        if self._changes.pop(changes.eid, None) is not None:
            self._unsubscribe(changes.method, changes.eid)
        changes.eid = self._new_eid()
        self._changes[changes.eid] = changes
        if after_s:
            self._nursery.start_soon(self._request_later, changes.eid, after_s)
        elif self._lost is not None:
            changes.lose(self._lost)
        else:
            self._request(changes)

    async def _request_later(self, eid: str, after_s: float) -> None:
        link = self._link
        await trio.sleep(after_s)
        if eid in self._changes and self._link is link:  # a later connection began with it
            self._request(self._changes[eid])

    def _request(self, changes: Changes) -> None:
        if self._link is not None:
            self._link.send({"type": changes.method, "data": changes.request(), "eid": changes.eid})

    def _unsubscribe(self, method: str, eid: str) -> None:
        self._changes.pop(eid, None)
        if self._link is not None:
            type_ = method.replace(".", ".un")
            self._link.send({"type": type_, "data": {"sub_eid": eid}, "eid": self._new_eid()})

    # The connection

    async def _run(self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]) -> None:
        """Stay connected until cancelled, or until the server forbids it."""
        self._nursery = nursery
        backoff, is_first = Backoff(self._connector.timing), True

        def opened(link: Link) -> None:
            nonlocal is_first
            if token != self._token:
                link.end(_SIGNED_IN)
                return
            self._link, self._lost = link, None
            for changes in list(self._changes.values()):
                self._request(changes)
            self._notify()
            if is_first:
                task_status.started()
            is_first = False

        while True:
            started_at, token = trio.current_time(), self._token
            try:
                closing = await self._connector.converse(token, opened, self._take)
                if trio.current_time() - started_at >= self._connector.timing.settled_s:
                    backoff.reset()
            except NoConnection:
                if is_first:
                    raise
                closing = Closing(1006)
            self._lose(closing)
            if closing.code in FATAL:
                self._finish(ClosedForGood(f"The server has closed the connection for good: {closing}."))
            if self._end is not None:
                return
            if closing is not _SIGNED_IN:
                await trio.sleep(backoff.wait_s(closing))

    def _take(self, frame: dict[str, Any]) -> None:
        """A frame; one that no call waits for is the answer to a call that was cancelled."""
        eid, error = frame["eid"], None
        if frame["error"] is not None:
            error = errors.from_code(frame["error"], frame.get("message"))
            error.code, error.retry_after = frame["error"], frame.get("retry_after")
        if (call := self._calls.get(eid)) is not None:
            call.data, call.error = frame["data"], error
            call.done.set()
        elif (changes := self._changes.get(eid)) is not None:
            if error is None:
                changes.take(frame["status"], frame["data"])
            else:
                del self._changes[eid]
                changes.fail(error, self._connector.timing.retry_s)

    def _lose(self, closing: Closing) -> None:
        if self._link is None:
            return
        self._link = None
        for call in self._calls.values():
            call.error = OutcomeUnknown()
            call.done.set()
        if closing is not _SIGNED_IN:
            self._lost = str(closing)
            for changes in list(self._changes.values()):
                changes.lose(self._lost)

    def _finish(self, end: Exception) -> Link | None:
        """End every call and iteration, and return the connection, which is left to close."""
        link = self._link
        self._lose(_SIGNED_IN)
        self._end = self._end or end
        for changes in list(self._changes.values()):
            changes.end(self._end)
        self._notify()
        return link

    def _notify(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _raise_end(self) -> None:
        if self._end is not None:
            raise self._end

    def _new_eid(self) -> str:
        self._last_eid += 1
        return f"py-{self._last_eid}"
