"""The methods by name: access, parameters, and how each is run.

A domain hands in a table of `Method`. WebSocket connections and the HTTP API find methods here and run them alike.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import Any, NewType, Protocol

from attrs import frozen

from seatsync import errors, jsontext
from seatsync.core.protocol.call import Call, Client, Reply
from seatsync.core.protocol.params import structure

#: JSON text as bytes, made by PostgreSQL or by `encode`.
Json = NewType("Json", bytes)


class Access(Enum):
    """The right that a method needs."""

    ANYONE = auto()
    IDENTIFIED = auto()
    """Anyone, a guest as well, once the session that the client names has been checked."""
    READ = auto()
    """Guests while ``PUBLIC_VIEW`` is on, and users."""
    USER = auto()
    WRITE = auto()
    """Users with `Identity.may_write`."""


class Kind(Enum):
    """The way in which a connection runs a method."""

    CALL = auto()
    """Awaited before the connection's next message is started."""
    WRITE = auto()
    """Queued at once, answered after its commit; several of a connection may be in flight."""
    SUBSCRIBE = auto()
    """WebSocket only; begun at once, sends its own frames."""
    UNSUBSCRIBE = auto()


class Pending(Protocol):
    """A queued write: the return value of `Kind.WRITE` methods."""

    def on_done(self, callback: Callable[["Pending"], None]) -> None:
        """Call ``callback(self)`` once, from the writer's task, when the outcome is known."""

    def result(self) -> Json:
        """The reply's data, once done; raises the `SeatSyncError` that the write ended in."""

    async def wait(self) -> Json:
        """Wait for the outcome, then `result`. A cancellation leaves the write queued."""


@frozen
class Method:
    """One method of the protocol."""

    name: str
    params: type
    """An attrs class."""
    run: Callable[[Call, Any], Any]
    """`Kind.WRITE`: a plain function that returns a `Pending`. `Kind.SUBSCRIBE`: a plain function. Else an async
    function that returns the reply's data or a `Reply`."""
    access: Access = Access.ANYONE
    kind: Kind = Kind.CALL
    aliases: tuple[str, ...] = ()
    people_only: bool = False
    """It is about signing in: service keys are refused."""
    makes_visitor: bool = False
    """Its answer over HTTP, also an error, sets the visitor cookie of a client that has none."""
    result: Any = None
    """The type of the reply's data, for `Kind.SUBSCRIBE` of a snapshot's: classes of `sent`, or a union of them."""
    update: Any = None
    """`Kind.SUBSCRIBE`: the type of an update's data."""

    @property
    def over_http(self) -> bool:
        """True for everything but the subscriptions."""
        return self.kind in {Kind.CALL, Kind.WRITE}


def encode(data: Any) -> Json:
    """A reply's data as JSON; bytes pass through as they are."""
    return Json(data if isinstance(data, bytes) else jsontext.dumps(data))


class Registry:
    """The methods by name and alias."""

    def __init__(self, methods: Iterable[Method], *, public_view: bool) -> None:
        self._public_view = public_view
        self._methods: dict[str, Method] = {}
        for method in methods:
            for name in (method.name, *method.aliases):
                if name in self._methods:
                    raise ValueError(f"two methods are named {name}")
                self._methods[name] = method

    def __iter__(self) -> Iterator[Method]:
        """Each method once, in the order of the domains' tables."""
        return iter(dict.fromkeys(self._methods.values()))

    def find(self, name: str) -> Method:
        """Raises `UnknownMessageType`."""
        try:
            return self._methods[name]
        except KeyError:
            raise errors.UnknownMessageType(f"There is no method {name[:64]!r}.") from None

    async def admit(self, method: Method, client: Client, data: Any) -> Any:
        """Check the client's rights, then the data; returns the method's parameters.

        Raises `Client.refusal`, `Forbidden`, `SessionExpired`, `ServiceUnavailable`, or `structure`'s errors. It
        checkpoints only if the client's token was not verified yet.
        """
        await self.authorise(method, client)
        return structure(data, method.params)

    async def authorise(self, method: Method, client: Client) -> None:
        """Check the client's rights. Raises as `admit` does."""
        if self.has_to_identify(method, client):
            await client.identify()
        self.check_rights(method, client)

    def has_to_identify(self, method: Method, client: Client) -> bool:
        """The client names a session that has not been checked yet, and has to be for that method."""
        session = client.session
        return session is not None and not session.identified and not session.ended and not self._is_open(method)

    def check_rights(self, method: Method, client: Client) -> None:
        """Raises `Client.refusal`, `Forbidden` or `SessionExpired`, for a client whose session has been checked."""
        if method.people_only and client.session is not None and client.session.is_service:
            raise errors.Forbidden("A service key does not allow that.")
        if self._is_open(method) or method.access is Access.IDENTIFIED:
            return
        if client.session is None:
            raise client.refusal
        if client.session.ended or client.identity is None:
            raise errors.SessionExpired
        if method.access is Access.WRITE and not client.identity.may_write:
            raise errors.Forbidden

    def _is_open(self, method: Method) -> bool:
        """Whoever the client is, it may use the method."""
        return method.access is Access.ANYONE or (method.access is Access.READ and self._public_view)

    async def run(self, method: Method, call: Call, data: Any) -> Reply:
        """Admit the call, run its method and wait for the outcome.

        Raises the `SeatSyncError` that the call ends in. A cancellation leaves a write queued.
        """
        params = await self.admit(method, call.client, data)
        if method.kind is Kind.WRITE:
            pending: Pending = method.run(call, params)
            return Reply(data=await pending.wait())
        outcome = await method.run(call, params)
        return outcome if isinstance(outcome, Reply) else Reply(data=outcome)
