"""Fixtures for the integration tests."""

from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from seatsync import app
from seatsync.core.channels.channels import Channels
from seatsync.core.postgres.pool import Database, open_loop
from tests.support.people import House, open_house
from tests.support.pool import SIZE
from tests.support.sql import User, World, open_world


@pytest.fixture
def short_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels of servers that start after this remember three updates."""
    monkeypatch.setattr(app, "Channels", partial(Channels, max_updates=3))


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """The user domain of a server, without sockets, on a fresh database."""
    async with open_house(database_url) as house:
        yield house


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Sessions of a fresh database, for tests of the schema itself."""
    with open_world(database_url) as world:
        yield world


@pytest.fixture
def hall(world: World) -> int:
    """A hall of two rows of three vacant seats, announced already."""
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
    async with open_loop(), Database.open(database_url, size=SIZE) as db:
        yield db


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """Somebody else's connection to the same database."""
    async with open_loop(), Database.open(database_url, size=1) as other:
        yield other
