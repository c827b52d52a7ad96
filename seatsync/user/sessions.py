"""Authentication: from the headers of a handshake or a request to its client."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final
from uuid import UUID

from attrs import evolve

from seatsync.config import Role
from seatsync.core.channels.coalesce import BatchLoader
from seatsync.core.http.cookies import Cookies
from seatsync.core.http.source import Source
from seatsync.core.postgres.pool import Database
from seatsync.core.protocol.call import Client, Identity, Session, new_id
from seatsync.errors import NotAllowed, ServiceUnavailable, SessionExpired
from seatsync.user.store import QUERIES
from seatsync.user.tokens import Claims, Tokens

#: Roles that may change seats.
WRITERS: Final[frozenset[Role]] = frozenset({"operator", "admin"})


class Authenticator:
    """Finds clients: one query for a valid token, none for a guest; queries of one moment are batched."""

    def __init__(self, db: Database, tokens: Tokens, cookies: Cookies, spawn: Callable[..., object]) -> None:
        self._db = db
        self._identities = BatchLoader(self._live_identities, spawn)
        self._tokens = tokens
        self._cookies = cookies

    async def client(self, source: Source, token: str | None, cookies: Mapping[str, str]) -> Client:
        """The client behind that source, with a bearer token or the session cookie.

        A token that is bad or expired, or whose session has ended, makes a guest, with that as the `Client.refusal`.
        While the database is unreachable its session is left unidentified: `Session.identify` tries again.
        """
        known = self._cookies.visitor(cookies)
        visitor, enrolment = known or (new_id(), new_id())
        if token is None:
            token = self._cookies.session_token(cookies)
        client = Client(
            source.address, visitor, visitor_is_new=known is None, enrolment=enrolment, is_local=source.is_local
        )
        if not token:
            return client
        try:
            return evolve(client, session=await self._session(self._tokens.verify(token)))
        except NotAllowed as refusal:
            return evolve(client, refusal=type(refusal))

    async def _session(self, claims: Claims) -> Session:
        """Raises `SessionExpired`."""
        session = Session(claims.session_id, claims.expires_at, partial(self._identity, claims))
        try:
            if await session.identify() is None:
                raise SessionExpired
        except ServiceUnavailable:
            pass
        return session

    async def _identity(self, claims: Claims) -> Identity | None:
        identity = await self._identities.load(claims.session_id)
        return identity if identity is not None and identity.user_id == claims.user_id else None

    async def _live_identities(self, session_ids: Sequence[UUID]) -> dict[UUID, Identity]:
        rows = await self._db.fetch(QUERIES["live_identities"], session_ids)
        return {row["session_id"]: Identity(**row, may_write=row["role"] in WRITERS) for row in rows}
