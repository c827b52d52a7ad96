"""Fixtures for the tests of channels."""

import pytest
import trio

from seatsync.core.channels.broadcast import Broadcast
from seatsync.core.channels.channel import Channel
from seatsync.core.channels.channels import Channels
from seatsync.core.telemetry.metrics import Metrics
from tests.support.feeds import HALL, METHOD, FakeHall


@pytest.fixture
def hall() -> FakeHall:
    """A hall in memory as the channel's source."""
    return FakeHall()


@pytest.fixture
async def channels(hall: FakeHall, nursery: trio.Nursery) -> Channels:
    """Channels whose feed is live."""
    channels = Channels(METHOD, hall, nursery.start_soon, Metrics())
    await channels.resync()
    hall.queries.clear()
    return channels


@pytest.fixture
def channel(hall: FakeHall, nursery: trio.Nursery) -> Channel:
    """A channel of the hall, not read yet."""
    return Channel(HALL, Broadcast(METHOD, Metrics()), hall, nursery.start_soon)
