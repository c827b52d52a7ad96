"""Forward-only migrations of the schema, from ``sql/migrations``, applied in the order of their numbers.

Each runs in a transaction that also inserts its row into ``schema_migration``, with the checksum of its text. The
transaction takes an advisory lock before it reads the applied migrations, so any number of servers may start at once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

import structlog
from attrs import frozen

from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Session
from seatsync.core.timing import Timing
from seatsync.errors import Failure

OLDEST_POSTGRESQL = 15

_INSUFFICIENT_PRIVILEGE = "42501"
_QUERIES = load("system")

logger = structlog.get_logger(__name__)


class MigrationError(Failure):
    """The schema cannot be migrated; the message is one sentence for the operator."""


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
    """Return the migrations of this version of the code, in order."""
    found = [
        Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in files("seatsync.sql").joinpath("migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found, key=lambda migration: migration.name)


async def migrate(db: Database, known: Sequence[Migration] | None = None, *, timing: Timing = Timing()) -> list[str]:
    """Apply the migrations that are missing, of `migrations` unless given, and return their names.

    Raises `MigrationError` and `ServiceUnavailable`. A failed or cancelled migration leaves nothing behind; those
    before it stay.
    """
    known = migrations() if known is None else known
    applied: list[str] = []
    while (name := await _step(db, known, timing.migrate_s)) is not None:
        logger.info("migrated", migration=name)
        applied.append(name)
    return applied


async def _step(db: Database, known: Sequence[Migration], timeout_s: float) -> str | None:
    """Apply the first missing migration and return its name, ``None`` when there is none."""
    failure = "The schema cannot be brought up to date"
    try:
        async with db.transaction(timeout_s) as tx:
            migration = pending(known, await _applied(tx))
            if migration is None:
                return None
            failure = f"The migration {migration.name} failed"
            await tx.script("set local search_path = public, pg_temp")
            await tx.script(migration.sql)
            await tx.execute(_QUERIES["migration_done"], migration.name, migration.checksum)
            return migration.name
    except DatabaseRejected as error:
        if error.sqlstate == _INSUFFICIENT_PRIVILEGE:
            failure = "The database role may not create the schema"
        raise MigrationError(f"{failure} ({error.message}).") from error


async def _applied(tx: Session) -> dict[str, str]:
    """Return the checksum of each applied migration by name, in order, read under the lock."""
    version = await tx.fetchval(_QUERIES["server_version"])
    if version < OLDEST_POSTGRESQL:
        raise MigrationError(f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed; this is PostgreSQL {version}.")
    await tx.execute(_QUERIES["migration_lock"])
    if not await tx.fetchval(_QUERIES["migration_table_exists"]):
        await tx.execute(_QUERIES["migration_table"])
    return {row["name"]: row["checksum"] for row in await tx.fetch(_QUERIES["migrations_applied"])}


def pending(known: Sequence[Migration], applied: Mapping[str, str]) -> Migration | None:
    """Return the first of ``known`` that is not in ``applied`` (name to checksum, in order), ``None`` when all are.

    Raises `MigrationError` unless ``applied`` is a beginning of ``known``.
    """
    names = [migration.name for migration in known]
    for name in applied:
        if name not in names:
            raise MigrationError(f"This database has the migration {name}: a newer version of seatsync is needed.")
    for migration, name in zip(known, applied, strict=False):
        if migration.name != name:
            raise MigrationError(f"The migration {migration.name} is missing, although {name} is applied already.")
        if migration.checksum != applied[name]:
            raise MigrationError(f"The migration {name} has changed since it was applied to this database.")
    return known[len(applied)] if len(applied) < len(known) else None
