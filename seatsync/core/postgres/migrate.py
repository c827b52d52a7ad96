"""The schema: forward-only migrations from ``sql/migrations``, applied in the order of their numbers.

Each runs in a transaction together with the row of ``schema_migration`` that says so, under the checksum of its text.
The transaction takes an advisory lock before it looks at what is applied already, so any number of servers may start
at once; the lock ends with it, so a pooler in front of PostgreSQL does no harm.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

import structlog
from attrs import frozen

from seatsync.core.postgres.pool import Database, DatabaseRejected, Session
from seatsync.core.postgres.queries import load

#: One migration, with the wait for another server's, may take this long.
DEADLINE_S = 600.0

OLDEST_POSTGRESQL = 15

_FILENAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_INSUFFICIENT_PRIVILEGE = "42501"
_QUERIES = load("system")

logger = structlog.get_logger(__name__)


class MigrationError(Exception):
    """The schema cannot be brought up to date: a sentence for the person who starts the server."""


@frozen
class Migration:
    """One file of ``sql/migrations``."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Every migration that this version of the code knows, in order."""
    found = [file for file in files("seatsync.sql").joinpath("migrations").iterdir() if _FILENAME.fullmatch(file.name)]
    return [
        Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in sorted(found, key=lambda file: file.name)
    ]


async def migrate(db: Database) -> list[str]:
    """Bring the schema up to date and return the names of the migrations that this call applied.

    Raises `MigrationError`, and `ServiceUnavailable` when the database cannot be reached. A failed or cancelled
    migration leaves nothing behind; those before it stay.
    """
    known = migrations()
    applied: list[str] = []
    while (name := await _step(db, known)) is not None:
        logger.info("migrated", migration=name)
        applied.append(name)
    return applied


async def _step(db: Database, known: Sequence[Migration]) -> str | None:
    """Apply the first migration that is not applied yet; its name, or ``None`` when there is none."""
    migration: Migration | None = None
    try:
        async with db.transaction(timeout=DEADLINE_S) as tx:
            migration = pending(known, await _applied(tx))
            if migration is None:
                return None
            await tx.script("set local search_path = public, pg_temp")
            await tx.script(migration.sql)
            await tx.execute(_QUERIES["migration_done"], migration.name, migration.checksum)
    except DatabaseRejected as error:
        raise MigrationError(_sentence(migration, error)) from error
    return migration.name


async def _applied(tx: Session) -> dict[str, str]:
    """The checksum of every applied migration by name, in order, read under the lock."""
    version = await tx.fetchval(_QUERIES["server_version"])
    if version < OLDEST_POSTGRESQL:
        raise MigrationError(f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed; this is PostgreSQL {version}.")
    await tx.execute(_QUERIES["migration_lock"])
    if not await tx.fetchval(_QUERIES["migration_table_exists"]):
        await tx.execute(_QUERIES["migration_table"])
    return {row["name"]: row["checksum"] for row in await tx.fetch(_QUERIES["migrations_applied"])}


def pending(known: Sequence[Migration], applied: Mapping[str, str]) -> Migration | None:
    """The first of ``known`` that is not in ``applied`` (name to checksum, in order); ``None`` when all are.

    Raises `MigrationError` when the database is not at some earlier state of this version of the code.
    """
    names = [migration.name for migration in known]
    for name in applied:
        if name not in names:
            raise MigrationError(f"This database has the migration {name}: a newer version of Seats Sync is needed.")
    for migration, name in zip(known, applied, strict=False):
        if migration.name != name:
            raise MigrationError(f"The migration {migration.name} is missing, although {name} is applied already.")
        if migration.checksum != applied[name]:
            raise MigrationError(f"The migration {name} has changed since it was applied to this database.")
    return known[len(applied)] if len(applied) < len(known) else None


def _sentence(migration: Migration | None, error: DatabaseRejected) -> str:
    if error.sqlstate == _INSUFFICIENT_PRIVILEGE:
        return f"The database role may not create the schema ({error.message})."
    if migration is None:
        return f"The schema cannot be brought up to date ({error.message})."
    return f"The migration {migration.name} failed ({error.message})."
