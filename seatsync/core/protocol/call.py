"""One call: the client that makes it, the session named by the client's token, and the reply."""

import math
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any, Literal
from uuid import UUID

from attrs import define, field, frozen

from seatsync import errors
from seatsync.config import Role


def new_id() -> str:
    """A fresh id of a visitor or an enrolment: 128 random bits as hexadecimal digits."""
    return token_hex(16)


@frozen
class Identity:
    """A user, as known from a verified token and the live session that it names."""

    user_id: int
    username: str
    role: Role
    session_id: UUID
    may_write: bool = False
    """The role includes the methods of `Access.WRITE`."""
    expires_at: float = math.inf
    """When the session ends at the latest, in seconds since the epoch."""


@define(eq=False)
class Session:
    """The session named by a client's token. Its identity is found once; later it can only end."""

    id: UUID
    expires_at: float
    """When the token expires, in seconds since the epoch; or the session, once identified, if that is sooner."""
    _find: Callable[[], Awaitable[Identity | None]] | None
    """Finds the identity, ``None`` for a session that has ended; may raise `ServiceUnavailable`."""
    identity: Identity | None = None
    ended: bool = False
    """It was revoked, or its token expired, while the connection was open."""
    is_service: bool = False
    """Its token is a service key: a program has it, and no person has signed in."""

    @property
    def identified(self) -> bool:
        """The identity has been found, or that there is none."""
        return self._find is None

    async def identify(self) -> Identity | None:
        """The identity, found now unless it was before.

        Raises `ServiceUnavailable`. After that, or a cancellation, the next call tries again.
        """
        if self._find is not None:
            self.identity = await self._find()
            self._find = None
            if self.identity is not None:
                self.expires_at = min(self.expires_at, self.identity.expires_at)
        return self.identity


@frozen(eq=False)
class Client:
    """The client of one WebSocket connection or one HTTP request. Its rights come from the handshake alone."""

    address: str
    """Its IP address, as text; the trusted proxies are skipped."""
    visitor: str
    """The id in its visitor cookie that finds its open sockets: 32 hexadecimal digits."""
    enrolment: str = field(factory=new_id, kw_only=True, repr=False)
    """The id that owns an enrolment: over HTTP the other one in the cookie, over a WebSocket the connection's own."""
    visitor_is_new: bool = False
    """It came without a valid visitor cookie: the response sets one."""
    session: Session | None = None
    """``None`` for a guest."""
    refusal: type[errors.NotAllowed] = errors.Unauthorized
    """The error of a guest's call for a user's method: it names the fault of the token, if there was one."""
    is_local: bool = False
    """It is a program on this machine, not one that a proxy here speaks for."""
    user_agent: str | None = None
    """What it calls itself, cut short; any characters may be in it."""

    @property
    def identity(self) -> Identity | None:
        """The user, as far as known; ``None`` for a guest."""
        return None if self.session is None else self.session.identity

    @property
    def username(self) -> str | None:
        """For the logs."""
        return None if self.identity is None else self.identity.username

    async def identify(self) -> Identity | None:
        """`Session.identify`; ``None`` for a guest."""
        return None if self.session is None else await self.session.identify()


@frozen(eq=False)
class Call:
    """One request for a method."""

    client: Client
    method: str
    """The method's name, also where the request used an alias."""
    eid: str
    transport: Literal["ws", "http"]

    @property
    def identity(self) -> Identity:
        """The user, for a method that only users may call."""
        assert self.client.identity is not None  # noqa: S101 - the registry has refused others
        return self.client.identity


@frozen
class Login:
    """A session that a call has opened."""

    token: str = field(repr=False)
    visitor: str = field(repr=False)
    """`Client.visitor` from now on: the one that came may have been planted."""


@frozen(kw_only=True)
class Reply:
    """The outcome of a call that also changes the login state: HTTP sets cookies, a WebSocket sends the data alone."""

    data: Any = field(repr=False)
    login: Login | None = None
    logged_out: bool = False
    enrolment: str | None = field(default=None, repr=False)
    """`Client.enrolment` from now on, for an enrolment that the call has begun."""
    announcement: Any = None
    """The new login state, for the visitor's open sockets; sent after the response."""
