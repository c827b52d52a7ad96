"""Logging in and out, and what every way of signing in ends with."""

import attrs
import structlog

from seatsync import errors
from seatsync.core.protocol.call import Call
from seatsync.core.tokens import Clock, Tokens
from seatsync.user import totp
from seatsync.user.messages import Done, Guest, SignedIn, User
from seatsync.user.store import Opened, UserStore, Visit, digest
from seatsync.user.throttle import refuse_if

logger = structlog.get_logger(__name__)


class SignIn:
    """Logs users in and out."""

    def __init__(self, store: UserStore, tokens: Tokens, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock

    async def log_in(self, call: Call, username: str, code: str) -> SignedIn:
        """Raises `UserNotFound`, `TooManyLoginAttempts`, `InvalidCode`."""
        visit = await self.visit(call)
        proof = await self._store.begin_login(username, visit.seen)
        if proof is None:
            raise errors.UserNotFound
        refuse_if(proof.wait, errors.TooManyLoginAttempts)
        step = totp.matching_step(proof.secret, code, self._clock())
        opened = None if step is None else await self._store.log_in(proof, step, visit)
        if opened is None:
            raise errors.InvalidCode
        return self.welcome(call, opened)

    async def log_out(self, call: Call) -> Done:
        """End the session the call came with; a guest has none, and is told the same."""
        identity = await call.client.identify()
        if identity is not None:
            await self._store.end_session(identity.session_id)
            logger.info("logout", user=identity.username)
        call.session_ended = True
        call.announce = attrs.asdict(Guest())
        return Done()

    async def visit(self, call: Call) -> Visit:
        """Who is to be signed in. Over HTTP the answer brings a new visitor cookie, so that one planted before the
        login is worth nothing after it; over WebSocket there is no answer that could.
        """
        client = call.client
        identity = await client.identify()
        if call.transport == "http" and client.visitor_next is None:
            client.visitor_next = self._tokens.new_visitor()
        return Visit(
            seen=digest(client.visitor),
            known=digest(client.visitor_next or client.visitor),
            replaces=None if identity is None else identity.session_id,
        )

    def welcome(self, call: Call, opened: Opened) -> SignedIn:
        """What follows a new session: its token, the cookies, and the word to the visitor's open sockets."""
        call.new_session = self._tokens.issue(opened.user_id, opened.session_id, opened.expires_at.timestamp())
        call.announce = attrs.asdict(User(opened.username, opened.role))
        logger.info("login", user=opened.username, type=call.method.name, address=call.client.address)
        return SignedIn(opened.username, call.new_session)
