"""The methods of `user.*`."""

import time

from seatsync.config import Settings
from seatsync.core.channels.broadcast import Subscription
from seatsync.core.connections.subscriptions import connection_of, unsubscribing
from seatsync.core.connections.table import USER_SUBSCRIBE
from seatsync.core.postgres.pool import Database
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.registry import Access, Kind, Method, NoParams, encode
from seatsync.core.tokens import Clock, Tokens
from seatsync.user.messages import (
    Candidate,
    Coded,
    Done,
    Guest,
    Known,
    Named,
    NamedCode,
    NamedPhrase,
    NewPhrase,
    Phrased,
    SignedIn,
    User,
    status_of,
)
from seatsync.user.recovery import Recovery
from seatsync.user.registration import Registration
from seatsync.user.sign_in import SignIn
from seatsync.user.store import UserStore


class _LoginFeed:
    """What a `user.subscribe` belongs to: `Connections` sends it its one update, and closes the connection after."""

    def leave(self, subscriber: Subscription) -> None:
        """Nothing is kept."""

    def caught_up(self, subscriber: Subscription) -> None:
        """Nothing was missed."""


class UserMethods:
    """The API of this domain; ``clock`` is what codes are checked against, in seconds since the epoch."""

    def __init__(self, db: Database, tokens: Tokens, settings: Settings, clock: Clock = time.time) -> None:
        store = UserStore(db)
        self._sign_in = SignIn(store, tokens, clock)
        self._registration = Registration(
            store, self._sign_in, clock, allowed=settings.registration == "open", role=settings.default_role
        )
        self._recovery = Recovery(store, clock)

    def table(self) -> tuple[Method, ...]:
        """Every method, its parameters and who may call it."""
        return (
            Method("user.status", NoParams, self.status),
            Method(USER_SUBSCRIBE, NoParams, self.subscribe, kind=Kind.SUBSCRIBE),
            unsubscribing("user.unsubscribe", USER_SUBSCRIBE),
            Method("user.auth_start", Named, self.auth_start),
            Method("user.auth_reset", Named, self.auth_reset),
            Method("user.register", NamedCode, self.register),
            Method("user.login", NamedCode, self.login),
            Method("user.logout", NoParams, self.logout),
            Method("user.recovery_phrase", Coded, self.recovery_phrase, access=Access.USER),
            Method("user.save_recovery_phrase", Phrased, self.save_recovery_phrase, access=Access.USER),
            Method("user.recover", NamedPhrase, self.recover),
        )

    async def status(self, call: Call, _: NoParams) -> Guest | User:
        """Who the caller is; a session that ended makes a guest."""
        identity = await call.client.identify()
        return status_of(None if call.client.ended else identity)

    async def subscribe(self, call: Call, params: NoParams) -> None:
        """The login state, and a word when it changes."""
        status = encode(await self.status(call, params))
        connection_of(call).subscribe(USER_SUBSCRIBE, call.eid, _LoginFeed()).send(b"snapshot", status)

    async def auth_start(self, call: Call, params: Named) -> Known | Candidate:
        """Whether to ask for a code or to show an authenticator to enrol."""
        return await self._registration.start(call, params.username)

    async def auth_reset(self, call: Call, params: Named) -> Done:
        """Drop the registration this client has begun."""
        return await self._registration.drop(call, params.username)

    async def register(self, call: Call, params: NamedCode) -> SignedIn:
        """Confirm a registration or a recovery."""
        return await self._registration.confirm(call, params.username, params.code)

    async def login(self, call: Call, params: NamedCode) -> SignedIn:
        """Sign in with a code."""
        return await self._sign_in.log_in(call, params.username, params.code)

    async def logout(self, call: Call, _: NoParams) -> Done:
        """End the session."""
        return await self._sign_in.log_out(call)

    async def recovery_phrase(self, call: Call, params: Coded) -> NewPhrase:
        """A new phrase, not in force yet."""
        return await self._recovery.offer(call, params.code)

    async def save_recovery_phrase(self, call: Call, params: Phrased) -> Done:
        """Put the new phrase in force."""
        return await self._recovery.save(call, params.phrase)

    async def recover(self, call: Call, params: NamedPhrase) -> Candidate:
        """An authenticator to enrol, in exchange for the phrase."""
        return await self._recovery.begin(call, params.username, params.phrase)
