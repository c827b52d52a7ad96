"""Authentication: from the headers of a handshake or a request to its client."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final
from uuid import UUID

from attrs import Factory, define, evolve, field

from seatsync.config import Role
from seatsync.core.channels.coalesce import BatchLoader
from seatsync.core.http.cookies import Cookies
from seatsync.core.http.source import Source
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row
from seatsync.core.protocol.call import Client, Identity, Session, new_id
from seatsync.errors import NotAllowed, ServiceUnavailable, SessionExpired
from seatsync.user.keys import PREFIX, Key
from seatsync.user.last_seen import LastSeen
from seatsync.user.store import QUERIES
from seatsync.user.tokens import Claims, Tokens

#: Roles that may change seats.
WRITERS: Final[frozenset[Role]] = frozenset({"operator", "admin"})


@define(eq=False)
class Authenticator:
    """Finds clients: one query for a valid token, none for a guest; queries of one moment are batched.

    Sessions are noted in ``seen``; those out of use for ``idle_hours`` have ended, unless that is 0.
    """

    _db: Database
    _tokens: Tokens
    _cookies: Cookies
    _spawn: Callable[..., object]
    _seen: LastSeen = field(kw_only=True)
    _idle_hours: int = field(kw_only=True)
    _sessions: BatchLoader[UUID, Row] = field(
        default=Factory(lambda self: BatchLoader(self._live_sessions, self._spawn), takes_self=True), init=False
    )

    async def client(self, source: Source, token: str | None, cookies: Mapping[str, str]) -> Client:
        """The client behind that source, with a bearer token, which may be a service key, or the session cookie.

        A key in the cookie is none: planted there, it would keep the browser's user from signing in and out.
        A token that is bad or expired, or whose session has ended, makes a guest, with that as the `Client.refusal`.
        While the database is unreachable its session is left unidentified: `Session.identify` tries again.
        """
        known = self._cookies.visitor(cookies)
        visitor, enrolment = known or (new_id(), new_id())
        is_key = token is not None and token.startswith(PREFIX)
        if token is None:
            token = self._cookies.session_token(cookies)
        client = Client(
            source.address,
            visitor,
            visitor_is_new=known is None,
            enrolment=enrolment,
            is_local=source.is_local,
            user_agent=source.user_agent,
        )
        if not token:
            return client
        try:
            credential = Key.of(token) if is_key else self._tokens.verify(token)
            return evolve(client, session=await self._session(credential, source))
        except NotAllowed as refusal:
            return evolve(client, refusal=type(refusal))

    async def _session(self, credential: Claims | Key, source: Source) -> Session:
        """Raises `SessionExpired`."""
        find = partial(self._identity, credential, source)
        is_service = isinstance(credential, Key)
        session = Session(credential.session_id, credential.expires_at, find, is_service=is_service)
        try:
            if await session.identify() is None:
                raise SessionExpired
        except ServiceUnavailable:
            pass
        return session

    async def _identity(self, credential: Claims | Key, source: Source) -> Identity | None:
        found = await self._sessions.load(credential.session_id)
        if found is None or not _names(credential, found):
            return None
        self._seen.note(credential.session_id, source.address, source.user_agent)
        return Identity(
            found["user_id"],
            found["username"],
            found["role"],
            found["session_id"],
            may_write=found["role"] in WRITERS,
            expires_at=found["expires_at"],
        )

    async def _live_sessions(self, session_ids: Sequence[UUID]) -> dict[UUID, Row]:
        rows = await self._db.fetch(QUERIES["live_identities"], session_ids, self._idle_hours)
        return {row["session_id"]: row for row in rows}


def _names(credential: Claims | Key, session: Row) -> bool:
    """The credential is one of that session, whose id it has."""
    key_hash = session["key_hash"]
    if isinstance(credential, Key):
        return key_hash is not None and hmac.compare_digest(key_hash, credential.hash)
    return key_hash is None and session["user_id"] == credential.user_id
