"""Administration of users, for the command line. Names match without case."""

from collections.abc import Callable

from seatsync import errors
from seatsync.config import Role, Settings
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row, Session
from seatsync.user import phrases, totp
from seatsync.user.encryption import encrypt_new
from seatsync.user.messages import check_username
from seatsync.user.secrets import Secrets
from seatsync.user.store import QUERIES
from seatsync.user.tokens import Tokens

ADMIN = load("admin")


async def add_user(
    db: Database | Session,
    settings: Settings,
    name: str,
    role: Role,
    show: Callable[[str, str], None],
    *,
    cost: phrases.Cost = phrases.Cost(),
) -> None:
    """Add a user with new credentials.

    ``show`` is then called with the URI for the authenticator and the recovery phrase: in a transaction, a user whose
    credentials cannot be shown is not added. Raises `InvalidUsername`, `RequiredUsername`, `UserAlreadyExists`,
    and `Failure` as `encrypt_new` does.
    """
    check_username(name)
    secret, phrase = totp.new_secret(), phrases.new_phrase()
    if not await _insert(db, settings, name, role, secret, phrase_hash=await phrases.hash_phrase(phrase, cost)):
        state = await db.fetchrow(QUERIES["user_state"], name)
        deleted = state is not None and state["deleted_at"] is not None
        raise errors.UserAlreadyExists(
            "A user of that name has been deleted: the history keeps it." if deleted else None
        )
    show(totp.enrolment_uri(settings.totp_issuer, name, secret), phrase)


async def present_code(db: Database, settings: Settings, name: str) -> str:
    """The code that the user's authenticator shows now. Raises `UserNotFound`, `InternalServerError`."""
    row = await db.fetchrow(QUERIES["secret_of"], name)
    if row is None:
        raise errors.UserNotFound
    return Secrets(settings).present_code(name, row["secret"])


async def session_tokens(
    db: Database, settings: Settings, name: str, *, create: bool = False, count: int = 1
) -> list[str]:
    """Tokens of new sessions, for scripts and load tests.

    With ``create`` a missing user is added as an operator; its authenticator's secret is discarded, so such tokens
    alone can act for it. Raises `UserNotFound` without, and `InvalidUsername`, `RequiredUsername`, and `Failure`
    as `encrypt_new` does and for a user who is disabled or deleted.
    """
    check_username(name)
    if create:
        await _insert(db, settings, name, "operator", totp.new_secret())
    sessions = await db.fetch(QUERIES["add_sessions"], name, count)
    if not sessions:
        state = await db.fetchrow(QUERIES["user_state"], name)
        if state is None:
            raise errors.UserNotFound
        how = "disabled" if state["deleted_at"] is None else "deleted"
        raise errors.Failure(f"The user {name} is {how}, and gets no session.")
    tokens = Tokens(*settings.jwt_secrets)
    return [tokens.issue(row["user_id"], row["id"], row["expires_at"].timestamp()) for row in sessions]


async def users(db: Database) -> list[Row]:
    """All users, sorted by name, without services and who is deleted."""
    return await db.fetch(ADMIN["users"], None)


async def find(db: Database | Session, name: str) -> Row:
    """The user of that name. Raises `UserNotFound`, also for a service and for one who is deleted."""
    user = await db.fetchrow(ADMIN["users"], name)
    if user is None:
        raise errors.UserNotFound
    return user


async def check_not_last(db: Database | Session, user: Row) -> None:
    """Raises `Failure` where no admin would be left; in a transaction the answer stays true until its end."""
    if [row["id"] for row in await db.fetch(ADMIN["lock_admins"])] == [user["id"]]:
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
        if await session.fetchval(ADMIN["set_role"], user["id"], role) is None:  # deleted meanwhile
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
        await session.execute(ADMIN["disable_user"], user["id"])
    return user


async def enable(db: Database, name: str) -> Row:
    """Let a user who is disabled sign in again; returns the user as before. Raises `UserNotFound`."""
    user = await find(db, name)
    await db.execute(ADMIN["enable_user"], user["id"])
    return user


async def delete(db: Database, settings: Settings, name: str, *, force: bool) -> Row:
    """Delete a user but for the name; returns the user as before.

    Raises `UserNotFound`, and `Failure` as `encrypt_new` and, unless forced, `check_not_last` do.
    """
    async with db.transaction() as session:
        user = await find(session, name)
        if not force:
            await check_not_last(session, user)
        secret = await _lost_secret(session, settings, user)
        await session.execute(ADMIN["delete_user"], user["id"], secret)
    return user


async def reset(db: Database, settings: Settings, name: str, show: Callable[[Row, str], None]) -> Row:
    """Replace all that a user signs in with by a phrase, to enrol an authenticator with; returns the user as before.

    ``show`` is called with the user and the phrase before that, since without the phrase nobody could sign in as the
    user; no row is locked meanwhile. Raises `Failure` as `encrypt_new` does, and `UserNotFound`, also for who is
    deleted meanwhile.
    """
    user, phrase = await find(db, name), phrases.new_phrase()
    secret, phrase_hash = await _lost_secret(db, settings, user), await phrases.hash_phrase(phrase)
    show(user, phrase)
    if await db.fetchval(ADMIN["reset_user"], user["id"], secret, phrase_hash) is None:
        raise errors.UserNotFound
    return user


async def end_sessions(db: Database, user: Row) -> int:
    """End the sessions of that user; returns how many."""
    return int(await db.fetchval(ADMIN["end_user_sessions"], user["id"]))


async def _lost_secret(db: Database | Session, settings: Settings, user: Row) -> str:
    """A random secret that no authenticator has, as it is stored. Raises as `encrypt_new` does."""
    return await encrypt_new(db, settings, user["name"], totp.new_secret())


async def _insert(
    db: Database | Session, settings: Settings, name: str, role: Role, secret: str, *, phrase_hash: str | None = None
) -> bool:
    """Store a user, the secret encrypted; false if there is one of that name. Raises as `encrypt_new` does."""
    stored = await encrypt_new(db, settings, name, secret)
    return await db.fetchrow(QUERIES["add_user"], name, role, stored, phrase_hash) is not None
