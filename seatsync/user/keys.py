"""Service keys: how programs sign in.

A key is the bearer token of a session without an idle end. The session belongs to a service: a user with a role, but
without the secret of an authenticator. The database has only the key's hash, whose first half is the session's id: the
session is known, and can be checked later, while the database is away.
"""

import hashlib
import math
import re
import secrets
from typing import Final
from uuid import UUID

from attrs import field, frozen

from seatsync import errors
from seatsync.config import Role
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row, Session
from seatsync.user.messages import check_username
from seatsync.user.store import QUERIES

PREFIX: Final = "ssk_"

#: 256 bits in base64url.
_KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


@frozen
class Key:
    """A key as the server knows it."""

    hash: bytes = field(repr=False)
    """SHA-256 of its text."""

    expires_at = math.inf
    """The key itself has no expiry; its session has."""

    @classmethod
    def of(cls, text: str) -> "Key":
        """Raises `TokenInvalid` for what is no key."""
        if _KEY.fullmatch(text) is None:
            raise errors.TokenInvalid
        return cls(hashlib.sha256(text.encode()).digest())

    @property
    def session_id(self) -> UUID:
        """The id of its session."""
        return UUID(bytes=self.hash[:16])


def new_key() -> str:
    """The text of a new key: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


async def add_key(session: Session, name: str, role: Role, days: int | None, key: str) -> None:
    """Add a key of the service of that name, which is added if missing, for so many days or without an end.

    Within the caller's transaction, whose lock lets no other key of that service be added meanwhile. Raises
    `InvalidUsername`, `RequiredUsername`, `UserAlreadyExists` for the name of a person, and `Failure` for a service
    that has a key or is disabled.
    """
    check_username(name)
    service = await session.fetchval(QUERIES["add_service"], name, role)
    if service is None:
        raise errors.UserAlreadyExists
    if await session.fetchval(QUERIES["set_service_role"], service, role) is None:
        raise errors.Failure(f"There is a key of the name {name} already; revoke it first.")
    known = Key.of(key)
    if await session.fetchval(QUERIES["add_key"], service, known.session_id, known.hash, days) is None:
        raise errors.Failure(f"The service {name} is disabled, and gets no key.")


async def live_keys(db: Database) -> list[Row]:
    """Name, role and use of each key that is neither revoked nor expired, by name; not the keys."""
    return await db.fetch(QUERIES["keys"])


async def revoke_key(db: Database, name: str) -> str:
    """End the service's key, and with it its sockets on every server; the service's name. Raises `Failure`."""
    found: str | None = await db.fetchval(QUERIES["revoke_key"], name)
    if found is None:
        raise errors.Failure(f"There is no key of the name {name}.")
    return found
