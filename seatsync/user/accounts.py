"""Administration of users, for the command line."""

from collections.abc import Callable

from seatsync import errors
from seatsync.config import Role, Settings
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Session
from seatsync.user import phrases, totp
from seatsync.user.encryption import encrypt_new
from seatsync.user.messages import check_username
from seatsync.user.secrets import Secrets
from seatsync.user.store import QUERIES
from seatsync.user.tokens import Tokens


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
    `SecretsError`.
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
    alone can act for it. Raises `UserNotFound` without, and `InvalidUsername`, `RequiredUsername`, `SecretsError`, and
    `Failure` for a user who is disabled or deleted.
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


async def _insert(
    db: Database | Session, settings: Settings, name: str, role: Role, secret: str, *, phrase_hash: str | None = None
) -> bool:
    """Store a user, the secret encrypted; false if there is one of that name. Raises `SecretsError`."""
    stored = await encrypt_new(db, settings, name, secret)
    return await db.fetchrow(QUERIES["add_user"], name, role, stored, phrase_hash) is not None
