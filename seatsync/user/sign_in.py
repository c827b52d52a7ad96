"""Logging in and out, and the reply to every way of opening a session."""

import structlog

from seatsync import errors
from seatsync.core.http.cookies import new_visitor
from seatsync.core.protocol.call import Call, Login, Reply
from seatsync.core.protocol.params import NoParams
from seatsync.user import totp
from seatsync.user.messages import Done, Guest, NamedCode, SignedIn, User
from seatsync.user.store import Opened, UserStore, Visit
from seatsync.user.tokens import Clock, Tokens

logger = structlog.get_logger(__name__)


class SignIn:
    """Logs users in and out."""

    def __init__(self, store: UserStore, tokens: Tokens, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock

    async def log_in(self, call: Call, params: NamedCode) -> Reply:
        """Open a session with a code. Raises `UserNotFound`, `TooManyLoginAttempts`, `InvalidCode`."""
        visit = await visit_of(call)
        proof = await self._store.begin_login(params.username, visit.digest)
        if proof is None:
            raise errors.UserNotFound
        proof.check_wait(errors.TooManyLoginAttempts)
        step = totp.matching_step(proof.secret, params.code, self._clock())
        opened = None if step is None else await self._store.log_in(proof, step, visit)
        if opened is None:
            raise errors.InvalidCode
        return self.signed_in(call, visit, opened)

    async def log_out(self, call: Call, _: NoParams) -> Reply:
        """End the call's session; a guest, who has none, receives the same reply."""
        identity = await call.client.identify()
        if identity is not None:
            await self._store.end_session(identity.session_id)
            logger.info("logout", user=identity.username)
        return Reply(data=Done(), logged_out=True, announcement=Guest())

    def signed_in(self, call: Call, visit: Visit, opened: Opened) -> Reply:
        """The reply with the token of a session that was opened."""
        token = self._tokens.issue(opened.user_id, opened.session_id, opened.expires_at.timestamp())
        logger.info("login", user=opened.username, type=call.method, address=call.client.address)
        return Reply(
            data=SignedIn(opened.username, token),
            login=Login(token, visit.next_visitor),
            announcement=User(opened.username, opened.role),
        )


async def visit_of(call: Call) -> Visit:
    """The visit that signs in with this call. Raises `ServiceUnavailable`.

    Over HTTP the visitor changes, so that an id planted before the login is worth nothing after it; a WebSocket cannot
    set the cookie.
    """
    identity = await call.client.identify()
    visitor = call.client.visitor
    return Visit(
        visitor,
        next_visitor=new_visitor() if call.transport == "http" else visitor,
        replaces=None if identity is None else identity.session_id,
    )
