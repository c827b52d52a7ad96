"""Fixtures for the tests of channels."""

import pytest
import trio

from seatsync.core.audience import Audience
from seatsync.core.channel import Channel
from seatsync.core.metrics import Metrics
from tests.support.feeds import HALL, METHOD, FakeHall


@pytest.fixture
def hall() -> FakeHall:
    """The database's side."""
    return FakeHall()


@pytest.fixture
def channel(hall: FakeHall, nursery: trio.Nursery) -> Channel:
    """A channel of it that nobody has asked yet."""
    return Channel(HALL, Audience(METHOD, Metrics()), hall, nursery.start_soon)
