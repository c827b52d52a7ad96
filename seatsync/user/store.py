"""Every query about users, and the rows they give as objects.

All methods raise `ServiceUnavailable` when the database does not answer. A write that was cancelled or timed out may or
may not have happened.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from seatsync import errors
from seatsync.core.postgres.pool import Database, DatabaseRejected, Row
from seatsync.core.postgres.queries import load
from seatsync.core.protocol.call import Identity, Role

_queries = load("user")

_UNIQUE_VIOLATION = "23505"


def digest(visitor: str) -> bytes:
    """A visitor id as the database keeps it: a copy of the tables lets nobody pose as a visitor."""
    return hashlib.sha256(visitor.encode()).digest()


@frozen
class Proof:
    """What a code or a phrase has to match. Its attempt has been counted."""

    user_id: int
    wait: int
    """Seconds until an attempt is let through; 0 for this one."""
    secret: str = field(default="", repr=False)
    phrase_hash: str | None = field(default=None, repr=False)
    """``None`` when the user has no phrase."""


@frozen
class Enrolment:
    """An authenticator being enrolled, for a new account or to recover one."""

    id: int | None
    """``None``: nothing to enrol, there is such a user."""
    user_id: int | None
    """``None``: a new account."""
    username: str
    secret: str = field(repr=False)


@frozen
class Opened:
    """A session that was just begun."""

    user_id: int
    username: str
    role: Role
    session_id: UUID
    expires_at: datetime


@frozen
class Visit:
    """Who asks to be signed in. Visitors are digests."""

    seen: bytes
    """The visitor the request came from."""
    known: bytes
    """The visitor it is from the answer on."""
    replaces: UUID | None
    """The session it came with, which ends."""


class UserStore:
    """Users, sessions, registrations and recoveries in PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # sessions

    async def live_identities(self, session_ids: Sequence[UUID]) -> Mapping[UUID, Identity]:
        """Who those sessions are; without those that have ended."""
        rows = await self._db.fetch(_queries["live_identities"], session_ids)
        return {
            row["session_id"]: Identity(
                row["user_id"], row["username"], row["role"], row["session_id"], row["expires_at"].timestamp()
            )
            for row in rows
        }

    async def live_sessions(self, session_ids: Sequence[UUID]) -> set[UUID]:
        """Which of those sessions have not ended."""
        return {row["id"] for row in await self._db.fetch(_queries["live_sessions"], session_ids)}

    async def announce_login(self, visitor: str, data: str) -> None:
        """Tell every server of a visitor's new login state, as JSON."""
        await self._db.execute(_queries["announce_login"], visitor, data)

    async def begin_login(self, username: str, visitor: bytes) -> Proof | None:
        """Count an attempt; ``None``: no such user."""
        return _proof(await self._db.fetchrow(_queries["begin_login"], username, visitor))

    async def log_in(self, proof: Proof, step: int, visit: Visit) -> Opened | None:
        """Use the code up and open a session; ``None``: it was used before."""
        return _opened(
            await self._db.fetchrow(
                _queries["log_in"], proof.user_id, proof.secret, step, visit.replaces, visit.seen, visit.known
            )
        )

    async def end_session(self, session_id: UUID) -> None:
        """Log it out, on every node."""
        await self._db.execute(_queries["end_session"], session_id)

    # registrations

    async def start_registration(
        self, username: str, visitor: bytes, network: str, secret: str, *, allowed: bool
    ) -> Enrolment:
        """Find or begin one, with ``secret`` if it is new; raises why it cannot be."""
        query = _queries["start_registration"]
        return _enrolment(await self._db.fetch(query, username, visitor, network, secret, allowed))

    async def drop_registration(self, username: str, visitor: bytes) -> None:
        """Forget what that visitor began."""
        await self._db.execute(_queries["drop_registration"], username, visitor)

    async def find_enrolment(self, username: str, visitor: bytes, *, allowed: bool) -> Enrolment:
        """What that visitor may confirm, its attempt counted; raises why there is nothing."""
        return _enrolment(await self._db.fetch(_queries["find_enrolment"], username, visitor, allowed))

    async def create_account(
        self, enrolment: Enrolment, step: int, visit: Visit, *, role: Role, local: bool
    ) -> Opened | None:
        """Make the user and open a session; ``None``: the registration is gone. Raises `UserAlreadyExists`."""
        try:
            row = await self._db.fetchrow(
                _queries["create_account"],
                enrolment.id,
                enrolment.secret,
                step,
                role,
                local,
                visit.replaces,
                visit.seen,
                visit.known,
            )
        except DatabaseRejected as error:
            if error.sqlstate == _UNIQUE_VIOLATION:
                raise errors.UserAlreadyExists from error
            raise
        return _opened(row)

    # recoveries

    async def begin_recovery(self, username: str, visitor: bytes, network: str) -> Proof | None:
        """Count an attempt; ``None``: no such user."""
        return _proof(await self._db.fetchrow(_queries["begin_recovery"], username, visitor, network))

    async def start_recovery(self, proof: Proof, visitor: bytes, network: str, secret: str) -> str | None:
        """Begin to enrol a new authenticator; the username, ``None``: the phrase is no longer in force."""
        query = _queries["start_recovery"]
        username: str | None = await self._db.fetchval(
            query, proof.user_id, proof.phrase_hash, visitor, network, secret
        )
        return username

    async def finish_recovery(self, enrolment: Enrolment, step: int, visit: Visit) -> Opened | None:
        """Put the new authenticator in force, end everything old, open a session; ``None``: the recovery is gone."""
        return _opened(
            await self._db.fetchrow(
                _queries["finish_recovery"],
                enrolment.id,
                enrolment.secret,
                step,
                visit.replaces,
                visit.seen,
                visit.known,
            )
        )

    async def begin_code(self, session_id: UUID, visitor: bytes) -> Proof | None:
        """Count an attempt of a signed-in user; ``None``: the session has ended."""
        return _proof(await self._db.fetchrow(_queries["begin_code"], session_id, visitor))

    async def offer_phrase(self, proof: Proof, step: int, phrase_hash: str, visitor: bytes) -> bool:
        """Use the code up and keep the phrase until it is proved to be saved; ``False``: the code was used before."""
        query = _queries["offer_phrase"]
        return await self._db.fetchrow(query, proof.user_id, proof.secret, step, phrase_hash, visitor) is not None

    async def begin_save(self, session_id: UUID) -> Proof | None:
        """Count an attempt to prove the offered phrase; ``None``: the session has ended."""
        return _proof(await self._db.fetchrow(_queries["begin_save"], session_id))

    async def save_phrase(self, proof: Proof) -> bool:
        """Put the offered phrase in force; ``False``: it is no longer on offer."""
        saved: bool = await self._db.fetchval(_queries["save_phrase"], proof.user_id, proof.phrase_hash)
        return saved

    # administration

    async def add_user(self, username: str, role: Role, secret: str, phrase_hash: str | None) -> bool:
        """Make a user; ``False``: the name is taken."""
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
