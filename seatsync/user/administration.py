"""Administration of the users that there are: finding, disabling, deleting and resetting them. For the command line.

Neither a user who is deleted nor a service is found. Names match without case.
"""

from datetime import datetime

from attrs import field, frozen

from seatsync import errors
from seatsync.config import Role, Settings
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Session
from seatsync.user import accounts, phrases, totp
from seatsync.user.encryption import check_keys
from seatsync.user.keyring import Keyring

QUERIES = load("admin")


class LastAdminError(errors.Failure):
    """The change would leave no admin who may sign in."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is the last admin who is not disabled: nothing was changed; add --yes to leave no admin."
        )


@frozen
class User:
    """A user who is not deleted, as last read."""

    id: int
    username: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None
    last_sign_in_at: datetime | None
    """When the newest right code was given, to half a minute; ``None`` before the first, and after a reset."""
    wrong_codes: int
    """In a row, by all unknown clients together."""
    is_locked_out: bool
    """Unknown clients are not let through any more."""
    sessions: int
    known_devices: int
    known_networks: int

    @property
    def states(self) -> tuple[str, ...]:
        """The reasons for which the user cannot sign in as usual; empty without any."""
        states = {
            "disabled": self.disabled_at is not None,
            "locked-out": self.is_locked_out,
            "no-authenticator": self.last_sign_in_at is None,
        }
        return tuple(state for state, holds in states.items() if holds)


@frozen
class NewEnrolment:
    """The next credential of a reset user: a phrase, shown once, to enrol an authenticator."""

    phrase: str = field(repr=False)
    phrase_hash: str = field(repr=False)
    secret: str = field(repr=False)
    """Of an authenticator that nobody has, as it is stored."""


async def users(db: Database) -> list[User]:
    """All users, by name."""
    return [User(**row) for row in await db.fetch(QUERIES["users"], None)]


async def find(db: Database | Session, name: str) -> User:
    """The user of that name. Raises `UserNotFound`."""
    row = await db.fetchrow(QUERIES["users"], name)
    if row is None:
        raise errors.UserNotFound
    return User(**row)


async def check_not_last(db: Database | Session, user: User) -> None:
    """Raises `LastAdminError`; in a transaction that stays true until its end."""
    if [row["id"] for row in await db.fetch(QUERIES["lock_admins"])] == [user.id]:
        raise LastAdminError(user.username)


async def set_role(db: Database, name: str, role: Role, *, force: bool) -> User:
    """Change a role, which ends the sessions unless it stays the same; returns the user as before.

    Raises `UserNotFound`, `LastAdminError` unless forced.
    """
    async with db.transaction() as session:
        user = await find(session, name)
        if role != "admin" and not force:
            await check_not_last(session, user)
        await accounts.set_role(session, name, role)
    return user


async def disable(db: Database, name: str, *, force: bool) -> User:
    """End the sessions of a user, who then cannot sign in; returns the user as before.

    Raises `UserNotFound`, `LastAdminError` unless forced.
    """
    async with db.transaction() as session:
        user = await find(session, name)
        if not force:
            await check_not_last(session, user)
        await session.execute(QUERIES["disable_user"], user.id)
    return user


async def enable(db: Database, name: str) -> User:
    """Let a user who is disabled sign in again; returns the user as before. Raises `UserNotFound`."""
    user = await find(db, name)
    await db.execute(QUERIES["enable_user"], user.id)
    return user


async def delete(db: Database, settings: Settings, name: str, *, force: bool) -> User:
    """Delete a user but for the name; returns the user as before.

    Raises `UserNotFound`, `SecretsError`, `LastAdminError` unless forced.
    """
    async with db.transaction() as session:
        await check_keys(session, Keyring(settings.secrets_keys))
        user = await find(session, name)
        if not force:
            await check_not_last(session, user)
        await session.execute(QUERIES["delete_user"], user.id, _lost_secret(settings, user))
    return user


async def new_enrolment(db: Database, settings: Settings, user: User) -> NewEnrolment:
    """A new phrase for that user, which `reset` puts in force. Raises `SecretsError`."""
    await check_keys(db, Keyring(settings.secrets_keys))
    phrase = phrases.new_phrase()
    return NewEnrolment(phrase, await phrases.hash_phrase(phrase), _lost_secret(settings, user))


async def reset(db: Database, user: User, enrolment: NewEnrolment) -> None:
    """End all that the user signs in with, the lockout and the sessions; the phrase is in force.

    Raises `UserNotFound` for one who has been deleted meanwhile.
    """
    if await db.fetchval(QUERIES["reset_user"], user.id, enrolment.secret, enrolment.phrase_hash) is None:
        raise errors.UserNotFound


async def end_sessions(db: Database, user: User) -> int:
    """End the sessions of that user; returns how many."""
    return int(await db.fetchval(QUERIES["end_user_sessions"], user.id))


def _lost_secret(settings: Settings, user: User) -> str:
    """The secret of an authenticator that nobody has, as it is stored."""
    return Keyring(settings.secrets_keys).encrypt(user.username, totp.new_secret())
