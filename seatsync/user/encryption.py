"""Encryption of the secrets that are in the database already, at a start and when keys change.

Several servers may do so at once, and sign people in meanwhile: a secret is replaced only if it is still what was read,
and a row that another transaction has locked is left for later, so no transaction waits for another. A code entered in
the milliseconds between the two has to be entered again. An interruption leaves some secrets under the old key, which a
repetition encrypts.
"""

import structlog
import trio
from attrs import define, field

from seatsync.config import Settings
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.session import Row, Session
from seatsync.core.timing import Timing
from seatsync.errors import Failure
from seatsync.user.keyring import Keyring, UnreadableSecretError
from seatsync.user.store import QUERIES

BATCH = 500
PASSES = 10
"""Over a table of which some rows are locked, `Timing.check_s` apart."""

# Registrations come first: a confirmed one moves to the users as it is.
_TABLES = (("registrations_to_encrypt", "encrypt_registrations"), ("users_to_encrypt", "encrypt_users"))

logger = structlog.get_logger(__name__)


async def check_keys(db: Database | Session, keyring: Keyring) -> None:
    """Raises `Failure` if secrets are encrypted with a key that is not in the keyring."""
    counts = {row["key_id"]: row["secrets"] for row in await db.fetch(QUERIES["secrets_by_key"])}
    unknown = {key: count for key, count in counts.items() if key not in keyring.ids}
    if unknown:
        keys = ", ".join(f"{key} (secrets of authenticators: {count})" for key, count in sorted(unknown.items()))
        raise Failure(
            f"SECRETS_KEY, or without DATABASE_URL the file secrets_key in SEATSYNC_DATA, lacks the key {keys}:"
            " without it these users could not sign in."
        )


async def encrypt_new(db: Database | Session, settings: Settings, username: str, secret: str) -> str:
    """The secret of a user of that name as it is stored. Raises `Failure` as `check_keys` does."""
    keyring = Keyring(settings.secrets_keys)
    await check_keys(db, keyring)
    return keyring.encrypt(username, secret)


async def encrypt_plain(db: Database, keyring: Keyring) -> None:
    """Encrypt the secrets that are plain; for the start of a server. Raises `Failure`.

    A row that is in use meanwhile is left to a later start.
    """
    await check_keys(db, keyring)
    run = _Run(db, keyring, leave=keyring.ids)
    for read, write in _TABLES:
        await run.encrypt(read, write)
    if run.encrypted:
        logger.info("secrets_encrypted", count=run.encrypted)
        await check_keys(db, keyring)  # another server may have started with another key at the same time


async def rotate(db: Database, keyring: Keyring, *, timing: Timing = Timing()) -> int:
    """Encrypt with the first key all that is not; returns the number. Raises `Failure`, after what it could do."""
    await check_keys(db, keyring)
    run = _Run(db, keyring, leave=keyring.ids[:1])
    for read, write in _TABLES:
        for _ in range(PASSES):
            if await run.encrypt(read, write):
                break
            await trio.sleep(timing.check_s)
        else:
            raise Failure("Some secrets are in use by other transactions: end these, and run it again.")
    if run.unreadable:
        names = ", ".join(sorted(run.unreadable))
        raise Failure(f"The secrets of these users cannot be decrypted, altered or of another name: {names}.")
    return run.encrypted


@define
class _Run:
    """Encrypts secrets with the first key, but those that are under one of the keys ``leave``."""

    db: Database
    keyring: Keyring
    leave: tuple[str, ...]
    encrypted: int = 0
    unreadable: set[str] = field(factory=set)
    """The users whose secrets cannot be decrypted."""

    async def encrypt(self, read: str, write: str) -> bool:
        """Go through a table once, by its two queries; false if some of its rows were in use."""
        last, complete = 0, True
        while rows := await self.db.fetch(QUERIES[read], last, list(self.leave), BATCH):
            last = rows[-1]["id"]
            renewed = [(row, text) for row in rows if (text := self._renew(row)) is not None]
            ids, before = [row["id"] for row, _ in renewed], [row["secret"] for row, _ in renewed]
            count = await self.db.fetchval(QUERIES[write], ids, before, [text for _, text in renewed])
            self.encrypted += count
            complete = complete and count == len(renewed)
        return complete

    def _renew(self, row: Row) -> str | None:
        username = row["username"]
        try:
            return self.keyring.encrypt(username, self.keyring.decrypt(username, row["secret"]))
        except UnreadableSecretError:
            self.unreadable.add(username)
            return None
