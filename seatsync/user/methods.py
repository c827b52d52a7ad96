"""The methods ``user.*``."""

import time

from seatsync.config import Settings
from seatsync.core.channels.broadcast import Subscription
from seatsync.core.connections.subscriptions import connection_of, unsubscribing
from seatsync.core.connections.table import LoginState
from seatsync.core.postgres.pool import Database
from seatsync.core.protocol.call import Call
from seatsync.core.protocol.params import NoParams
from seatsync.core.protocol.registry import Access, Kind, Method, encode
from seatsync.user.messages import Coded, Guest, Named, NamedCode, NamedPhrase, Phrased, User, login_state
from seatsync.user.recovery import Recovery
from seatsync.user.registration import Registration
from seatsync.user.sign_in import SignIn
from seatsync.user.store import UserStore
from seatsync.user.tokens import Clock, Tokens

SUBSCRIBE = "user.subscribe"

#: For the connections, which send the updates.
LOGIN_STATE = LoginState(SUBSCRIBE, guest=encode(Guest()))


class _LoginFeed:
    """The feed of `SUBSCRIBE`. It keeps nothing: `Connections` sends the one update and closes the connection."""

    def leave(self, subscriber: Subscription) -> None:
        """Nothing is kept."""

    def caught_up(self, subscriber: Subscription) -> None:
        """Nothing was missed."""


class UserMethods:
    """The API of this domain; codes are checked against ``clock``."""

    def __init__(self, db: Database, tokens: Tokens, settings: Settings, clock: Clock = time.time) -> None:
        store = UserStore(db)
        self._sign_in = SignIn(store, tokens, clock)
        self._registration = Registration(
            store, self._sign_in, clock, allowed=settings.registration == "open", role=settings.default_role
        )
        self._recovery = Recovery(store, clock)

    def table(self) -> tuple[Method, ...]:
        """The methods of this domain."""
        sign_in, registration, recovery = self._sign_in, self._registration, self._recovery
        return (
            Method("user.status", NoParams, status),
            Method(SUBSCRIBE, NoParams, subscribe, kind=Kind.SUBSCRIBE),
            unsubscribing("user.unsubscribe", SUBSCRIBE),
            Method("user.auth_start", Named, registration.start),
            Method("user.auth_reset", Named, registration.drop),
            Method("user.register", NamedCode, registration.confirm),
            Method("user.login", NamedCode, sign_in.log_in),
            Method("user.logout", NoParams, sign_in.log_out),
            Method("user.recovery_phrase", Coded, recovery.offer, Access.USER),
            Method("user.save_recovery_phrase", Phrased, recovery.save, Access.USER),
            Method("user.recover", NamedPhrase, recovery.begin),
        )


async def status(call: Call, _: NoParams) -> Guest | User:
    """The login state of the caller."""
    identity = await call.client.identify()
    session = call.client.session
    return login_state(None if session is None or session.ended else identity)


async def subscribe(call: Call, params: NoParams) -> None:
    """The login state now, and its next change."""
    data = encode(await status(call, params))
    connection_of(call).subscribe(SUBSCRIBE, call.eid, _LoginFeed()).send(b"snapshot", data)
