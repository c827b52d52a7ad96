"""Administration of the users that there are: finding, disabling, deleting and resetting them. For the command line.

Neither a user who is deleted nor a service is found. Names match without case.
"""

from collections.abc import Callable

from seatsync import errors
from seatsync.config import Role, Settings
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row, Session
from seatsync.user import phrases, totp
from seatsync.user.encryption import encrypt_new

QUERIES = load("admin")


async def users(db: Database) -> list[Row]:
    """All users, sorted by name."""
    return await db.fetch(QUERIES["users"], None)


async def find(db: Database | Session, name: str) -> Row:
    """The user of that name. Raises `UserNotFound`."""
    user = await db.fetchrow(QUERIES["users"], name)
    if user is None:
        raise errors.UserNotFound
    return user


async def check_not_last(db: Database | Session, user: Row) -> None:
    """Raises `Failure` where no admin would be left; in a transaction the answer stays true until its end."""
    if [row["id"] for row in await db.fetch(QUERIES["lock_admins"])] == [user["id"]]:
        raise errors.Failure(
            f"{user['name']} is the last admin who is not disabled: nothing was changed; add --yes to leave no admin."
        )


async def set_role(db: Database, name: str, role: Role, *, force: bool) -> Row:
    """Change a role, which ends the sessions unless it stays the same; returns the user as before.

    Raises `UserNotFound` and, unless forced, as `check_not_last` does.
    """
    async with db.transaction() as session:
        user = await find(session, name)
        if role != "admin" and not force:
            await check_not_last(session, user)
        if await session.fetchval(QUERIES["set_role"], user["id"], role) is None:  # deleted meanwhile
            raise errors.UserNotFound
    return user


async def disable(db: Database, name: str, *, force: bool) -> Row:
    """End the sessions of a user, who then cannot sign in; returns the user as before.

    Raises `UserNotFound` and, unless forced, as `check_not_last` does.
    """
    async with db.transaction() as session:
        user = await find(session, name)
        if not force:
            await check_not_last(session, user)
        await session.execute(QUERIES["disable_user"], user["id"])
    return user


async def enable(db: Database, name: str) -> Row:
    """Let a user who is disabled sign in again; returns the user as before. Raises `UserNotFound`."""
    user = await find(db, name)
    await db.execute(QUERIES["enable_user"], user["id"])
    return user


async def delete(db: Database, settings: Settings, name: str, *, force: bool) -> Row:
    """Delete a user but for the name; returns the user as before.

    Raises `UserNotFound`, `SecretsError` and, unless forced, as `check_not_last` does.
    """
    async with db.transaction() as session:
        user = await find(session, name)
        if not force:
            await check_not_last(session, user)
        secret = await _lost_secret(session, settings, user)
        await session.execute(QUERIES["delete_user"], user["id"], secret)
    return user


async def reset(db: Database, settings: Settings, name: str, show: Callable[[Row, str], None]) -> Row:
    """Replace all that a user signs in with by a phrase, to enrol an authenticator with; returns the user as before.

    ``show`` is called with the user and the phrase before that, since without the phrase nobody could sign in as the
    user; no row is locked meanwhile. Raises `SecretsError`, and `UserNotFound`, also for who is deleted meanwhile.
    """
    user, phrase = await find(db, name), phrases.new_phrase()
    secret, phrase_hash = await _lost_secret(db, settings, user), await phrases.hash_phrase(phrase)
    show(user, phrase)
    if await db.fetchval(QUERIES["reset_user"], user["id"], secret, phrase_hash) is None:
        raise errors.UserNotFound
    return user


async def end_sessions(db: Database, user: Row) -> int:
    """End the sessions of that user; returns how many."""
    return int(await db.fetchval(QUERIES["end_user_sessions"], user["id"]))


async def _lost_secret(db: Database | Session, settings: Settings, user: Row) -> str:
    """A random secret that no authenticator has, as it is stored. Raises `SecretsError`."""
    return await encrypt_new(db, settings, user["name"], totp.new_secret())
