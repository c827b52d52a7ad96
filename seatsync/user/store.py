"""The queries about users, and the ways to run those that check a code, a phrase or a visitor.

All raise `ServiceUnavailable` while the database does not answer. A write that was cancelled or timed out may have been
applied.
"""

import hashlib
from typing import Any

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row

QUERIES = load("user")

LOCKED_OUT = (
    "Too many wrong codes from unknown devices: use a device or a network that has signed in before, or the recovery"
    " phrase, or ask an administrator."
)

_UNIQUE_VIOLATION = "23505"


def digest(visitor: str) -> bytes:
    """A visitor id as the database stores it: a copy of the tables does not allow to pose as a visitor."""
    return hashlib.sha256(visitor.encode()).digest()


async def begin_attempt(
    db: Database,
    query: str,
    *args: Any,
    missing: type[errors.SeatSyncError],
    throttled: type[errors.TooMuch] = errors.TooManyValidationAttempts,
) -> Row:
    """Count an attempt; returns the row with the secret or the hash to match.

    Raises ``missing`` without a row, and ``throttled`` while attempts have to wait, or where waiting does not help.
    """
    row = await db.fetchrow(QUERIES[query], *args)
    if row is None:
        raise missing
    if row["wait"] is None:
        raise throttled(LOCKED_OUT)
    if row["wait"] > 0:
        raise throttled(retry_after=row["wait"])
    return row


async def find_enrolment(db: Database, query: str, *args: Any) -> Row:
    """An authenticator being enrolled, for a new account or a recovery; raises the error whose code is in the row.

    Its ``id`` is ``None`` if the user exists and there is nothing to enrol, its ``user_id`` for a new account.
    """
    (row,) = await db.fetch(QUERIES[query], *args)
    if row["code"] is not None:
        error = errors.from_code(row["code"])
        error.retry_after = row["wait"]
        raise error
    return row


async def open_session(db: Database, query: str, *args: Any) -> Row | None:
    """The session opened, and its user; ``None``: what was checked has changed. Raises `UserAlreadyExists`."""
    try:
        return await db.fetchrow(QUERIES[query], *args)
    except DatabaseRejected as error:
        if error.sqlstate == _UNIQUE_VIOLATION:
            raise errors.UserAlreadyExists from error
        raise
