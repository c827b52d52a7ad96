"""Fixtures for the integration tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from seatsync.core.channels import channel
from seatsync.core.postgres.pool import Database
from seatsync.user.phrases import Cost
from tests.support.people import CHEAP, Users, open_users
from tests.support.pool import SIZE
from tests.support.sql import User, World, open_world


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


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Sessions of a fresh database, for tests of the schema itself."""
    with open_world(database_url) as world:
        yield world


@pytest.fixture
def hall(world: World) -> int:
    """A hall of two rows of three vacant seats; its notifications have been received."""
    hall = world.hall()
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
