"""Fixtures for the integration tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from seatsync.core.channels import channel
from seatsync.core.postgres.pool import Database
from seatsync.user.phrases import Cost
from tests.support.database import DatabaseServer, open_session
from tests.support.people import CHEAP, Users, open_users
from tests.support.pool import SIZE
from tests.support.sql import RolledBackWorld, User, World, open_world


@pytest.fixture
def short_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels of servers that start after this remember three updates."""
    monkeypatch.setattr(channel, "MAX_UPDATES", 3)


@pytest.fixture
def cost() -> Cost:
    """The cost of a recovery phrase's hash for `users`; tests of it set the real one with ``parametrize``."""
    return CHEAP


@pytest.fixture
async def users(database_url: str, cost: Cost) -> AsyncIterator[Users]:
    """The user domain of a server, without sockets, on a fresh database."""
    async with open_users(database_url, cost) as users:
        yield users


@pytest.fixture(scope="session")
def shared_world(database_server: DatabaseServer, template_database: str) -> Iterator[RolledBackWorld]:
    """A database for all tests that leave no trace in it."""
    with database_server.database(template_database) as name:
        dsn = database_server.url(name)
        with open_session(dsn) as session:
            yield RolledBackWorld(session.connection, dsn=dsn, listener=None)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """SQL for tests of the schema itself: in a transaction that is rolled back.

    A test that commits requests `database_url` too, for notifications, other sessions and other programs: it works in
    that database, outside of a transaction.
    """
    if "database_url" in request.fixturenames:
        with open_world(request.getfixturevalue("database_url")) as world:
            yield world
    else:
        with request.getfixturevalue("shared_world").transaction() as world:
            yield world


@pytest.fixture
def hall(world: World) -> int:
    """A hall of two rows of three vacant seats; its notifications have been received."""
    hall = world.hall()
    if world.commits:
        world.notifications()
    return hall


@pytest.fixture
def alice(world: World) -> User:
    """An operator."""
    return world.user("alice")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A small pool on a fresh database."""
    async with Database.open(database_url, size=SIZE) as db:
        yield db


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """A second pool on the same database."""
    async with Database.open(database_url, size=1) as other:
        yield other
