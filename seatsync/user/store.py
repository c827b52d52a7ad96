"""The queries about users, and their rows as objects.

All methods raise `ServiceUnavailable` while the database does not answer. A write that was cancelled or timed out may
have been applied.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from attrs import field, frozen

from seatsync import errors
from seatsync.config import Role
from seatsync.core.postgres.pool import Database, DatabaseRejected, Row
from seatsync.core.postgres.queries import load
from seatsync.core.protocol.call import Identity

#: Roles that may change seats.
WRITERS: Final[frozenset[Role]] = frozenset({"operator", "admin"})

_queries = load("user")

_UNIQUE_VIOLATION = "23505"


def digest(visitor: str) -> bytes:
    """A visitor id as the database stores it: a copy of the tables does not allow to pose as a visitor."""
    return hashlib.sha256(visitor.encode()).digest()


@frozen
class Proof:
    """The secret that a code or a phrase has to match. The attempt has been counted."""

    user_id: int
    wait: int
    """Seconds until an attempt is admitted; 0 for this one."""
    secret: str = field(default="", repr=False)
    phrase_hash: str | None = field(default=None, repr=False)
    """``None`` for a user without a phrase."""

    def check_wait(self, error: type[errors.TooMuch]) -> None:
        """Raises ``error`` with its `retry_after` while attempts are throttled."""
        if self.wait > 0:
            raise error(retry_after=self.wait)


@frozen
class Enrolment:
    """An authenticator being enrolled, for a new account or for a recovery."""

    id: int | None
    """``None``: the user exists, and there is nothing to enrol."""
    user_id: int | None
    """``None``: a new account."""
    username: str
    secret: str = field(repr=False)


@frozen
class Opened:
    """A session that was opened."""

    user_id: int
    username: str
    role: Role
    session_id: UUID
    expires_at: datetime


@frozen
class Visit:
    """The browser or program that signs in."""

    visitor: str = field(repr=False)
    next_visitor: str = field(repr=False)
    """Its id from the reply on."""
    replaces: UUID | None = None
    """The session it came with, which ends."""

    @property
    def digest(self) -> bytes:
        """Of `visitor`."""
        return digest(self.visitor)

    def args(self) -> tuple[UUID | None, bytes, bytes]:
        """The last parameters of the queries that open a session."""
        return self.replaces, self.digest, digest(self.next_visitor)


class UserStore:
    """Users, sessions, registrations and recoveries in PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Sessions

    async def live_identities(self, session_ids: Sequence[UUID]) -> Mapping[UUID, Identity]:
        """The users of those sessions that have not ended."""
        rows = await self._db.fetch(_queries["live_identities"], session_ids)
        return {row["session_id"]: Identity(**row, may_write=row["role"] in WRITERS) for row in rows}

    async def live_sessions(self, session_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the sessions that have not ended."""
        return {row["id"] for row in await self._db.fetch(_queries["live_sessions"], session_ids)}

    async def announce_login(self, visitor: str, data: str) -> None:
        """Notify every server of a visitor's new login state, as JSON."""
        await self._db.execute(_queries["announce_login"], visitor, data)

    async def begin_login(self, username: str, visitor: bytes) -> Proof | None:
        """Count an attempt; ``None``: no such user."""
        return _proof(await self._db.fetchrow(_queries["begin_login"], username, visitor))

    async def log_in(self, proof: Proof, step: int, visit: Visit) -> Opened | None:
        """Use the code up and open a session; ``None``: it was used before."""
        query = _queries["log_in"]
        return _opened(await self._db.fetchrow(query, proof.user_id, proof.secret, step, *visit.args()))

    async def end_session(self, session_id: UUID) -> None:
        """Delete a session, which notifies every server."""
        await self._db.execute(_queries["end_session"], session_id)

    # Registrations

    async def start_registration(
        self, username: str, visitor: bytes, network: str, secret: str, *, allowed: bool
    ) -> Enrolment:
        """Find the user or the registration, or begin one with ``secret``; raises the error that forbids it."""
        query = _queries["start_registration"]
        return _enrolment(await self._db.fetch(query, username, visitor, network, secret, allowed))

    async def drop_registration(self, username: str, visitor: bytes) -> None:
        """Delete the registration that the visitor has begun."""
        await self._db.execute(_queries["drop_registration"], username, visitor)

    async def find_enrolment(self, username: str, visitor: bytes, *, allowed: bool) -> Enrolment:
        """The enrolment that the visitor may confirm, its attempt counted; raises the error that forbids it."""
        return _enrolment(await self._db.fetch(_queries["find_enrolment"], username, visitor, allowed))

    async def create_account(
        self, enrolment: Enrolment, step: int, visit: Visit, *, role: Role, local: bool
    ) -> Opened | None:
        """Add the user and open a session; ``None``: the registration is gone. Raises `UserAlreadyExists`."""
        query = _queries["create_account"]
        try:
            row = await self._db.fetchrow(query, enrolment.id, enrolment.secret, step, role, local, *visit.args())
        except DatabaseRejected as error:
            if error.sqlstate == _UNIQUE_VIOLATION:
                raise errors.UserAlreadyExists from error
            raise
        return _opened(row)

    # Recoveries

    async def begin_recovery(self, username: str, visitor: bytes, network: str) -> Proof | None:
        """Count an attempt; ``None``: no such user."""
        return _proof(await self._db.fetchrow(_queries["begin_recovery"], username, visitor, network))

    async def start_recovery(self, proof: Proof, visitor: bytes, network: str, secret: str) -> str | None:
        """Begin to enrol a new authenticator; the username, ``None``: the phrase is no longer in force."""
        args = (proof.user_id, proof.phrase_hash, visitor, network, secret)
        username: str | None = await self._db.fetchval(_queries["start_recovery"], *args)
        return username

    async def finish_recovery(self, enrolment: Enrolment, step: int, visit: Visit) -> Opened | None:
        """Replace the authenticator, end all sessions and open one; ``None``: the recovery is gone."""
        query = _queries["finish_recovery"]
        return _opened(await self._db.fetchrow(query, enrolment.id, enrolment.secret, step, *visit.args()))

    async def begin_code(self, session_id: UUID, visitor: bytes) -> Proof | None:
        """Count an attempt of a signed-in user; ``None``: the session has ended."""
        return _proof(await self._db.fetchrow(_queries["begin_code"], session_id, visitor))

    async def offer_phrase(self, proof: Proof, step: int, phrase_hash: str, visitor: bytes) -> bool:
        """Use the code up and store the phrase until `save_phrase`; ``False``: the code was used before."""
        query = _queries["offer_phrase"]
        return await self._db.fetchrow(query, proof.user_id, proof.secret, step, phrase_hash, visitor) is not None

    async def begin_save(self, session_id: UUID) -> Proof | None:
        """Count an attempt to repeat the offered phrase; ``None``: the session has ended."""
        return _proof(await self._db.fetchrow(_queries["begin_save"], session_id))

    async def save_phrase(self, proof: Proof) -> bool:
        """Put the offered phrase in force; ``False``: it is no longer on offer."""
        saved: bool = await self._db.fetchval(_queries["save_phrase"], proof.user_id, proof.phrase_hash)
        return saved

    # Administration

    async def add_user(self, username: str, role: Role, secret: str, phrase_hash: str | None) -> bool:
        """Add a user; ``False``: the name is taken."""
        return await self._db.fetchrow(_queries["add_user"], username, role, secret, phrase_hash) is not None

    async def set_role(self, username: str, role: Role) -> bool:
        """Change a role, which ends the user's sessions; ``False``: no such user."""
        return await self._db.fetchrow(_queries["set_role"], username, role) is not None

    async def add_sessions(self, username: str, count: int) -> list[Row]:
        """New sessions as rows of id, user_id and expires_at; none: no such user."""
        return await self._db.fetch(_queries["add_sessions"], username, count)


def _proof(row: Row | None) -> Proof | None:
    return None if row is None else Proof(**row)


def _opened(row: Row | None) -> Opened | None:
    return None if row is None else Opened(**row)


def _enrolment(rows: list[Row]) -> Enrolment:
    (row,) = rows
    if row["code"] is not None:
        error = errors.from_code(row["code"])
        error.retry_after = row["wait"]
        raise error
    return Enrolment(row["id"], row["user_id"], row["username"], row["secret"])
