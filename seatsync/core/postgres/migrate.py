"""Forward-only migrations of the schema, from ``sql/migrations``, applied in the order of their numbers.

One server migrates at a time: its session has an advisory lock. A migration runs in a transaction that also inserts its
row into ``schema_migration``, with the checksum of its text. All queries that come later wait behind a lock that it
waits for, so it gives up after `Timing.migrate_lock_s`, pauses, and is run again.

One whose first line is ``-- online`` runs outside a transaction, statement by statement, for ``create index
concurrently`` and the like. It is recorded when all of it has run. An interrupted one is run again from its start,
after the invalid indexes that it has left are dropped.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from importlib.resources import files

import structlog
import trio
from attrs import define, frozen

from seatsync import errors
from seatsync.core.postgres.faults import DatabaseRejected
from seatsync.core.postgres.pool import Database
from seatsync.core.postgres.queries import load
from seatsync.core.postgres.session import Row, Session
from seatsync.core.timing import Timing
from seatsync.errors import Failure

OLDEST_POSTGRESQL = 15

_INSUFFICIENT_PRIVILEGE = "42501"

#: A lock was not to be had in time, or was part of a deadlock.
_NO_LOCK = frozenset({"55P03", "40P01"})

_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_END = re.compile(r";$", re.MULTILINE)
_CONCURRENTLY = re.compile(r"\bconcurrently\b", re.IGNORECASE)

_QUERIES = load("system")

logger = structlog.get_logger(__name__)


@frozen
class Migration:
    """One file of ``sql/migrations``."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def online(self) -> bool:
        """Runs outside a transaction."""
        return self.sql.partition("\n")[0].rstrip() == "-- online"

    @property
    def statements(self) -> list[str]:
        """Those of an online one, each to the end of a line; a test holds the files to that."""
        return [statement for statement in _END.split(_COMMENT.sub("", self.sql)) if statement.strip()]


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

    A role that does not own the schema may find it complete, and applies nothing. Raises `Failure` and
    `ServiceUnavailable`. A failed or cancelled migration leaves nothing behind, an online one the statements before;
    the migrations before it stay.
    """
    known = migrations() if known is None else known
    applied: list[str] = []
    with closing(await Session.connect(db.dsn, application_name="seatsync migrate")) as session:
        if await _next(session, known) is None:  # any role may hold the lock
            return applied
    async with _locked_session(db.dsn, timing) as session:
        has_schema = await session.fetchval(_QUERIES["migration_table_exists"])
        log = logger.info if has_schema else logger.debug  # in a new database they are no news
        while (migration := await _next(session, known)) is not None:
            if not await session.fetchval(_QUERIES["may_migrate"]):
                raise Failure(
                    f"The schema lacks the migration {migration.name}, and the database role does not own it: "
                    "run `seatsync migrate` as its owner."
                )
            await _Run(db, session, migration, timing).run()
            log("migrated", migration=migration.name)
            applied.append(migration.name)
    return applied


async def grant(db: Database, role: str) -> None:
    """Grant a role what a server needs that does not own the schema. Raises `Failure`, `ServiceUnavailable`."""
    try:
        await db.execute(_QUERIES["grant_server"], role)
    except DatabaseRejected as error:
        raise _refusal(f"The role {role} cannot be made the server's", error) from error


@asynccontextmanager
async def _locked_session(dsn: str, timing: Timing) -> AsyncIterator[Session]:
    """Open a session that has the migration lock, for the block; at its end an abandoned statement is cancelled.

    A ``statement_timeout`` of the role or the database, which is meant for queries, does not hold.
    """
    with closing(await Session.connect(dsn, application_name="seatsync migrate")) as session:
        try:
            await session.script("set statement_timeout = 0")
            await _take_lock(session, timing)
            yield session
            with trio.move_on_after(timing.cancel_s):
                await session.execute(_QUERIES["migration_unlock"])
        finally:
            with trio.move_on_after(timing.cancel_s, shield=True):
                if not session.idle:
                    await session.reset()


async def _take_lock(session: Session, timing: Timing) -> None:
    """Wait for the migration lock.

    By trying: ``create index concurrently`` waits for every statement that has begun before, also for one that waits.
    """
    holder = None
    with trio.move_on_after(timing.migrate_s):
        while not await session.fetchval(_QUERIES["migration_lock"]):
            row = await session.fetchrow(_QUERIES["migration_lock_holder"])
            if row is not None and holder is None:
                logger.info("migration_waits", **row)
            holder = row or holder
            await trio.sleep(timing.first_migrate_pause_s)
        return
    raise Failure(
        f"The schema cannot be brought up to date: for {timing.migrate_s:g} s another server has migrated it"
        f"{f', {_describe(holder)}' if holder else ''}."
    )


async def _next(session: Session, known: Sequence[Migration]) -> Migration | None:
    """Return the first missing migration, ``None`` when there is none."""
    version = await session.fetchval(_QUERIES["server_version"])
    if version < OLDEST_POSTGRESQL:
        raise Failure(f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed; this is PostgreSQL {version}.")
    try:
        made = await session.fetchval(_QUERIES["migration_table_exists"])
        rows = await session.fetch(_QUERIES["migrations_applied"]) if made else []
    except DatabaseRejected as error:
        raise _refusal("The schema cannot be brought up to date", error) from error
    return pending(known, {row["name"]: row["checksum"] for row in rows})


@define(eq=False)
class _Run:
    """A migration under way, and what holds it up."""

    db: Database
    session: Session
    migration: Migration
    timing: Timing
    _blocked: bool = False
    """Waits for a lock now, or has been run without success for want of one."""
    _blocker: Row | None = None
    """The session seen last in its way."""
    _done: bool = False

    async def run(self) -> None:
        """Run the migration, again and again while it does not get a lock."""
        pause_s = self.timing.first_migrate_pause_s
        with trio.move_on_after(self.timing.migrate_s):
            while not await self._attempt():
                await trio.sleep(pause_s)
                pause_s = min(pause_s * 2, self.timing.last_migrate_pause_s)
        if not self._done:
            what = "waited for a lock" if self._blocked else "run"
            cause = f": {_describe(self._blocker)}, is in its way" if self._blocked and self._blocker else ""
            raise Failure(f"The migration {self.migration.name} has {what} for {self.timing.migrate_s:g} s{cause}.")

    async def _attempt(self) -> bool:
        """Run and record the migration; false without a lock that it needs."""
        run = _run_online if self.migration.online else _run_in_transaction
        failure: errors.SeatSyncError | None = None
        pid = await self.session.fetchval(_QUERIES["backend_pid"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, pid)
            try:
                await run(self.session, self.migration, f"{self.timing.migrate_lock_s * 1000:.0f}ms")
                self._done = True
            except (DatabaseRejected, errors.ServiceUnavailable) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if not isinstance(failure, DatabaseRejected):
            if failure is not None:
                raise failure
            return True
        await self.session.reset()
        self._blocked = failure.sqlstate in _NO_LOCK
        if not self._blocked:
            raise _refusal(f"The migration {self.migration.name} failed", failure) from failure
        return False

    async def _watch(self, pid: int) -> None:
        """Look now and then which session holds up that of the migration, and log the first."""
        while True:
            await trio.sleep(self.timing.migrate_lock_s / 4)
            with suppress(DatabaseRejected, errors.ServiceUnavailable):
                blocker = await self.db.fetchrow(_QUERIES["blocker"], pid)
                self._blocked = blocker is not None
                if blocker is not None and self._blocker is None:
                    logger.warning("migration_blocked", migration=self.migration.name, **blocker)
                self._blocker = blocker or self._blocker


async def _run_in_transaction(session: Session, migration: Migration, lock_timeout: str) -> None:
    await session.script("begin; set local search_path = public, pg_temp")
    await session.execute(_QUERIES["lock_timeout"], lock_timeout)
    await _make_table(session)
    await session.script(migration.sql)
    await session.execute(_QUERIES["migration_done"], migration.name, migration.checksum)
    await session.script("commit")


async def _run_online(session: Session, migration: Migration, lock_timeout: str) -> None:
    """Run each statement in a transaction of its own.

    A statement with ``concurrently`` blocks no other while it waits for a lock, so it waits for as long as it takes.
    """
    await _make_table(session)
    repairs = [row["statement"] for row in await session.fetch(_QUERIES["invalid_indexes"], migration.sql)]
    for statement in repairs:
        logger.info("invalid_index_dropped", migration=migration.name, statement=statement)
    for statement in (*repairs, *migration.statements):
        await session.execute(_QUERIES["lock_timeout"], "0" if _CONCURRENTLY.search(statement) else lock_timeout)
        await session.script(statement)
    await session.execute(_QUERIES["migration_done"], migration.name, migration.checksum)


async def _make_table(session: Session) -> None:
    if not await session.fetchval(_QUERIES["migration_table_exists"]):
        await session.execute(_QUERIES["migration_table"])


def _refusal(failure: str, error: DatabaseRejected) -> Failure:
    if error.sqlstate == _INSUFFICIENT_PRIVILEGE:
        failure = "The database role may not create the schema"
    return Failure(f"{failure} ({error.message}).")


def _describe(blocker: Row) -> str:
    """Name a session in a sentence. A transaction that is prepared has no session, and 0 for its pid."""
    if not blocker["pid"]:
        return "a prepared transaction (pg_prepared_xacts)"
    since = f", in a transaction since {blocker['transaction_start']}" if blocker["transaction_start"] else ""
    return f"process {blocker['pid']} ({blocker['application'] or 'no name'}, role {blocker['role']}){since}"


def pending(known: Sequence[Migration], applied: Mapping[str, str]) -> Migration | None:
    """Return the first of ``known`` that is not in ``applied`` (name to checksum, in order), ``None`` when all are.

    Raises `Failure` unless ``applied`` is a beginning of ``known``.
    """
    names = [migration.name for migration in known]
    for name in applied:
        if name not in names:
            raise Failure(f"This database has the migration {name}: a newer version of seatsync is needed.")
    for migration, name in zip(known, applied, strict=False):
        if migration.name != name:
            raise Failure(f"The migration {migration.name} is missing, although {name} is applied already.")
        if migration.checksum != applied[name]:
            raise Failure(f"The migration {name} has changed since it was applied to this database.")
    return known[len(applied)] if len(applied) < len(known) else None
