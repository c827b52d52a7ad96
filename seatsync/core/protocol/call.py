"""Who is asking: the identity behind a token, the client behind a connection, and the call it makes."""

import math
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from attrs import define, field, frozen

if TYPE_CHECKING:
    from seatsync.core.connections.connection import Connection
    from seatsync.core.protocol.registry import Method

Role = Literal["viewer", "operator", "admin"]

#: Roles that may change seats.
WRITERS: frozenset[Role] = frozenset({"operator", "admin"})


@frozen
class Identity:
    """A user as known from a verified token and the live session behind it."""

    user_id: int
    username: str
    role: Role
    session_id: UUID
    expires_at: float
    """When the token ends: seconds since the epoch."""


@define(eq=False)
class Client:
    """One client of one connection (WebSocket), or of one request (HTTP).

    Rights come from the handshake alone: `identity` is found once and only ever ends (`ended`).
    """

    address: str
    """The peer's IP address, as text, the trusted proxies taken away."""
    visitor: str
    """The id in its visitor cookie: 32 hexadecimal digits."""
    visitor_is_new: bool = False
    """It came without a valid visitor cookie, so the answer has to set one."""
    visitor_next: str | None = None
    """The id that takes the place of `visitor` in the answer to a login over HTTP."""
    identity: Identity | None = None
    """``None`` for a guest."""
    session_id: UUID | None = None
    """The session of its token, unless that was found to be over."""
    expires_at: float = math.inf
    """When its token ends: seconds since the epoch."""
    recheck: Callable[[], Awaitable[Identity | None]] | None = None
    """Set while a token could not be checked because the database was away: finds the identity, or raises
    `ServiceUnavailable`."""
    ended: bool = False
    """The session was revoked, or its token expired, while the connection was open."""

    @property
    def username(self) -> str | None:
        """For the logs."""
        return None if self.identity is None else self.identity.username

    async def identify(self) -> Identity | None:
        """The identity, checked now if it could not be checked at the handshake.

        Raises `ServiceUnavailable` as long as it cannot be. A cancellation leaves the client unchecked, as before.
        """
        if self.recheck is not None:
            self.identity = await self.recheck()
            self.recheck = None
        return self.identity


@define(eq=False)
class Call:
    """One request being answered, and what the answer has to do besides carrying data."""

    client: Client
    method: "Method"
    eid: str
    transport: Literal["ws", "http"]
    connection: "Connection | None" = None
    """The WebSocket connection the call came on; ``None`` over HTTP."""
    asked_as: str = ""
    """The ``type`` of the request: the method's name or an alias."""
    started: float = field(factory=perf_counter)
    """When the request was read, by `time.perf_counter`."""
    new_session: str | None = None
    """A session token that was just made: an HTTP answer sets it, and a new visitor, as cookies."""
    session_ended: bool = False
    """Logged out: an HTTP answer clears the session cookie."""
    announce: dict[str, Any] | None = None
    """What the open sockets of the same visitor are told once an HTTP answer has been written."""
