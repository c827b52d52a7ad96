"""Fixtures for all tests: a real PostgreSQL, and a fresh migrated database for every test that requests one.

The server is the embedded one, made for the run in a temporary directory with
its durability off, unless TEST_DATABASE_URL names a server on which databases
may be created. Either way a template is migrated once, and each test works on
a copy of it.
"""

import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
import trio

from seatsync.config import SETTINGS
from seatsync.core.embedded.cluster import create_cluster
from seatsync.core.embedded.programs import find_programs
from seatsync.core.embedded.server import EmbeddedPostgres
from seatsync.core.postgres.migrate import migrate
from seatsync.core.postgres.pool import Database
from seatsync.core.telemetry.logs import QUIET
from seatsync.core.timing import Timing
from seatsync.serve.garbage import collect_seldom
from tests.support.database import DatabaseServer, open_database_server, open_session
from tests.support.logs import default_logs
from tests.support.places import VOLATILE, copy_cluster, scratch_directory
from tests.support.server import RunningServer, running_server

CATALOGS = (
    "select oid::regclass::text from pg_class"
    " where relkind = 'r' and relnamespace = 'pg_catalog'::regnamespace and not relisshared"
)


def pytest_configure() -> None:
    """Make tests independent of what the shell passes on.

    The servers that tests start get the usual signals (nohup ignores SIGHUP, and a shell SIGINT behind an ``&``), no
    settings but those of the test, no terminal's width, and the usual umask. Bytecode is kept: without it a server
    takes half as long again to start, and a worker of the tests twice as long. Logged tracebacks are plain. Garbage is
    collected as in a server.
    """
    collect_seldom()
    default_logs()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = {setting.name for setting in SETTINGS}
    for name in list(os.environ):
        if name in {*settings, "COLUMNS", "LINES"} or name.startswith("PG"):
            del os.environ[name]
    os.umask(0o022)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Exempt the tests, and what they import, from the collection of garbage."""
    gc.freeze()


@pytest.fixture(scope="session")
def new_cluster() -> Iterator[Path]:
    """A new cluster of the embedded PostgreSQL, only to be copied: to make one takes half a second of CPU."""
    with scratch_directory() as directory:
        cluster = directory / "postgres"
        create_cluster(find_programs(directory, cluster), cluster, VOLATILE)
        yield cluster


@pytest.fixture(scope="session")
def database_server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """The PostgreSQL server of the run."""
    if dsn := os.environ.get("TEST_DATABASE_URL"):
        with open_database_server(dsn) as server:
            yield server
        return
    with scratch_directory() as directory:
        copy_cluster(request.getfixturevalue("new_cluster"), directory / "postgres")
        with EmbeddedPostgres(directory, VOLATILE) as postgres, open_database_server(postgres.dsn) as server:
            yield server


@pytest.fixture(scope="session")
def template_database(database_server: DatabaseServer) -> Iterator[str]:
    """The name of a migrated database that has no connections.

    Its system catalogs are rewritten, without the free space and the extra files that initdb leaves: 70 of 420 files
    less to copy for each test.
    """

    async def migrate_template(dsn: str) -> None:
        async with Database.open(dsn, size=1) as db:
            await migrate(db)

    with database_server.database() as name:
        trio.run(migrate_template, database_server.url(name))
        with open_session(database_server.url(name)) as session:
            session.do(f"vacuum full {', '.join(session.values(CATALOGS))}")
        with open_session(database_server.url(name)):
            pass  # the first connection writes the cache of the catalogs, which is copied too
        yield name


@pytest.fixture
def empty_database_url(database_server: DatabaseServer) -> Iterator[str]:
    """The DSN of a fresh database without any table."""
    with database_server.database() as name:
        yield database_server.url(name)


@pytest.fixture
def database_url(database_server: DatabaseServer, template_database: str) -> Iterator[str]:
    """The DSN of a fresh migrated database."""
    with database_server.database(template_database) as name:
        yield database_server.url(name)


@pytest.fixture
def timing() -> Timing:
    """The waits of `server`; tests set others with ``parametrize``."""
    return Timing()


@pytest.fixture
async def server(database_url: str, timing: Timing) -> AsyncIterator[RunningServer]:
    """A real server on free ports, on a fresh migrated database."""
    async with running_server(database_url, timing=timing) as server:
        yield server


@pytest.fixture
def restored_logs() -> Iterator[None]:
    """Restore the process's logging setup."""
    root = logging.getLogger()
    handlers, level, levels = root.handlers[:], root.level, [logging.getLogger(name).level for name in QUIET]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in zip(QUIET, levels, strict=True):
        logging.getLogger(name).setLevel(before)
    default_logs()
    structlog.contextvars.clear_contextvars()
