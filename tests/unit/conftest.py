"""Fixtures for the unit tests."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from seatsync.core.telemetry.logs import QUIET
from tests.support.logs import default_logs


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
