"""Fixtures for the integration tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.people import House, open_house
from tests.support.sql import World, open_world


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
