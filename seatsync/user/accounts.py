"""Administration of users, for the command line."""

from attrs import field, frozen

from seatsync import errors
from seatsync.config import Role
from seatsync.core.postgres.pool import Database
from seatsync.user import phrases, totp
from seatsync.user.messages import check_username
from seatsync.user.store import QUERIES
from seatsync.user.tokens import Tokens


@frozen
class NewUser:
    """The credentials of a new user, shown once."""

    uri: str = field(repr=False)
    """The ``otpauth://`` URI for the authenticator."""
    phrase: str = field(repr=False)
    """The recovery phrase, in force."""


async def create_user(db: Database, name: str, role: Role) -> NewUser:
    """Raises `InvalidUsername`, `RequiredUsername`, `UserAlreadyExists`."""
    check_username(name)
    secret, phrase = totp.new_secret(), phrases.new_phrase()
    if await db.fetchrow(QUERIES["add_user"], name, role, secret, await phrases.hash_phrase(phrase)) is None:
        raise errors.UserAlreadyExists
    return NewUser(totp.enrolment_uri(name, secret), phrase)


async def set_role(db: Database, name: str, role: Role) -> None:
    """Change a user's role, which ends the sessions unless it stays the same. Raises `UserNotFound`."""
    if await db.fetchrow(QUERIES["set_role"], name, role) is None:
        raise errors.UserNotFound


async def session_tokens(
    db: Database, tokens: Tokens, name: str, *, create: bool = False, count: int = 1, role: Role = "operator"
) -> list[str]:
    """Tokens of new sessions, for scripts and load tests.

    With ``create`` a missing user is added with that role; its authenticator's secret is discarded, so such tokens
    alone can act for it. Raises `UserNotFound` without, and `InvalidUsername`, `RequiredUsername`.
    """
    check_username(name)
    if create:
        await db.execute(QUERIES["add_user"], name, role, totp.new_secret(), None)
    sessions = await db.fetch(QUERIES["add_sessions"], name, count)
    if not sessions:
        raise errors.UserNotFound
    return [tokens.issue(row["user_id"], row["id"], row["expires_at"].timestamp()) for row in sessions]
